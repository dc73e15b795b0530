"""What the guides share that are trained as points and find the normal around them afterwards."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pyro.distributions import Distribution
from torch import Tensor

from bayescr.inference.guides._joint import JointGuide, Patterns
from bayescr.models import BayesianSegmenter

__all__ = ["PosthocGuide"]


class PosthocGuide(JointGuide):
    """Points as under `MAP`; once finished, a normal around those of the chosen weights.

    A subclass keeps in buffers of fixed shape what says how wide it is, and sets ``is_finished``
    in its ``finalize``: a state dict then has all there is to draw from.

    Args:
        model: The model whose random weights, and their values as a start, are taken.
        on: Patterns of the names of the chosen weights.
    """

    is_finished: Tensor

    def __init__(self, model: BayesianSegmenter, on: Patterns) -> None:
        super().__init__(model, on, None)
        device = self.centre().device
        self.register_buffer("is_finished", torch.zeros((), dtype=torch.bool, device=device))

    def around(self, centre: Tensor) -> Distribution:
        """The normal around a centre."""
        raise NotImplementedError

    def distribution(self) -> Distribution:
        """The points, at first; the normal around them, at last."""
        centre = self.centre()
        return self.around(centre) if bool(self.is_finished) else dist.Delta(centre, event_dim=1)

    def centre(self) -> Tensor:
        """The points of the chosen weights as one vector."""
        return torch.cat([self.site(name).median().flatten() for name in self.shapes])
