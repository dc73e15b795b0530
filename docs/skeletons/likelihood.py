"""A likelihood of your own: a share of the labels is flipped, whatever the truth.

p(y = 1 | l) = share + (1 - 2 share) sigmoid(l),    sigmoid(l) = p(truth = 1)
"""

from __future__ import annotations

from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from bayescr.errors import BayescrError


@dataclass(frozen=True, kw_only=True)
class FlippedLabels:
    """Independent pixels; logits are those of the truth, which is what `predict` maps."""

    share: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 0.5:
            value = self.share
            raise BayescrError(
                f"FlippedLabels share is {value}: expected a share between 0 and 0.5"
            )

    def __call__(
        self, logits: Tensor, target: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Observe the labels at the valid pixels; sample them where target is None."""
        pixels = dist.Bernoulli(probs=self._labelled(logits))  # (B, K, H, W)
        if valid is not None:
            pixels = pixels.mask(valid)
            if target is not None:  # 255 or NaN may stand at an invalid pixel
                target = torch.where(valid, target, 0.0)
        return pyro.sample("obs", pixels.to_event(3), obs=target)

    def curvature(self, logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
        """Expected Fisher information in the logit, (dp/dl)^2 / (p (1 - p)): for `Laplace`."""
        p = self._labelled(logits)
        slope = (1 - 2 * self.share) * torch.sigmoid(logits) * torch.sigmoid(-logits)
        information = slope.square() / (p * (1 - p))
        return information if valid is None else torch.where(valid, information, 0.0)

    def _labelled(self, logits: Tensor) -> Tensor:
        return self.share + (1 - 2 * self.share) * torch.sigmoid(logits)
