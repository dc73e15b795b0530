"""y_ij ~ Bernoulli(sigmoid(l_ij)) at every valid pixel."""

from __future__ import annotations

from dataclasses import dataclass

import pyro.distributions as dist
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bayescr.models.likelihoods._pixels import counted, observe

__all__ = ["Bernoulli"]


@dataclass(frozen=True, kw_only=True)
class Bernoulli:
    """Each pixel of each class is an independent coin: several classes may hold at once.

    log p(y | l) = sum_{valid ij} y_ij log sigmoid(l_ij) + (1 - y_ij) log sigmoid(-l_ij)
    """

    def __call__(
        self,
        logits: Float[Tensor, "B K H W"],
        target: Float[Tensor, "B K H W"] | None = None,
        valid: Bool[Tensor, "B 1 H W"] | None = None,
    ) -> Tensor:
        """Observe ``target`` at the valid pixels, or sample it where it is None."""
        return observe(dist.Bernoulli(logits=logits), target, valid)

    def curvature(
        self,
        logits: Float[Tensor, "B K H W"],
        target: Float[Tensor, "B K H W"],
        valid: Bool[Tensor, "B 1 H W"] | None = None,
    ) -> Float[Tensor, "B K H W"]:
        """Minus d^2 log p(y | l) / dl^2 = p (1 - p), whatever the label; 0 at invalid pixels."""
        return counted(torch.sigmoid(logits) * torch.sigmoid(-logits), valid)
