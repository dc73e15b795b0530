"""Concrete dropout: dropout of feature maps at rates that are learnt, layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from bayescr._checks import check_positive, check_share
from bayescr.inference.guides._dropout import Dropped, RelaxedChannelDropout, dropped_sites
from bayescr.inference.guides._weights import FASTER, SiteFactory, WeightGuide
from bayescr.models import BayesianSegmenter

__all__ = ["ConcreteDropout"]


@dataclass(frozen=True, kw_only=True)
class ConcreteDropout:
    """`MCDropout` with a probability p_l for each layer l, trained with the weights.

        KL = - sum_l [ C_l H(p_l) + (1 - p_l) log p(w = m) + p_l log p(w = 0) ]

    for C_l input channels and independent priors, up to a constant: the entropy H pulls p_l to
    1/2, the data pull it down. Masks of zeros and ones pass no gradient to p_l; in training they
    are relaxed to numbers between (`RelaxedChannelDropout`), in evaluation they are Bernoulli
    draws. For any other prior log p(w) is sampled, in training at relaxed masks.

    Attributes:
        init_p: Probability of dropping a feature map at the start.
        temperature: Of the relaxed masks, 0.1 in the paper; lower ones are closer to 0 and 1, and
            their gradients noisier.

    References:
        Gal, Hron & Kendall, "Concrete Dropout", arXiv:1705.07832.
        Maddison, Mnih & Teh, "The Concrete Distribution: A Continuous Relaxation of Discrete
        Random Variables", arXiv:1611.00712.
    """

    init_p: float = 0.05
    temperature: float = 0.1

    def __post_init__(self) -> None:
        check_share(self, "init_p")
        check_positive(self, "temperature")

    def __call__(self, model: BayesianSegmenter) -> WeightGuide:
        """The guide of a model."""
        return WeightGuide(model, self.sites(model))

    def sites(self, model: BayesianSegmenter) -> SiteFactory:
        """Makes the factor of a weight from its name and start value."""
        return dropped_sites(
            model, lambda start, axis: _Learnt(start, self.init_p, axis, self.temperature)
        )


class _Learnt(Dropped):
    learning_rate_factors = {"logit_p": FASTER}  # it has decades to cross, as the log of a scale

    def __init__(self, start: Tensor, p: float, axis: int, temperature: float) -> None:
        super().__init__(start, 1.0 - p, axis)
        self.temperature = temperature
        self.logit_p = nn.Parameter(start.new_tensor(math.log(p / (1.0 - p))))

    def keep(self) -> Tensor:
        return torch.sigmoid(-self.logit_p)

    def forward(self) -> dist.Distribution:
        if not self.training:
            return super().forward()
        return RelaxedChannelDropout(self.loc, self.keep(), self.axis, temperature=self.temperature)
