"""Seconds per simulated frame, by instrument and field, and with several processes.

The first table has processor seconds of frames that one process simulates and writes, each with
another seed; the second seconds of a series by ``bayescr simulate``, start included, by the number
of processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bayescr.simulation import INSTRUMENTS, simulate
from benchmarks.common import Settings
from benchmarks.simulation_figure import simulation_figure
from benchmarks.timing import Spread, compare, show


def run(settings: Settings) -> dict[str, Any]:
    side, count = (48, 2) if settings.quick else (256, 64)
    instruments = list(INSTRUMENTS)[:2] if settings.quick else list(INSTRUMENTS)
    with tempfile.TemporaryDirectory() as folder:
        by_field = [
            _frames(Path(folder), name, field, side, 2 * settings.rounds)
            for name in instruments
            for field in INSTRUMENTS[name].fields
        ]
        show(by_field)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        cases = {
            f"{name}, workers={workers}": partial(_series, Path(folder), name, workers, side, count)
            for name in instruments
            for workers in (1, max(cores, 2))
        }
        times = compare(cases, rounds=settings.rounds, warm_up=False)
    series = [
        {"case": name, "frames": count, "seconds": times.cost(name)} for name in times.measured
    ]
    show(series)
    simulation_figure(settings.output / "simulation.png", side=32 if settings.quick else 160)
    return {"side": side, "count": count, "frames": by_field, "series": series}


def _frames(folder: Path, name: str, field: str, side: int, count: int) -> dict[str, Any]:
    """Processor seconds of single frames in this process, the first left out."""
    seconds = []
    for seed in range(count + 1):
        start = time.process_time()
        simulate(folder, field, frames=1, instrument=name, size=side, seed=seed, overwrite=True)
        seconds.append(time.process_time() - start)
    return {
        "instrument": name,
        "field": field,
        "processor seconds": Spread.of(seconds[1:]),
        "mean": float(np.mean(seconds[1:])),
        "slowest": max(seconds[1:]),
    }


def _series(folder: Path, name: str, workers: int, side: int, count: int, number: int) -> None:
    """A series of the first of the instrument's fields, by the command line."""
    options = {
        "instrument": name, "field": INSTRUMENTS[name].fields[0], "frames": count, "size": side,
        "seed": number, "workers": workers, "output": folder,
    }  # fmt: skip
    words = [str(word) for key, value in options.items() for word in (f"--{key}", value)]
    command = [sys.executable, "-m", "bayescr", "simulate", "--overwrite", *words]
    subprocess.run(command, check=True, capture_output=True)
