"""How much of the processor's matrix-product speed the engine reaches.

The yardstick is the fastest square matrix product of several sizes, measured in the same round. The
work is that of the convolutions alone, counted by torch and by hand: what else the engine does
(rectifiers, pooling, sigmoids, sums over draws, drawing) takes time and counts for nothing. "All"
counts the halos of the tiles as work, which the processor does; "useful" does not.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bayescr.inference.predictive import windows
from bayescr.models import halo
from benchmarks import reference
from benchmarks.common import Settings, noise, precisions, untrained
from benchmarks.timing import Spread, compare, show

TILE = 256
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def run(settings: Settings) -> dict[str, Any]:
    side, width, samples = (512, 8, 2) if settings.quick else (1024, 32, 8)
    orders = (128, 256) if settings.quick else (512, 1024, 2048, 4096)
    budget = 1e8 if settings.quick else 4e10  # FLOP of a timed matrix product, repeats included
    posterior = untrained(width=width)
    net = reference.network(posterior)
    per_pixel = flops_per_pixel(net)
    _check_count(per_pixel, width)

    tiles = windows(side, side, tile=TILE, stride=net.stride,
                    halo=halo(net, stride=net.stride))  # fmt: skip
    outer = sum(_area(window.outer) for window in tiles)
    one = max((window.outer for window in tiles), key=_area)
    frame = noise(side)
    image = torch.from_numpy(posterior.scaling(frame)[0])
    draws = posterior.draw(samples)

    def network(precision, number):
        for _ in posterior.logits(image[(..., *one)], draws=draws, tile=None, precision=precision):
            pass

    def engine(precision, number):
        posterior.predict(frame, num_samples=samples, seed=number, tile=TILE,
                          precision=precision)  # fmt: skip

    plain_draws = reference.weights(posterior, 1)
    cases: dict[str, Any] = {"plain": lambda number: reference.predict(net, plain_draws, image)}
    work = {"plain": per_pixel * side**2}
    useful = {"plain": 1.0}
    for precision in precisions():
        for order in orders:
            repeats = max(1, round(budget / (2 * order**3)))
            cases[f"product of {order}, {precision}"] = _products(order, repeats, precision)
            work[f"product of {order}, {precision}"] = repeats * 2.0 * order**3
        for name, case, area, kept in (
            ("a tile", network, _area(one), TILE**2),
            ("predict", engine, outer, side**2),
        ):
            cases[f"{name}, {precision}"] = partial(case, precision)
            work[f"{name}, {precision}"] = per_pixel * samples * area
            useful[f"{name}, {precision}"] = kept / area
    times = compare(cases, rounds=settings.rounds, work=work)

    rows = []
    for name in useful:
        precision = "float32" if name == "plain" else name.rpartition(", ")[2]
        peak = 1 / np.min([times.costs(f"product of {n}, {precision}") for n in orders], axis=0)
        speed = 1 / times.costs(name)
        rows.append(
            {
                "case": name,
                "peak GFLOP/s": Spread.of(peak / 1e9),
                "all GFLOP/s": Spread.of(speed / 1e9),
                "all of peak": Spread.of(speed / peak),
                "useful of peak": Spread.of(useful[name] * speed / peak),
            }
        )
    print(f"{per_pixel:.0f} FLOP a pixel; tiles of {TILE} with halo, {outer / side**2:.3f} pixels "
          "computed for one kept\n")  # fmt: skip
    show(rows)
    sizes = {"side": side, "width": width, "samples": samples, "flop_per_pixel": per_pixel}
    return {"sizes": sizes, "rows": rows, "seconds": times}


@torch.no_grad()
def flops_per_pixel(net: nn.Module) -> float:
    """Of the convolutions; a multiplication and an addition are two."""
    image = torch.zeros(1, 1, 64, 64, device=next(net.parameters()).device)
    with FlopCounterMode(display=False) as counter:
        net(image)
    return counter.get_total_flops() / image.numel()


def _check_count(per_pixel: float, width: int) -> None:
    """Level by level, w = width: 18 w + 18 w^2 above, (36 + 72) w^2 on a quarter of the pixels
    below, 4 w^2 to come up (one tap of a 2 x 2 kernel), (36 + 18) w^2 and the head's 2 w."""
    by_hand = 20 * width + (18 + 108 / 4 + 4 + 54) * width**2
    if abs(per_pixel / by_hand - 1) > 1e-6:
        raise ValueError(f"torch counts {per_pixel} FLOP a pixel, the hand {by_hand}")


def _products(order: int, repeats: int, precision: str) -> Any:
    left, right, out = (torch.randn(order, order).to(DTYPES[precision]) for _ in range(3))

    def case(number: int) -> None:
        for _ in range(repeats):
            torch.mm(left, right, out=out)

    return case


def _area(window: tuple[slice, slice]) -> int:
    rows, columns = window
    return (rows.stop - rows.start) * (columns.stop - columns.start)
