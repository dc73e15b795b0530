"""Interleaved measurements, their ratios, and the files that keep them.

Cases are measured in turn, once a round, in alternating order, so that a machine that slows down
or is shared slows all of them. What is compared are the ratios within a round; the median over the
rounds is reported with the quartiles.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

import bayescr
from bayescr._files import atomic_path

Case = Callable[[int], Any]
Measure = Callable[[Callable[[], Any]], float]


@dataclass(frozen=True)
class Spread:
    """Median and quartiles over the rounds."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Any) -> Spread:
        lower, median, upper = np.quantile(np.asarray(values, float), (0.25, 0.5, 0.75))
        return cls(float(median), float(lower), float(upper))

    def __str__(self) -> str:
        median, lower, upper = (
            f"{x:.3g}" if abs(x) < 1000 else f"{x:.0f}"
            for x in (self.median, self.lower, self.upper)
        )
        return median if lower == upper else f"{median} ({lower} to {upper})"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was measured, by case, a number for each round.

    Attributes:
        measured: Seconds, or what else was measured.
        work: What a case did in units of its own; 1 where nothing is said.
    """

    measured: dict[str, list[float]]
    work: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def costs(self, name: str) -> np.ndarray:
        """Cost of a unit of work in each round."""
        return np.array(self.measured[name]) / self.work.get(name, 1.0)

    def cost(self, name: str, *, scale: float = 1.0) -> Spread:
        return Spread.of(scale * self.costs(name))

    def ratio(self, name: str, reference: str) -> Spread:
        """Cost of a unit of work in units of the reference's, round by round."""
        return Spread.of(self.costs(name) / self.costs(reference))


def compare(
    cases: Mapping[str, Case],
    *,
    rounds: int,
    work: Mapping[str, float] | None = None,
    measure: Measure | None = None,
    warm_up: bool = True,
) -> Comparison:
    """Measure every case once a round.

    Args:
        cases: Functions of the round's number, from 0 up: a seed, so that no result is met twice.
        rounds: How many.
        work: Units of work by case.
        measure: What is measured of a call; default `seconds`.
        warm_up: Whether every case is first called once unmeasured, as round ``rounds``.
    """
    measure = measure or seconds
    for case in cases.values() if warm_up else ():
        case(rounds)
    measured: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        names = list(cases) if number % 2 == 0 else list(cases)[::-1]
        for name in names:
            gc.collect()
            measured[name].append(measure(lambda name=name, number=number: cases[name](number)))
    return Comparison(measured=measured, work=dict(work or {}))


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def device_seconds(call: Callable[[], Any]) -> float:
    """Seconds on the clock of the GPU, from an idle device to an idle device."""
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    call()
    stop.record()
    torch.cuda.synchronize()
    return start.elapsed_time(stop) / 1e3


def show(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table."""
    plain = [
        {key: f"{v}" if isinstance(v, Spread) else v for key, v in row.items()} for row in rows
    ]
    print(tabulate(plain, headers="keys", tablefmt="github", floatfmt=".3g"), "\n", flush=True)


def machine() -> dict[str, Any]:
    """What the numbers were measured on, and how busy it was."""
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # not in every torch release
    amx, avx512_bf16 = (bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "amx": amx,
        "avx512_bf16": avx512_bf16,
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "bayescr": bayescr.__version__,
    }


def write(path: Path, name: str, settings: Any, on: dict[str, Any], result: Any) -> None:
    """Write a benchmark's settings, machine and results as JSON."""
    content = {"benchmark": name, "machine": on, "settings": settings, "result": result}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, default=_plain) + "\n")
    print(f"written: {path}", flush=True)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    return value.item() if isinstance(value, np.generic) else str(value)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
