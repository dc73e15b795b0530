"""How time grows with pixels, draws, width and threads, beside the plain loop at each point.

At every point product and reference (`benchmarks.reference.predict`, one draw) run in turn on the
same frame with the same network and threads. Times are per pixel and draw: flat is linear growth.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch

from benchmarks import reference
from benchmarks.common import Settings, noise, untrained
from benchmarks.timing import compare, show


def run(settings: Settings) -> dict[str, Any]:
    base = {"side": 1024, "draws": 4, "width": 32, "threads": torch.get_num_threads()}
    sweeps = {
        "side": (512, 1024, 2048, 4096),
        "draws": (1, 2, 4, 8, 16, 32, 64),
        "width": (8, 16, 32, 64),
        "threads": _thread_counts(),
    }
    if settings.quick:
        base |= {"side": 64, "width": 4}
        sweeps |= {"side": (64, 128), "draws": (1, 4), "width": (4, 8)}
    result = {}
    for name, values in sweeps.items():
        points = [{**base, name: value} for value in values]
        if name == "draws":  # how many draws there are does not ask for a large frame
            points = [{**point, "side": base["side"] // 2} for point in points]
        result[name] = _sweep(settings, name, points)
    return result


def _sweep(settings: Settings, name: str, points: list[dict[str, int]]) -> dict[str, Any]:
    cases, work = {}, {}
    for point in points:
        ours, plain = f"product, {point[name]}", f"plain, {point[name]}"
        cases[ours], cases[plain] = _product(point), _plain(point)
        work[plain] = float(point["side"] ** 2)
        work[ours] = work[plain] * point["draws"]
    times = compare(cases, rounds=settings.rounds, work=work)
    first = points[0][name]
    rows = [
        {
            name: value,
            "seconds": times.cost(f"product, {value}", scale=work[f"product, {value}"]),
            "ns per pixel and draw": times.cost(f"product, {value}", scale=1e9),
            f"in that at {first}": times.ratio(f"product, {value}", f"product, {first}"),
            "plain ns": times.cost(f"plain, {value}", scale=1e9),
            "times faster": times.ratio(f"plain, {value}", f"product, {value}"),
        }
        for value in (point[name] for point in points)
    ]
    show(rows)
    return {"points": points, "rows": rows, "seconds": times}


def _product(point: dict[str, int]) -> Any:
    posterior, frame = _posterior(point["width"]), noise(point["side"])

    def case(number: int) -> None:
        with _threads(point["threads"]):
            posterior.predict(frame, num_samples=point["draws"], seed=number, precision="auto")

    return case


def _plain(point: dict[str, int]) -> Any:
    posterior = _posterior(point["width"])
    net, draws = reference.network(posterior), reference.weights(posterior, 1)
    image = torch.from_numpy(posterior.scaling(noise(point["side"]))[0])

    def case(number: int) -> None:
        with _threads(point["threads"]):
            reference.predict(net, draws, image)

    return case


@cache
def _posterior(width: int) -> Any:
    return untrained(width=width)


def _thread_counts() -> list[int]:
    """Powers of two up to the cores that this process may use, and these."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return sorted({2**power for power in range(cores.bit_length())} | {cores})


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
