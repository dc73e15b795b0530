"""A GPU: time of a large frame, against the plain loop and against what the card can do.

Timed by the events of the device, from idle to idle, copies to and from it included. Its limits are
measured in the same rounds: a large copy for the memory, a large matrix product for the arithmetic.
Work is counted from the convolutions alone: their operations, and each one's input and output moved
once through memory. Neither halos nor rectifiers, pooling and sums count, so that the shares say
how far the whole is from a card that did nothing but convolve.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks import reference
from benchmarks.common import Settings, noise, untrained
from benchmarks.roofline import flops_per_pixel
from benchmarks.timing import Spread, compare, device_seconds, show

BYTES = {"float32": 4, "bfloat16": 2}


def run(settings: Settings) -> dict[str, Any]:
    if not torch.cuda.is_available():
        print("skipped: torch sees no GPU")
        return {"skipped": "torch sees no GPU"}
    side, width, samples = (512, 8, 4) if settings.quick else (4096, 32, 16)
    order, moved = (1024, 2**26) if settings.quick else (8192, 2**31)  # rows; bytes of the copy
    frame = noise(side)
    posterior = untrained(width=width).to("cuda")
    net = reference.network(posterior).cuda()
    flops, values = flops_per_pixel(net), values_per_pixel(net)
    image = torch.from_numpy(posterior.scaling(frame)[0]).cuda()
    draws = reference.weights(posterior, 1)
    source = torch.ones(moved, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)

    def predict(precision, number):
        posterior.predict(frame, num_samples=samples, seed=number, precision=precision)

    cases: dict[str, Any] = {
        "plain": lambda number: [one.cpu() for one in reference.predict(net, draws, image)],
        "copy": lambda number: target.copy_(source),
    }
    pixels = float(side**2)
    work = {"plain": pixels, "copy": 2.0 * moved}  # a copy reads and writes
    for precision in BYTES:
        left, right = (
            torch.randn(order, order, device="cuda", dtype=getattr(torch, precision))
            for _ in range(2)
        )
        cases[f"product, {precision}"] = partial(_product, left, right)
        cases[precision] = partial(predict, precision)
        work |= {f"product, {precision}": 2.0 * order**3, precision: pixels * samples}
    times = compare(cases, rounds=settings.rounds, work=work, measure=device_seconds)

    rows = []
    for precision, size in BYTES.items():
        cost, product = times.costs(precision), times.costs(f"product, {precision}")
        rows.append(
            {
                "precision": precision,
                "seconds": times.cost(precision, scale=work[precision]),
                "ns per pixel and draw": times.cost(precision, scale=1e9),
                "times faster than plain": times.ratio("plain", precision),
                "share of arithmetic": Spread.of(flops * product / cost),
                "share of memory": Spread.of(size * values * times.costs("copy") / cost),
            }
        )
    limits = [
        {"limit": "memory, GB/s", "measured": Spread.of(1e-9 / times.costs("copy"))},
        *(
            {
                "limit": f"{precision} product, TFLOP/s",
                "measured": Spread.of(1e-12 / times.costs(f"product, {precision}")),
            }
            for precision in BYTES
        ),
    ]
    show(limits)
    show(rows)
    sizes = {
        "side": side, "width": width, "samples": samples, "flop_per_pixel": flops,
        "values_per_pixel": values,
    }  # fmt: skip
    return {"sizes": sizes, "limits": limits, "rows": rows, "seconds": times}


@torch.no_grad()
def values_per_pixel(net: nn.Module) -> float:
    """Numbers that the convolutions read and write for a pixel of the image."""
    moved = []
    hooks = [
        layer.register_forward_hook(
            lambda layer, args, output: moved.append(args[0].numel() + output.numel())
        )
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    image = torch.zeros(1, 1, 64, 64, device=next(net.parameters()).device)
    net(image)
    for hook in hooks:
        hook.remove()
    return sum(moved) / image.numel()


def _product(left: torch.Tensor, right: torch.Tensor, number: int) -> None:
    """In float32 with TensorFloat-32 if there is such, as torch's convolutions are by default."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    torch.mm(left, right)
    torch.set_float32_matmul_precision(before)
