"""Peak memory of a prediction, for few and many draws, and for a frame that is left on disk.

Each case runs in an interpreter of its own; counted is what comes on top of the interpreter with
torch, bayescr and the posterior loaded, frame and maps included. "Resident" is the kernel's own
high-water mark. Of it, pages of mapped files can go back to disk at any time; "private", sampled
every few milliseconds, is what is left without them. The reference keeps two sums, the least that a
plain loop can do; it too has its frame in memory. Only Linux tells these numbers.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bayescr.inference import Posterior
from benchmarks import reference
from benchmarks.common import Settings, untrained
from benchmarks.timing import Comparison, compare, show

STATUS = Path("/proc/self/status")
MIB = 2.0**20


def run(settings: Settings) -> dict[str, Any]:
    if not STATUS.exists():
        print("skipped: this system has no /proc/self/status")
        return {"skipped": "no /proc/self/status"}
    side, large, width = (256, 1024, 8) if settings.quick else (2048, 8192, 32)
    numbers, few = ((2, 4), 2) if settings.quick else ((4, 16, 64), 4)
    with tempfile.TemporaryDirectory(dir=settings.output) as folder:
        saved = untrained(width=width).save(Path(folder) / "posterior")
        frames = {size: _frame_file(Path(folder) / f"{size}.npy", size) for size in (side, large)}
        plain = f"plain, {numbers[1]} draws"
        tasks = {plain: ("plain", frames[side], numbers[1], None)}
        for number in numbers:
            tasks[f"product, {number} draws"] = ("product", frames[side], number, None)
        on_disk = f"product, {large} x {large} on disk, {few} draws"
        tasks[on_disk] = ("product", frames[large], few, f"{folder}/maps")
        private: dict[str, list[float]] = {name: [] for name in tasks}

        def in_its_own_process(name):
            found = run_child("benchmarks.memory", [str(saved), *tasks[name]])
            private[name].append(found["private"])
            return found["resident"]

        # What a case returns is what is measured: bytes.
        resident = compare(
            {name: lambda number, name=name: in_its_own_process(name) for name in tasks},
            rounds=settings.rounds, measure=lambda call: call(), warm_up=False,
        )  # fmt: skip
    kinds = {"resident": resident, "private": Comparison(measured=private)}
    rows = [
        {"case": name}
        | {f"{kind} MiB": peaks.cost(name, scale=1 / MIB) for kind, peaks in kinds.items()}
        | {f"{kind} of plain": peaks.ratio(name, plain) for kind, peaks in kinds.items()}
        for name in tasks
    ]
    print(f"{side} x {side} pixels unless it says otherwise, width {width}\n")
    show(rows)
    return {"sizes": {"side": side, "width": width}, "peaks": rows, "bytes": kinds}


def _frame_file(path: Path, side: int) -> str:
    """A frame of noise in a file, written a strip at a time."""
    frame = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(side, side))
    for row in range(0, side, 256):
        rng = np.random.default_rng(row)
        frame[row : row + 256] = rng.normal(100.0, 10.0, frame[row : row + 256].shape)
    frame.flush()
    return str(path)


def run_child(module: str, task: list[Any]) -> dict[str, float]:
    command = [sys.executable, "-m", module, json.dumps(task)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _child(saved: str, kind: str, file: str, samples: int, scratch: str | None) -> None:
    posterior = Posterior.load(saved)
    found: dict[str, float] = {}
    with peaks(found):
        frame = np.load(file, mmap_mode=None if scratch is None else "r")
        if kind == "plain":
            image = torch.from_numpy(posterior.scaling(frame)[0])
            draws = reference.weights(posterior, samples)
            result = reference.predict(reference.network(posterior), draws, image)
        else:
            result = posterior.predict(
                frame, num_samples=samples, precision="auto", scratch=scratch
            )  # fmt: skip
    del result
    print(json.dumps(found))


@contextlib.contextmanager
def peaks(found: dict[str, float]) -> Iterator[None]:
    """Note the peaks of resident and of private memory in a block, above what was there before."""
    Path("/proc/self/clear_refs").write_text("5")  # starts the high-water mark anew
    before, highest = _status(), [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.003):
            highest[0] = max(highest[0], _status()["RssAnon"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        found["resident"] = _status()["VmHWM"] - before["VmRSS"]
        found["private"] = highest[0] - before["RssAnon"]


def _status() -> dict[str, int]:
    """Memory of this process in bytes, by the kernel's names."""
    lines = [line.split() for line in STATUS.read_text().splitlines()]
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if words[-1] == "kB"}


if __name__ == "__main__":
    _child(*json.loads(sys.argv[1]))
