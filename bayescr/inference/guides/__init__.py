"""Guides: ``model -> guide``, one file each.

Any Pyro autoguide of continuous latents that needs no step after SVI, or a partial of one, is a
guide too; AutoLaplaceApproximation needs such a step.

=============  ================================================  ========================
guide          q(w)                                              parameters for P weights
=============  ================================================  ========================
`MAP`          point mass                                        P
`MeanField`    independent normals                               2 P
`LowRank`      normal, diagonal plus low rank, by weight tensor  (2 + rank) P
`MCDropout`    weights times Bernoulli masks, by feature map     P
=============  ================================================  ========================
"""

from collections.abc import Callable
from typing import Any

from bayescr.inference.guides._weights import WeightGuide, WeightSite
from bayescr.inference.guides.low_rank import LowRank
from bayescr.inference.guides.map_estimate import MAP
from bayescr.inference.guides.mc_dropout import MCDropout
from bayescr.inference.guides.mean_field import MeanField

__all__ = [
    "FAMILY",
    "MAP",
    "GuideFactory",
    "LowRank",
    "MCDropout",
    "MeanField",
    "WeightGuide",
    "WeightSite",
]

GuideFactory = Callable[..., Any]

FAMILY: dict[str, GuideFactory] = {
    "map": MAP,
    "mean-field": MeanField,
    "low-rank": LowRank,
    "mc-dropout": MCDropout,
}
