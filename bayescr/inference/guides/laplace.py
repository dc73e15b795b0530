"""Laplace: the normal whose precision is the curvature of the log-posterior at its maximum."""

from __future__ import annotations

from dataclasses import dataclass

import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import Distribution
from torch import Tensor

from bayescr._checks import check_count
from bayescr._names import unknown_name
from bayescr._random import seeded
from bayescr._tracing import traced
from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference.guides._curvature import (
    gauss_newton,
    gauss_newton_diagonal,
    images,
    looks,
    prior_precision,
    prior_precision_diagonal,
    sampled_gauss_newton_diagonal,
)  # fmt: skip
from bayescr.inference.guides._joint import Patterns, check_patterns, chosen_weights
from bayescr.inference.guides._posthoc import PosthocGuide
from bayescr.models import BayesianSegmenter

__all__ = ["Laplace"]

_STRUCTURES = ("full", "diagonal")
_LIMIT = 2000  # numbers with a full matrix: it takes P^2 operations a label
_FEW = 256  # numbers whose diagonal is computed one by one


@dataclass(frozen=True, kw_only=True)
class Laplace:
    """A normal around the maximum a posteriori, w ~ N(m, H^-1), made after training.

        H = G / T - d^2 log p(w) / dw^2

    G is the generalised Gauss-Newton curvature of the log-likelihood, summed over the whole
    training set, and T the final kl_weight: the target is p(w) p(D|w)^(1/T). Trains as `MAP` does;
    latents of the prior's own, and the weights that are not chosen, stay points. Where the logits
    are linear in the chosen weights, such as those of the last layer, G is the exact Hessian.
    Draws go through the network as it is: over many layers they may leave the region in which the
    curvature holds, and predict worse than the point (Immer, Korzepa & Bauer).

    Attributes:
        on: Patterns of the names of the chosen weights; ``"*"`` for all, with
            ``structure="diagonal"`` unless the network is tiny.
        structure: ``"full"``: every correlation, for at most 2000 numbers. ``"diagonal"``: H
            without what is off its diagonal, for any number; above 256 of them it is estimated
            without bias, with a relative error below sqrt(2 / (images * probes)) where images
            count alike.
        probes: Random vectors an image behind that estimate.

    References:
        MacKay, "A Practical Bayesian Framework for Backpropagation Networks", Neural Computation 4
        (1992), 448.
        Ritter, Botev & Barber, "A Scalable Laplace Approximation for Neural Networks", ICLR 2018.
        Daxberger et al., "Laplace Redux - Effortless Bayesian Deep Learning", arXiv:2106.14806.
        Immer, Korzepa & Bauer, "Improving predictions of Bayesian neural nets via local
        linearization", arXiv:2008.08400.
    """

    on: Patterns = "head.*"
    structure: str = "full"
    probes: int = 8

    def __post_init__(self) -> None:
        check_patterns(self)
        if self.structure not in _STRUCTURES:
            raise unknown_name("Laplace structure", str(self.structure), list(_STRUCTURES))
        check_count(self, "probes")

    def __call__(self, model: BayesianSegmenter) -> PosthocGuide:
        """The guide of a model.

        Raises:
            BayescrError: If the patterns choose no weight, or too many numbers for a full matrix,
                or the likelihood does not say its curvature.
        """
        number = sum(weight.numel() for weight in chosen_weights(model, self.on).values())
        if self.structure == "full" and number > _LIMIT:
            raise BayescrError(
                f"Laplace on {self.on!r} has {number} numbers: expected at most {_LIMIT} for a "
                "full matrix; choose fewer weights by on=, or structure='diagonal'"
            )
        if not hasattr(model.likelihood, "curvature"):
            raise BayescrError(
                f"likelihood {model.likelihood!r} does not say its curvature: give it a method "
                "curvature(logits, target, valid) -> (B, K, H, W) for Laplace"
            )
        return _Curved(model, self)


class _Curved(PosthocGuide):
    spread: Tensor

    def __init__(self, model: BayesianSegmenter, settings: Laplace) -> None:
        super().__init__(model, settings.on)
        self.settings = settings
        start = self.centre().detach()
        shape = (len(start), len(start)) if settings.structure == "full" else (len(start),)
        self.register_buffer("spread", start.new_zeros(shape))

    def around(self, centre: Tensor) -> Distribution:
        """N(m, H^-1); ``spread`` is the Cholesky factor of H^-1, or the standard deviations."""
        if self.settings.structure == "full":
            return dist.MultivariateNormal(centre, scale_tril=self.spread)
        return dist.Normal(centre, self.spread).to_event(1)

    def finalize(self, model: BayesianSegmenter, train: PatchDataset, *, kl_weight: float) -> None:
        """Find the curvature at the points.

        Raises:
            BayescrError: If ``kl_weight`` is 0, or the curvature is not positive.
        """
        if not kl_weight > 0:
            raise BayescrError(
                f"kl_weight ends at {kl_weight:g}: Laplace needs a target with a prior in it, so a "
                "kl_schedule that ends above 0"
            )
        points = {name: value.detach() for name, value in self.median().items()}
        was_training = model.net.training
        model.net.eval()
        with seeded(0, device=self.spread.device):
            precision = self._curvature(model, points, train) / kl_weight
            precision += self._prior(model, points, train)
        model.net.train(was_training)
        with torch.no_grad():
            self.spread.copy_(_spread(precision))
            self.is_finished.fill_(True)

    def _curvature(
        self, model: BayesianSegmenter, points: dict[str, Tensor], train: PatchDataset
    ) -> Tensor:
        vector = self.centre().detach()
        weights = {name: points[name] for name in model.random_weights}
        seen = looks(model, weights, self.pieces, vector, train)
        if self.settings.structure == "full":
            return gauss_newton(seen, vector)
        if len(vector) <= _FEW:
            return gauss_newton_diagonal(seen, vector)
        return sampled_gauss_newton_diagonal(seen, vector, probes=self.settings.probes)

    def _prior(
        self, model: BayesianSegmenter, points: dict[str, Tensor], train: PatchDataset
    ) -> Tensor:
        """Precision of the prior, its own latents at their points."""
        batch = next(images(train, self.spread))
        at_points = poutine.condition(model, data=points)
        with torch.no_grad(), poutine.block():
            trace = traced(at_points, *batch)
        priors = {name: trace.nodes[name]["fn"] for name in self.shapes}
        if self.settings.structure == "full":
            return torch.block_diag(*[prior_precision(p, points[k]) for k, p in priors.items()])
        return torch.cat([prior_precision_diagonal(p, points[k]) for k, p in priors.items()])


def _spread(precision: Tensor) -> Tensor:
    """Cholesky factor of the inverse of a matrix; of a diagonal, one over its square root."""
    try:
        if precision.dim() == 2:
            zeros = precision.new_zeros(len(precision))
            normal = dist.MultivariateNormal(zeros, precision_matrix=precision, validate_args=False)
            return normal.scale_tril
        if bool((precision > 0).all()):
            return precision.rsqrt()
    except torch.linalg.LinAlgError:
        pass
    raise BayescrError(
        "the log-posterior is not curved downwards in all directions: some weight is bound neither "
        "by the data nor by its prior; take a prior with a finite variance"
    )
