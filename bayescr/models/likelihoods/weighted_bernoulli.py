"""Labels of one kind counted more often than those of the other: class weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pyro.distributions as dist
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bayescr._checks import check_positive
from bayescr.models.likelihoods._pixels import counted, observe

__all__ = ["WeightedBernoulli"]


@dataclass(frozen=True, kw_only=True)
class WeightedBernoulli:
    """A Bernoulli likelihood to the power of a weight, of the label's own.

        log L(y | l) = sum_{valid ij} weight(y_ij) log p(y_ij | l_ij)

        weight(1) = positive        weight(0) = negative        p(1 | l) = sigmoid(l)

    This is a tempered likelihood: p^weight does not sum to 1 over the labels, and what follows
    from it is not the posterior, as if rare pixels had been seen ``positive`` times. Where a
    share pi of the pixels alike is positive, its optimum is not at pi but at

        l = log(pi / (1 - pi)) + log(positive / negative)

    so that probabilities are too high for the sky trained on by that much in the logit. To
    rank pixels that may help; for probabilities one can believe, take `Bernoulli`, or shift the
    logits back: ``posterior.predict(frame, base_rate=...)`` knows of the weights. The width of the
    posterior remains that of the weighted counts.

    Labels sampled in place of ``target`` are Bernoulli(sigmoid(l)).

    Attributes:
        positive: Weight of a label 1, above 0.
        negative: Weight of a label 0, above 0.

    References:
        King & Zeng, "Logistic Regression in Rare Events Data", Political Analysis 9 (2001).
    """

    positive: float = 10.0
    negative: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self, "positive", "negative")

    @property
    def note(self) -> str:
        """What a report says of a posterior trained with it."""
        if self.positive == self.negative == 1.0:
            return ""
        return (
            f"labels weighted, positive ones by {self.positive:g} and others by "
            f"{self.negative:g}: a tempered likelihood, which shifts logits by "
            f"{math.log(self.positive / self.negative):+.3g} against the data's base rate"
        )

    def implied_rate(self, labelled: Float[Tensor, " K"]) -> Float[Tensor, " K"]:
        """Share of positive pixels that logits trained on such a share of labels stand for."""
        return torch.sigmoid(torch.logit(labelled) + math.log(self.positive / self.negative))

    def __call__(
        self,
        logits: Float[Tensor, "B K H W"],
        target: Float[Tensor, "B K H W"] | None = None,
        valid: Bool[Tensor, "B 1 H W"] | None = None,
    ) -> Tensor:
        """Observe ``target`` at the valid pixels, or sample it where it is None."""
        return observe(_Weighted(logits, self.positive, self.negative), target, valid)

    def curvature(
        self,
        logits: Float[Tensor, "B K H W"],
        target: Float[Tensor, "B K H W"],
        valid: Bool[Tensor, "B 1 H W"] | None = None,
    ) -> Float[Tensor, "B K H W"]:
        """Minus d^2 log L(y | l) / dl^2 = weight(y) p (1 - p); 0 at invalid pixels."""
        weight = _weight(target, self.positive, self.negative)
        return counted(weight * torch.sigmoid(logits) * torch.sigmoid(-logits), valid)


class _Weighted(dist.Bernoulli):
    """Coins whose log-probability counts by side."""

    def __init__(self, logits: Tensor, positive: float, negative: float, **options: Any) -> None:
        super().__init__(logits=logits, **options)
        self.positive, self.negative = positive, negative

    def expand(self, batch_shape: Any, _instance: Any = None) -> _Weighted:
        """The same with leading axes added; torch's own would lose the weights."""
        logits = self.logits.expand(batch_shape)
        return _Weighted(logits, self.positive, self.negative, validate_args=self._validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        """Weight times log p."""
        return _weight(value, self.positive, self.negative) * super().log_prob(value)


def _weight(label: Tensor, positive: float, negative: float) -> Tensor:
    return negative + (positive - negative) * label
