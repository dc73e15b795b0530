"""y_ij ~ Bernoulli(sigmoid(l_ij)) at every valid pixel."""

from __future__ import annotations

from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bayescr.errors import BayescrError

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
        if target is not None and target.shape != logits.shape:
            raise BayescrError(
                f"target has shape {tuple(target.shape)} but the logits {tuple(logits.shape)}: "
                "expected one label a class and pixel; set num_classes of the network to theirs"
            )
        pixels = dist.Bernoulli(logits=logits)
        if valid is not None:
            pixels = pixels.mask(valid)
            if target is not None:  # whatever stands there, 255 or NaN, must not reach a gradient
                target = torch.where(valid, target, 0.0)
        return pyro.sample("obs", pixels.to_event(3), obs=target)
