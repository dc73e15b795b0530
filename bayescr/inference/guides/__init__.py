"""Guides: ``model -> guide``, one file each.

Any Pyro autoguide of continuous latents that needs no step after SVI, or a partial of one, is a
guide too; AutoLaplaceApproximation needs such a step.

==================  ===============================================  ==========================
guide               q(w)                                             numbers for P weights
==================  ===============================================  ==========================
`MAP`               point mass                                       P
`MeanField`         independent normals                              2 P
`LowRank`           normal, diagonal plus low rank, by weight        (2 + rank) P
                    tensor or across them
`FullRank`          normal with all correlations, of chosen weights  P (P + 3) / 2
`Flow`              normalising flow, of chosen weights              depends on its networks
`Radial`            a direction at random, a normal distance         2 P
`Rank1`             points times normal factors of in- and outputs   P + 2 (in + out) a layer
`MCDropout`         weights times Bernoulli masks, by feature map    P
`ConcreteDropout`   the same, at rates that are learnt               P + 1 a layer
`SWAG`              normal fitted to the optimiser's iterates        (3 + rank) P
`Laplace`           normal whose precision is the curvature          P + P^2, or 2 P
`Partial`           another guide on chosen weights, points          those of the other guide
                    elsewhere
`Ensemble`          equal mixture of other guides                    members times theirs
==================  ===============================================  ==========================

`StoredDraws` holds what a sampler drew; `bayescr.inference.nuts` makes it.
"""

from collections.abc import Callable
from typing import Any

from bayescr.inference.guides._finite import StoredDraws
from bayescr.inference.guides._joint import JointGuide
from bayescr.inference.guides._weights import WeightGuide, WeightSite
from bayescr.inference.guides.concrete_dropout import ConcreteDropout
from bayescr.inference.guides.ensemble import Ensemble
from bayescr.inference.guides.flow import Flow
from bayescr.inference.guides.full_rank import FullRank
from bayescr.inference.guides.laplace import Laplace
from bayescr.inference.guides.low_rank import LowRank
from bayescr.inference.guides.map_estimate import MAP
from bayescr.inference.guides.mc_dropout import MCDropout
from bayescr.inference.guides.mean_field import MeanField
from bayescr.inference.guides.partial import Partial
from bayescr.inference.guides.radial import Radial
from bayescr.inference.guides.rank1 import Rank1
from bayescr.inference.guides.swag import SWAG

__all__ = [
    "FAMILY",
    "MAP",
    "SWAG",
    "ConcreteDropout",
    "Ensemble",
    "Flow",
    "FullRank",
    "GuideFactory",
    "JointGuide",
    "Laplace",
    "LowRank",
    "MCDropout",
    "MeanField",
    "Partial",
    "Radial",
    "Rank1",
    "StoredDraws",
    "WeightGuide",
    "WeightSite",
]

GuideFactory = Callable[..., Any]

FAMILY: dict[str, GuideFactory] = {
    "map": MAP,
    "mean-field": MeanField,
    "low-rank": LowRank,
    "full-rank": FullRank,
    "flow": Flow,
    "radial": Radial,
    "rank1": Rank1,
    "mc-dropout": MCDropout,
    "concrete-dropout": ConcreteDropout,
    "swag": SWAG,
    "laplace": Laplace,
    "partial": Partial,
    "ensemble": Ensemble,
}
