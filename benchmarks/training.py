"""Time of a training step: mean field and MAP, against plain PyTorch.

The references (`benchmarks.reference`) train the same U-Net on the same batch: Bayes by backprop
and a deterministic step in default layout, float32 and unfused Adam, and a deterministic step as
fast as torch makes it without compiling: channels last, our precision, fused Adam. Our step is what
`fit` does with a batch: ELBO, gradients, clipping, Adam, the row of the history. The batch is
prepared beforehand on all sides; what it takes to load one is a case of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from bayescr._device import compute_dtype
from bayescr.data import PatchDataset
from bayescr.inference import annealing, gradients, guides
from bayescr.inference._descent import Descent, move
from bayescr.inference._pyro import build_guide, local_parameters
from bayescr.models import BayesianSegmenter, UNet
from benchmarks.common import CPU, Settings, noise
from benchmarks.reference import MeanFieldTraining, PlainTraining
from benchmarks.timing import compare, show

BATCH = 16
REFERENCES = ("plain mean-field", "plain deterministic", "fast deterministic")


def run(settings: Settings) -> dict[str, Any]:
    sizes = {"large": (32, 128, 2), "small": (8, 64, 20)}  # width, side of a patch, steps timed
    if settings.quick:
        sizes = {"small": (4, 32, 2)}
    result = {}
    for name, (width, side, steps) in sizes.items():
        print(f"{name}: width {width}, batch of {BATCH} x {side} x {side}\n")
        result[name] = _at_size(settings, width, side, steps)
    return result


def _at_size(settings: Settings, width: int, side: int, steps: int) -> dict[str, Any]:
    frames = [noise(4 * side, seed=seed) for seed in range(4)]
    truths = [np.random.default_rng(seed).random((4 * side,) * 2) < 0.01 for seed in range(4)]
    data = PatchDataset.from_frames(frames, truths, patch=side).augmented()
    loader = _descent(guides.MAP(), data, width).loader
    batch = next(iter(loader))
    plain = batch["image"], batch["target"], batch["valid"]
    dtype = compute_dtype("auto", CPU)
    bayes = MeanFieldTraining(_net(width), num_images=len(data))
    slow, fast = PlainTraining(_net(width)), PlainTraining(_net(width), fast=True, dtype=dtype)
    ready = move(batch, CPU)

    one_step: dict[str, Callable[[], Any]] = {
        "plain mean-field": lambda: bayes.step(*plain),
        "plain deterministic": lambda: slow.step(*plain),
        "fast deterministic": lambda: fast.step(*ready),
    }
    for guide in (guides.MeanField(), guides.MAP()):
        for precision in ("auto", "float32"):
            descent = _descent(guide, data, width)
            name = "mean-field" if isinstance(guide, guides.MeanField) else "MAP"
            one_step[f"{name}, {precision}"] = _step(descent, ready, precision)

    def repeated(step):
        def case(number):
            torch.manual_seed(number)
            for _ in range(steps):
                step()

        return case

    cases = {name: repeated(step) for name, step in one_step.items()}
    cases["loading a batch"] = lambda number: [None for _ in loader]
    work = {**dict.fromkeys(one_step, float(steps)), "loading a batch": float(len(loader))}
    times = compare(cases, rounds=settings.rounds, work=work)
    rows = [
        {
            "a step of": name,
            "ms": times.cost(name, scale=1e3),
            **{f"relative to {other}": times.ratio(name, other) for other in REFERENCES},
        }
        for name in one_step
    ]
    loading = [
        {"case": name, "share of loading": times.ratio("loading a batch", name)}
        for name in ("mean-field, auto", "MAP, auto")
    ]
    show(rows)
    show(loading)
    settings_of = {"width": width, "side": side, "batch": BATCH, "auto": str(dtype)}
    return {"sizes": settings_of, "steps": rows, "loading": loading, "seconds": times}


def _net(width: int) -> UNet:
    torch.manual_seed(0)
    return UNet(width=width, depth=2)


def _descent(guide: guides.GuideFactory, data: PatchDataset, width: int) -> Descent:
    """The inner loop of `fit`, far from its end."""
    model = BayesianSegmenter(_net(width))
    built = build_guide(guide, model, in_channels=1)
    return Descent(
        modules=nn.ModuleDict({"model": model, "guide": built}).train(),
        train=data,
        num_pixels=len(data) * data[0]["valid"].numel(),
        total=10**6,
        batch_size=BATCH,
        learning_rate=lambda fraction: 1e-3,
        kl_schedule=annealing.linear(),
        estimator=gradients.WeightDraws(),
        clip_norm=1.0,
        device=CPU,
    )


def _step(descent: Descent, batch: Any, precision: str) -> Callable[[], Any]:
    dtype = compute_dtype(precision, CPU)

    def step():
        with local_parameters(), descent.modules["model"].computing_in(dtype):
            return descent._step(*batch)

    return step
