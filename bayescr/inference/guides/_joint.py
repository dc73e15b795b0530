"""What the guides share that draw several weights together: one distribution over all of them.

The numbers of the chosen weights, one after the other, are a vector with a distribution q. It is
drawn at an auxiliary site, and the sites of the weights are point masses at its pieces; all other
weights are points, as under `MAP`. The KL is exact where it can be: the entropy is that of q, and
the expectation of the log-prior needs of q no more than the moments of each piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import Distribution
from torch import Tensor, nn

from bayescr.errors import BayescrError
from bayescr.inference.guides._weights import (
    Point,
    WeightGuide,
    WeightSite,
    log_scale_parameter,
)
from bayescr.inference.kl import Moments, cross_entropy, moments
from bayescr.models import BayesianSegmenter

__all__ = ["JointGuide", "Patterns", "Piece", "check_patterns", "chosen_weights", "flat_log_scale"]

Patterns = str | tuple[str, ...]

_SITE = "_joint"


class JointGuide(WeightGuide):
    """q(w) = q(w_1, ..., w_m) for the chosen weights, point masses for the others.

    Args:
        model: The model whose random weights, and their values as a start, are taken.
        on: Patterns of the names of the chosen weights.
        joint: Makes the factor of the vector from the start values of the chosen weights. None for
            a subclass that trains all weights as points and overrides `distribution` and `centre`.

    Raises:
        BayescrError: If no weight is chosen, or the prior of one that is not needs a density.
    """

    def __init__(
        self,
        model: BayesianSegmenter,
        on: Patterns,
        joint: Callable[[dict[str, Tensor]], WeightSite] | None,
    ) -> None:
        chosen = {name: start.detach() for name, start in chosen_weights(model, on).items()}
        drawn_together = chosen if joint is not None else {}
        super().__init__(
            model, lambda name, start: None if name in drawn_together else Point(start)
        )
        self.shapes = {name: start.shape for name, start in chosen.items()}
        if joint is not None:
            self.joint = joint(chosen)

    def forward(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """Draw every latent; the arguments are the model's and do not matter."""
        q = self.distribution()
        infer = {"is_auxiliary": True, "pieces": list(self.shapes)}
        numbers = self.pieces(pyro.sample(_SITE, q, infer=infer))
        known = self._moments(q)
        return {
            name: pyro.sample(name, Piece(numbers[name], known.get(name)))
            if name in self.shapes
            else self.site(name).sample(name)
            for name in self.names
        }

    def median(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """The centre of each factor, by site name."""
        with torch.no_grad():
            pieces = self.pieces(self.centre())
            return {
                name: pieces[name] if name in pieces else self.site(name).median()
                for name in self.names
            }

    def distribution(self) -> Distribution:
        """Of the vector of the chosen weights."""
        return self.joint()

    def centre(self) -> Tensor:
        """The centre of `distribution`."""
        return self.joint.median()

    def pieces(self, vector: Tensor) -> dict[str, Tensor]:
        """A vector as the chosen weights, by name."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = zip(self.shapes.items(), vector.split(sizes), strict=True)
        return {name: part.reshape(shape) for (name, shape), part in parts}

    def _moments(self, q: Distribution) -> dict[str, Moments]:
        whole = moments(q)
        if whole is None:
            return {}
        known, first = {}, 0
        for name, shape in self.shapes.items():
            known[name] = whole.part(first, shape)
            first += shape.numel()
        return known


class Piece(dist.Delta):
    """A weight that was drawn with others: a point, and the moments it was drawn with.

    Args:
        value: The draw.
        moments: Of the weight by itself, if they are known and it is normal.
    """

    def __init__(self, value: Tensor, moments: Moments | None) -> None:
        super().__init__(value, event_dim=value.dim())
        self._moments = moments

    def moments(self) -> Moments | None:
        """Of the weight by itself; None if they are unknown."""
        return self._moments

    def kl_divergence(self, prior: Distribution) -> Tensor | None:
        """-E[log prior]: the entropy is counted where the weights are drawn together."""
        return None if self._moments is None else cross_entropy(self._moments, prior)


def check_patterns(guide: Any) -> None:
    """Refuse a guide's ``on`` that is no pattern, nor a tuple of them.

    Raises:
        BayescrError: If it is none.
    """
    on, name = guide.on, type(guide).__name__
    if isinstance(on, list):
        raise BayescrError(f"{name} on is the list {on}: give a tuple, on={tuple(on)!r}")
    if isinstance(on, tuple) and on and all(isinstance(pattern, str) for pattern in on):
        return
    if not isinstance(on, str):
        raise BayescrError(
            f"{name} on is {on!r}: expected a pattern of names of weights, such as 'head.*', or a "
            "tuple of some"
        )


def chosen_weights(model: BayesianSegmenter, on: Patterns | Iterable[str]) -> dict[str, Tensor]:
    """The random weights whose names fit a pattern.

    Raises:
        BayescrError: If a pattern fits none.
    """
    weights = model.random_weights
    patterns = [on] if isinstance(on, str) else list(on)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in weights):
            is_layer = any(name.startswith(f"{pattern}.") for name in weights)
            hint = f"did you mean '{pattern}.*'? " if is_layer else ""
            raise BayescrError(
                f"no random weight is named like '{pattern}': {hint}there are {', '.join(weights)}"
            )
    return {
        name: weight
        for name, weight in weights.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def flat_log_scale(starts: dict[str, Tensor], relative: float) -> nn.Parameter:
    """`log_scale_parameter` of each weight by itself, as one vector."""
    scales = [log_scale_parameter(start, relative) for start in starts.values()]
    return nn.Parameter(torch.cat([scale.detach().flatten() for scale in scales]))
