"""SWAG: the iterates of the last part of a training by points have a mean and a covariance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import Distribution
from torch import Tensor

from bayescr._checks import check_count, check_positive, check_share
from bayescr.errors import BayescrError
from bayescr.inference import annealing
from bayescr.inference.guides._joint import Patterns, check_patterns
from bayescr.inference.guides._posthoc import PosthocGuide
from bayescr.inference.guides.low_rank import LowRankNormal
from bayescr.models import BayesianSegmenter

__all__ = ["SWAG"]


@dataclass(frozen=True, kw_only=True)
class SWAG:
    """Stochastic weight averaging, Gaussian: a normal fitted to the iterates of the optimiser.

        w ~ N(m, scale^2 / 2 (diag(v) + D D^T / (K - 1)))

    m and v are mean and variance of the iterates, the K columns of D the differences of the last
    of them from their running mean: one normal over all layers. Trains as `MAP` does, at a
    learning rate that falls until the collecting begins and is then held. What the spread
    approximates depends on that rate, too: no bound is maximised.

    Parameters that are not random are not averaged, nor are the statistics of batch
    normalisation: both stay those of the last step; ``norm="layer"`` has no such statistics.

    Attributes:
        on: Patterns of the names of the weights that are averaged; the others are points.
        rank: Most columns of D; with fewer iterates than that it has a column for each.
        collect_from: Fraction of the steps from which iterates are collected.
        iterates: How many, evenly spaced; fewer, where there are fewer steps.
        held_rate: The learning rate of the collecting part, as a fraction of its top.
        scale: Of the spread; 1 is the method as published.

    References:
        Maddox et al., "A Simple Baseline for Bayesian Uncertainty in Deep Learning",
        arXiv:1902.02476.
    """

    on: Patterns = "*"
    rank: int = 10
    collect_from: float = 0.6
    iterates: int = 40
    held_rate: float = 0.5
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_patterns(self)
        check_count(self, "rank", "iterates", least=2)
        check_share(self, "collect_from")
        check_positive(self, "held_rate", "scale")

    def learning_rate_schedule(self, fraction: float) -> float:
        """Multiplier of the learning rate: `annealing.swa`."""
        warmup = min(0.05, self.collect_from)
        return annealing.swa(start=self.collect_from, final=self.held_rate, warmup=warmup)(fraction)

    def __call__(self, model: BayesianSegmenter) -> PosthocGuide:
        """The guide of a model."""
        return _Averaged(model, self)


class _Averaged(PosthocGuide):
    keeps_last = True  # the mean belongs to the last steps, not to an earlier epoch

    mean: Tensor
    squares: Tensor
    deviations: Tensor
    collected: Tensor

    def __init__(self, model: BayesianSegmenter, settings: SWAG) -> None:
        super().__init__(model, settings.on)
        self.settings, self.slot = settings, 0
        start = self.centre().detach()
        self.register_buffer("mean", torch.zeros_like(start))
        self.register_buffer("squares", torch.zeros_like(start))  # sums of squared differences
        self.register_buffer("deviations", start.new_zeros(len(start), settings.rank))
        self.register_buffer("collected", torch.zeros_like(start[0], dtype=torch.int64))

    @torch.no_grad()
    def on_step(self, *, step: int, fraction: float) -> None:
        """Collect this iterate, if it is its turn.

        Running sums of differences from the mean: a mean of squares less the square of a mean
        would lose all digits of so small a spread.
        """
        first = self.settings.collect_from
        slot = math.ceil((fraction - first) / (1.0 - first) * self.settings.iterates - 1e-9)
        if slot <= self.slot:
            return
        self.slot = slot
        number = int(self.collected) + 1
        iterate = self.centre()
        before = iterate - self.mean
        self.mean += before / number
        after = iterate - self.mean
        self.squares += before * after
        self.deviations[:, (number - 1) % self.settings.rank] = after
        self.collected.fill_(number)

    @torch.no_grad()
    def finalize(self, model: BayesianSegmenter, train: Any, *, kl_weight: float) -> None:
        """Move the points to the mean of the iterates.

        Raises:
            BayescrError: If there are not two of them.
        """
        if int(self.collected) < 2:
            raise BayescrError(
                f"SWAG collected {int(self.collected)} iterate(s), from collect_from="
                f"{self.settings.collect_from:g} of the steps on: it needs two at least and "
                f"{self.settings.rank} for its rank; train more epochs, or collect from earlier on"
            )
        for name, value in self.pieces(self.mean).items():
            self.site(name).get_parameter("loc").copy_(value)
        self.is_finished.fill_(True)

    def around(self, centre: Tensor) -> Distribution:
        """N(m, scale^2 / 2 (diag(v) + D D^T / (K - 1)))."""
        number = self.collected
        variance = self.squares / number
        # A weight that never moved keeps a spread that float32 cannot tell from none.
        least = torch.finfo(variance.dtype).eps * centre.detach().abs().clamp(min=1e-3)
        stddev = variance.sqrt().maximum(least)
        columns = number.clamp(max=self.settings.rank).to(centre.dtype)
        factor = self.deviations / (columns - 1.0).sqrt()
        scale = self.settings.scale / math.sqrt(2.0)
        return LowRankNormal(centre, scale * stddev, scale * factor)
