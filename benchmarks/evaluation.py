"""What an evaluation costs beyond the predictions, and whether its memory grows with the frames.

The frames are simulated exposures under many names: what metrics cost does not depend on which
pixels are hit. "network" is the time inside the posterior that is evaluated, drawing weights and
passing frames through the network; all that `evaluate` takes beyond is metrics: reading, sums over
the draws, their likelihoods, every statistic, the bootstrap and the tables. Peak memory is that of
an interpreter of its own, on top of what it takes with torch, bayescr and the posterior loaded.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bayescr.data import PatchDataset
from bayescr.evaluation import evaluate
from bayescr.inference import Posterior
from bayescr.simulation import INSTRUMENTS, simulate
from benchmarks.common import Settings, untrained
from benchmarks.memory import MIB, STATUS, peaks, run_child
from benchmarks.timing import Spread


def run(settings: Settings) -> dict[str, Any]:
    side, width, samples = (64, 4, 2) if settings.quick else (512, 32, 16)
    few, many = (2, 6) if settings.quick else (10, 100)
    with tempfile.TemporaryDirectory(dir=settings.output) as folder:
        saved = untrained(width=width).save(Path(folder) / "posterior")
        folders = {
            number: _frames(Path(folder) / str(number), number, side) for number in (few, many)
        }
        bootstrap = 10 if settings.quick else 1000
        shares, seconds = [], []
        for _ in range(settings.rounds):
            watched = Watched(Posterior.load(saved))
            start = time.perf_counter()
            _evaluate(watched, folders[many], samples, bootstrap)
            seconds.append(time.perf_counter() - start)
            shares.append(1.0 - watched.seconds / seconds[-1])
        memory: dict[str, Any] = {}
        if STATUS.exists():
            for number, where in folders.items():
                task = [str(saved), str(where), samples, bootstrap]
                found = run_child("benchmarks.evaluation", task)
                memory[f"{number} frames"] = {k: round(v / MIB, 1) for k, v in found.items()}
    total, share = Spread.of(seconds), Spread.of(shares)
    print(f"{many} frames of {side} x {side}, {samples} draws: {total} s, of which beyond the")
    print(f"network {share}; peak memory in MiB: {memory}")
    sizes = {"side": side, "width": width, "samples": samples, "frames": many}
    return {"sizes": sizes, "seconds": total, "share beyond network": share, "memory": memory}


class Watched:
    """A posterior that knows how long its network has taken."""

    def __init__(self, posterior: Posterior) -> None:
        self.posterior, self.seconds = posterior, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.posterior, name)

    def logits(self, *arguments: Any, **settings: Any) -> Iterator[Any]:
        draws = self.posterior.logits(*arguments, **settings)
        while True:
            start = time.perf_counter()
            logits = next(draws, None)
            self.seconds += time.perf_counter() - start
            if logits is None:
                return
            yield logits


def _frames(folder: Path, number: int, side: int) -> Path:
    """A folder of that many exposures: three simulated ones, copied."""
    originals = [
        simulate(folder / "originals", field, frames=1, size=side, seed=0)[0]
        for field in INSTRUMENTS["hst-acs-wfc"].fields
    ]
    for index in range(number):
        shutil.copy(originals[index % len(originals)], folder / f"exposure-{index:03d}.fits")
    shutil.rmtree(folder / "originals")
    return folder


def _evaluate(posterior: Any, folder: Path, samples: int, bootstrap: int) -> None:
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
