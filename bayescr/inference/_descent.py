"""Gradient steps on the annealed negative ELBO: the inner loop of `fit`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bayescr._progress import Advance
from bayescr.data import Patch, PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference.annealing import KLSchedule
from bayescr.inference.elbo import AnnealedELBO
from bayescr.inference.gradients import GradientEstimator
from bayescr.models._layout import channels_last

__all__ = ["Descent", "move"]


@dataclass(kw_only=True)
class Descent:
    """Adam on the loss per pixel, neg_elbo(t) / num_pixels.

    Attributes:
        modules: ``model`` and ``guide``; their parameters that ask for gradients are moved.
        train: The data.
        num_pixels: Valid labels in them.
        total: Steps of the whole fit, which the schedules divide.
        batch_size: Images a step.
        learning_rate: By fraction of steps.
        kl_schedule: kl_weight by fraction of steps.
        estimator: Of the gradient.
        clip_norm: Largest norm of the gradient; None for no limit.
        device: Where the modules are.
        step: Steps done.
    """

    modules: nn.ModuleDict
    train: PatchDataset
    num_pixels: int
    total: int
    batch_size: int
    learning_rate: Callable[[float], float]
    kl_schedule: KLSchedule
    estimator: GradientEstimator
    clip_norm: float | None
    device: torch.device
    step: int = 0

    def __post_init__(self) -> None:
        order = torch.Generator()
        order.manual_seed(int(torch.randint(2**62, ())))
        self.loader: DataLoader[Patch] = DataLoader(
            self.train, batch_size=self.batch_size, shuffle=True, generator=order
        )
        self.parameters = [p for p in self.modules.parameters() if p.requires_grad]
        factors = _learning_rate_factors(self.modules)
        groups: dict[float, list[nn.Parameter]] = defaultdict(list)
        for parameter in self.parameters:
            groups[factors.get(parameter, 1.0)].append(parameter)
        self.optimiser = torch.optim.Adam(
            [{"params": group, "factor": factor} for factor, group in groups.items()], fused=True
        )
        self.elbo = AnnealedELBO()

    def epoch(self, advance: Advance) -> dict[str, float]:
        """One pass over the data; returns the means of its steps and the last kl_weight."""
        self.modules.train()
        self.train.set_epoch(self.step // len(self.loader))
        rows = []
        for batch in self.loader:
            rows.append(self._step(*move(batch, self.device)))
            advance(1, _status(rows[-1]))
        means = {key: sum(row[key] for row in rows) / len(rows) for key in ("loss", "nll", "kl")}
        return {**means, **{key: rows[-1][key] for key in ("kl_weight", "learning_rate")}}

    def _step(self, image: Tensor, target: Tensor, valid: Tensor) -> dict[str, float]:
        self.step += 1
        fraction = self.step / self.total
        rate, kl_weight = self.learning_rate(fraction), self.kl_schedule(fraction)
        model: Any = self.modules["model"]
        guide: Any = self.modules["guide"]
        with self.estimator(model, guide):
            terms = self.elbo.terms(model, guide, image, target, valid, num_images=len(self.train))
        loss = (kl_weight * terms.kl - terms.log_likelihood) / self.num_pixels
        self.optimiser.zero_grad()
        loss.backward()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimiser.step()
        on_step = getattr(guide, "on_step", None)
        if on_step is not None:
            on_step(step=self.step, fraction=fraction)
        _check_finite(loss.item(), self.step, rate)
        return {
            "loss": loss.item(),
            "nll": -terms.log_likelihood.item() / self.num_pixels,
            "kl": terms.kl.item(),
            "kl_weight": kl_weight,
            "learning_rate": rate,
        }


def move(batch: Patch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Image, target and valid of a batch on a device."""
    image = batch["image"].to(device, non_blocking=True)
    return channels_last(image), batch["target"].to(device), batch["valid"].to(device)


def _learning_rate_factors(modules: nn.Module) -> dict[nn.Parameter, float]:
    """By how much some parameters are to move faster, as the modules that own them say.

    They say so themselves: an attribute of a parameter would not survive a copy of the model.

    Raises:
        BayescrError: If a module names what is no parameter of its own.
    """
    factors = {}
    for path, module in modules.named_modules():
        own = dict(module.named_parameters(recurse=False))
        for name, factor in getattr(module, "learning_rate_factors", {}).items():
            if name in own:
                factors[own[name]] = factor
            elif getattr(module, name, module) is not None:  # None: it has none this time
                raise BayescrError(
                    f"learning_rate_factors of '{path}', a {type(module).__name__}, names "
                    f"'{name}': expected a parameter of its own, of {', '.join(own) or 'none'}"
                )
    return factors


def _status(values: dict[str, float]) -> str:
    return (
        f"loss {values['loss']:.4f} NLL {values['nll']:.4f} KL {values['kl']:.2g} "
        f"kl_weight {values['kl_weight']:.2f}"
    )


def _check_finite(loss: float, step: int, learning_rate: float) -> None:
    if not math.isfinite(loss):
        raise BayescrError(
            f"the loss is {loss} at step {step}: lower learning_rate (now {learning_rate:g}), "
            "train in precision='float32', or look for non-finite pixels in the data"
        )
