"""Full rank: the chosen weights have one normal with every correlation between them."""

from __future__ import annotations

from dataclasses import dataclass

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from bayescr._checks import check_positive
from bayescr.errors import BayescrError
from bayescr.inference.guides._joint import (
    JointGuide,
    Patterns,
    check_patterns,
    chosen_weights,
    flat_log_scale,
)
from bayescr.inference.guides._weights import FASTER, WeightSite
from bayescr.models import BayesianSegmenter

__all__ = ["FullRank"]

_LIMIT = 4000  # its triangle has 8 million numbers, of which Adam keeps two more copies


@dataclass(frozen=True, kw_only=True)
class FullRank:
    """One normal over all numbers of the chosen weights, w ~ N(m, L L^T); the others are points.

        L = diag(s) (I + R)        R strictly lower triangular, s > 0

    so that s are scales as in `MeanField`, where R starts at zero. The KL has a closed form. Cost
    and memory grow as P^2, the chosen numbers squared: made for the last layer, whose weights have
    the most to do with each other; `LowRank` takes any number.

    Attributes:
        on: Patterns of the names of the chosen weights.
        init_scale: As in `MeanField`.

    References:
        Kucukelbir et al., "Automatic Differentiation Variational Inference", arXiv:1603.00788.
    """

    on: Patterns = "head.*"
    init_scale: float = 0.05

    def __post_init__(self) -> None:
        check_patterns(self)
        check_positive(self, "init_scale")

    def __call__(self, model: BayesianSegmenter) -> JointGuide:
        """The guide of a model.

        Raises:
            BayescrError: If the patterns choose no weight, or too many numbers.
        """
        number = sum(weight.numel() for weight in chosen_weights(model, self.on).values())
        if number > _LIMIT:
            raise BayescrError(
                f"FullRank on {self.on!r} has {number} numbers and would have {number}^2 / 2 "
                f"correlations: expected at most {_LIMIT} numbers; choose fewer weights by on=, or "
                "take LowRank()"
            )
        return JointGuide(model, self.on, lambda starts: _Triangle(starts, self.init_scale))


class _Triangle(WeightSite):
    learning_rate_factors = {"log_scale": FASTER}

    def __init__(self, starts: dict[str, Tensor], init_scale: float) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.cat([start.flatten() for start in starts.values()]))
        self.log_scale = flat_log_scale(starts, init_scale)
        # In units of the scale, as what it correlates is.
        below = len(self.loc) * (len(self.loc) - 1) // 2
        self.relative_factor = nn.Parameter(self.loc.new_zeros(below))

    def forward(self) -> dist.Distribution:
        number = len(self.loc)
        row, column = torch.tril_indices(number, number, -1, device=self.loc.device)
        triangle = torch.eye(number, dtype=self.loc.dtype, device=self.loc.device)
        triangle = triangle.index_put((row, column), self.relative_factor)
        scale_tril = self.log_scale.exp().unsqueeze(-1) * triangle
        return dist.MultivariateNormal(self.loc, scale_tril=scale_tril)

    def median(self) -> Tensor:
        return self.loc
