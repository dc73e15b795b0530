"""Gradient estimators: noise of the gradient, spread over an image, expected loss, cost of a step.

A small mean-field posterior is trained on simulated exposures by flipout, whose bound is that of
weight draws. At its weights:

- noise: the variance of the gradient of the NLL per pixel with respect to the means of all weights,
  summed over them; over draws with the batch fixed, averaged over batches. Beside it the variance
  over batches of the gradient's expectation, the noise that there would be without any draws;
- spread: the standard deviation over draws of the mean logit of squares of an image;
- loss: the expected NLL per pixel of the same batches, which an estimator may or may not change;
- cost: a training step at the size of the published network, in turn with the others.

`gradient-estimators.png` shows the first two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bayescr._device import compute_dtype
from bayescr._random import seeded
from bayescr.data import PatchDataset
from bayescr.inference import Posterior, annealing, fit, gradients, guides
from bayescr.inference._descent import Descent, move
from bayescr.inference._pyro import build_guide, local_parameters
from bayescr.models import BayesianSegmenter, UNet
from bayescr.simulation import INSTRUMENTS, simulate_exposure
from benchmarks.common import CPU, Settings, noise
from benchmarks.gradients_figure import gradient_figure
from benchmarks.timing import compare, show

ESTIMATORS = {
    "weight draws": gradients.WeightDraws(),
    "flipout": gradients.Flipout(),
    "local reparameterisation": gradients.LocalReparameterisation(),
}
PATCH = 32


def run(settings: Settings) -> dict[str, Any]:
    posterior, data = _train(settings)
    batches = {1: 4, 4: 4} if settings.quick else {1: 160, 4: 64, 16: 24, 64: 12}
    scatter, ratios, losses = _scatter(posterior, data, batches, draws=16)
    for table in (scatter, ratios, losses):
        show(table)
    image, deviations, spread = _spread(posterior, many=8 if settings.quick else 300)
    show(spread)
    gradient_figure(settings.output / "gradient-estimators.png", image, deviations, spread, scatter)
    costs = _costs(settings)
    show(costs)
    return {"noise": scatter, "ratios": ratios, "loss": losses, "spread": spread, "costs": costs}


def _train(settings: Settings) -> tuple[Posterior, PatchDataset]:
    size, width, epochs = (64, 2, 1) if settings.quick else (256, 8, 20)
    fields = INSTRUMENTS["hst-acs-wfc"].fields
    exposures = [simulate_exposure(field, size=size, seed=1) for field in fields]
    data = PatchDataset.from_frames(
        [one.frame for one in exposures], [one.cosmic_rays for one in exposures], patch=PATCH
    )
    torch.manual_seed(0)
    model = BayesianSegmenter(UNet(width=width, depth=2))
    posterior = fit(
        model, guides.MeanField(), data, epochs=epochs, estimator=gradients.Flipout(),
        precision="float32",
    )  # fmt: skip
    return posterior, data


def _scatter(
    posterior: Posterior, data: PatchDataset, batches: dict[int, int], draws: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Variances by batch size and estimator, their ratios to weight draws, expected losses.

    Args:
        posterior: At whose weights.
        data: Where batches are drawn from.
        batches: How many, by their size.
        draws: Of the weights, for each batch.
    """
    rows, ratios, losses = [], [], []
    for size, count in batches.items():
        row: dict[str, Any] = {"batch": size}
        within: dict[str, np.ndarray] = {}
        for name, estimator in ESTIMATORS.items():
            picked = np.random.default_rng(size)
            found, loss = [], []
            with seeded(size), local_parameters():
                for _ in range(count):
                    batch = _batch(data, picked.choice(len(data), size, replace=False))
                    pairs = [_gradient(posterior, estimator, batch) for _ in range(draws)]
                    loss.append([float(value) for value, _ in pairs])
                    found.append(torch.stack([gradient for _, gradient in pairs]).double())
            each = torch.stack(found)  # (batches, draws, weights)
            within[name] = each.var(1).sum(1).numpy()
            row[name] = float(within[name].mean())
            if name == "flipout":  # any unbiased one would do; this scatters little
                between = float(each.mean(1).var(0).sum()) - row[name] / draws
                row["choice of images"] = max(between, 0.0)
            if size == max(batches):
                values = np.array(loss)
                error = values.std(1, ddof=1).mean() / math.sqrt(values.size)
                losses.append({"estimator": name, "NLL": values.mean(), "standard error": error})
        rows.append(row)
        ratios.append({"batch": size, **{name: _ratio(within, name) for name in within}})
    return rows, ratios, losses


def _ratio(within: dict[str, np.ndarray], name: str) -> str:
    """Of means over the same batches, with its standard error."""
    own, reference = within[name], within["weight draws"]
    ratio = own.mean() / reference.mean()
    error = (own - ratio * reference).std(ddof=1) / math.sqrt(own.size) / reference.mean()
    return f"{ratio:.2g} ± {error:.1g}"


def _batch(data: PatchDataset, chosen: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    items = [data[int(index)] for index in chosen]
    image, target, valid = (
        torch.stack([item[key] for item in items]) for key in ("image", "target", "valid")
    )
    return image, target, valid


def _gradient(
    posterior: Posterior, estimator: gradients.GradientEstimator, batch: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """NLL per pixel, and its gradient with respect to the means of the weights."""
    image, target, valid = batch
    with estimator(posterior.model, posterior.guide):
        logits = posterior.model.logits(image, posterior.guide())
    loss = functional.binary_cross_entropy_with_logits(logits[valid], target[valid])
    means = [site.loc for _, site in posterior.guide.sites()]
    return loss.detach(), torch.cat([g.flatten() for g in torch.autograd.grad(loss, means)])


def _spread(
    posterior: Posterior, *, many: int
) -> tuple[Tensor, dict[str, Tensor], list[dict[str, Any]]]:
    """An image, what one draw adds to its mean logits, and the spread of means over squares."""
    frame = simulate_exposure("globular-cluster", size=64, seed=2).frame
    image = torch.as_tensor(posterior.scaling(frame)[0]).float().reshape(1, 1, 64, 64)
    draws = {}
    for name, estimator in ESTIMATORS.items():
        with torch.no_grad(), seeded(0), local_parameters():
            logits = []
            for _ in range(many):
                with estimator(posterior.model, posterior.guide):
                    logits.append(posterior.model.logits(image, posterior.guide())[:, 0])
        draws[name] = torch.stack(logits)  # (draws, 1, H, W)
    rows = []
    for side in (1, 2, 4, 8, 16, 32, 64):
        row: dict[str, Any] = {"pixels": side**2}
        for name, logits in draws.items():
            means = functional.avg_pool2d(logits, side)
            row[name] = float(means.var(0).mean().sqrt())
        rows.append(row)
    deviations = {name: logits[0, 0] - logits.mean(0)[0] for name, logits in draws.items()}
    return image[0, 0], deviations, rows


def _costs(settings: Settings) -> list[dict[str, Any]]:
    """Milliseconds of a training step, and its ratio to one by weight draws."""
    width, side, batch, steps = (4, 32, 4, 1) if settings.quick else (32, 64, 16, 3)
    frames = [noise(2 * side, seed=seed) for seed in range(4)]
    truths = [np.random.default_rng(seed).random((2 * side,) * 2) < 0.01 for seed in range(4)]
    data = PatchDataset.from_frames(frames, truths, patch=side)
    dtype = compute_dtype("auto", CPU)

    def case(estimator: gradients.GradientEstimator) -> Callable[[int], None]:
        torch.manual_seed(0)
        model = BayesianSegmenter(UNet(width=width, depth=2))
        guide = build_guide(guides.MeanField(), model, in_channels=1)
        descent = Descent(
            modules=nn.ModuleDict({"model": model, "guide": guide}).train(), train=data,
            num_pixels=len(data) * side**2, total=10**6, batch_size=batch,
            learning_rate=lambda fraction: 1e-3, kl_schedule=annealing.linear(),
            estimator=estimator, clip_norm=1.0, device=CPU,
        )  # fmt: skip
        ready = move(next(iter(descent.loader)), CPU)

        def steps_of(number: int) -> None:
            torch.manual_seed(number)
            with local_parameters(), model.computing_in(dtype):
                for _ in range(steps):
                    descent._step(*ready)

        return steps_of

    cases = {name: case(estimator) for name, estimator in ESTIMATORS.items()}
    work = dict.fromkeys(cases, float(steps))
    times = compare(cases, rounds=settings.rounds, work=work)
    return [
        {
            "a step by": name,
            "ms": times.cost(name, scale=1e3),
            "relative to weight draws": times.ratio(name, "weight draws"),
            "precision": str(dtype),
        }
        for name in cases
    ]
