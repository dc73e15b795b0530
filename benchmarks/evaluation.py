"""What an evaluation costs beyond the predictions, and whether its memory grows with the frames.

The frames are simulated exposures, some of them under many names: what metrics cost does not depend
on which pixels are hit. "predict" is `Posterior.predict` of the same frames in the precision of a
report, with the six maps that a user gets; what `evaluate` takes beyond that is spent on metrics,
the likelihood of each draw and the bootstrap. Peak memory is that of an interpreter of its own, on
top of what it takes with torch, bayescr and the posterior loaded.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bayescr.data import PatchDataset, read_frame
from bayescr.evaluation import evaluate
from bayescr.inference import Posterior
from bayescr.simulation import FIELDS, simulate
from benchmarks.common import Settings, untrained
from benchmarks.memory import MIB, STATUS, peaks, run_child
from benchmarks.timing import compare, show


def run(settings: Settings) -> dict[str, Any]:
    side, width, samples = (64, 4, 2) if settings.quick else (512, 32, 16)
    few, many = (2, 6) if settings.quick else (10, 100)
    with tempfile.TemporaryDirectory(dir=settings.output) as folder:
        saved = untrained(width=width).save(Path(folder) / "posterior")
        folders = {
            number: _frames(Path(folder) / str(number), number, side) for number in (few, many)
        }
        posterior = Posterior.load(saved)
        paths = sorted(folders[many].iterdir())
        bootstrap = 10 if settings.quick else 1000

        def predict(number: int) -> None:
            for path in paths:
                frame = read_frame(path)
                posterior.predict(frame, num_samples=samples, precision="float32")

        def whole(number: int) -> None:
            _evaluate(posterior, folders[many], samples, bootstrap)

        times = compare(
            {"predict": predict, "evaluate": whole}, rounds=settings.rounds, warm_up=False
        )
        memory: dict[str, Any] = {}
        if STATUS.exists():
            for number, where in folders.items():
                task = [str(saved), str(where), samples, bootstrap]
                found = run_child("benchmarks.evaluation", task)
                memory[f"{number} frames"] = {k: round(v / MIB, 1) for k, v in found.items()}
    rows = [{"case": name, "seconds": times.cost(name)} for name in ("predict", "evaluate")]
    show(rows)
    share = 1.0 - times.cost("predict").median / times.cost("evaluate").median
    print(f"share of an evaluation beyond prediction: {share:.1%}")
    print(f"peak memory in MiB: {memory}")
    sizes = {"side": side, "width": width, "samples": samples, "frames": many}
    return {"sizes": sizes, "rows": rows, "seconds": times, "share": share, "memory": memory}


def _frames(folder: Path, number: int, side: int) -> Path:
    """A folder of that many exposures: three simulated ones, copied."""
    originals = [
        simulate(folder / "originals", field, frames=1, size=side, seed=0)[0] for field in FIELDS
    ]
    for index in range(number):
        shutil.copy(originals[index % len(originals)], folder / f"exposure-{index:03d}.fits")
    shutil.rmtree(folder / "originals")
    return folder


def _evaluate(posterior: Posterior, folder: Path, samples: int, bootstrap: int) -> None:
    dataset = PatchDataset.from_directory(
        folder, patch=None, scaling=posterior.scaling, in_memory=False
    )
    evaluate({"mean-field": posterior}, dataset, num_samples=samples, num_bootstrap=bootstrap)


def _child(saved: str, folder: str, samples: int, bootstrap: int) -> None:
    posterior = Posterior.load(saved)
    found: dict[str, float] = {}
    with peaks(found):
        _evaluate(posterior, Path(folder), samples, bootstrap)
    print(json.dumps(found))


if __name__ == "__main__":
    _child(*json.loads(sys.argv[1]))
