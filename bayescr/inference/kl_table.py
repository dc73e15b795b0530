"""Where the KL of a posterior comes from: what each weight has learnt, in nats.

    KL(q || p) = E_q[ log q(w, h) - log p(w, h) ]

over all weights w and latents h of the prior's own is a sum of one term a latent, given those
drawn before it. Each term is that of `AnnealedELBO`: exact where the pair of distributions has a
closed form, else the mean over draws of log q - log p, with its standard error. A prior with
latents of its own has a closed form only given a draw of these: it is averaged over draws.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import nn

from bayescr._random import seeded
from bayescr._tracing import traced
from bayescr.errors import BayescrError
from bayescr.inference._kl_rows import FALLEN_BACK, Row
from bayescr.inference._pyro import example_batch, local_parameters
from bayescr.inference.elbo import negentropy, site_kl
from bayescr.inference.guides._weights import Point, WeightSite
from bayescr.inference.kl import moments

if TYPE_CHECKING:
    from bayescr.inference.posterior import Posterior

__all__ = ["FALLEN_BACK", "kl_report"]

_COLUMNS = [
    "site", "numbers", "kl", "exact", "kl_error", "kl_per_number", "share", "bound_term",
    "prior_scale", "posterior_scale", "signal_to_noise", "fallen_back", "within",
]  # fmt: skip


def kl_report(posterior: Posterior, num_samples: int = 64, *, seed: int = 0) -> pd.DataFrame:
    """KL from prior to guide by latent: which weights the data have moved, and how far.

    A row a latent, in the order in which the guide draws them, and a ``total``. Columns:

    ``site``             the latent
    ``numbers``          how many numbers it has
    ``kl``               KL(q || p) in nats, the sum over its numbers; infinite for points and
                         masks (`MAP`, `MCDropout`), which have no density
    ``exact``            whether ``kl`` is a closed form; else it is a mean over draws
    ``kl_error``         standard error of that mean, 0 for a closed form
    ``kl_per_number``    kl / numbers
    ``share``            of the total KL; NaN if that is infinite
    ``bound_term``       what the site adds to the negative bound, in nats: ``kl`` where it is
                         finite, for points -log p(w) and for masks the same with the entropy of
                         the masks, both up to a constant that depends on nothing trained. Over
                         all rows but the total it sums to what `AnnealedELBO` calls the KL
    ``prior_scale``      standard deviation under the prior, the median over the numbers; half the
                         central 68.3 % interval of draws where the prior has no variance. Where
                         a prior samples its scales, under the scales that the guide draws
    ``posterior_scale``  the same of the guide
    ``signal_to_noise``  |mean| / standard deviation under the guide, the median over the numbers
    ``fallen_back``      how many numbers have fallen back to the prior: the KL between the normals
                         that have the means and standard deviations of guide and prior is below
                         `FALLEN_BACK` = 0.05 nat. What the data say of such a number is nothing
    ``within``           the noise in which a latent is drawn together with others, else ""

    Latents that are drawn together have one KL, in the row of that noise (``_joint``). It is more
    than the sum over the latents, by what they know of each other: the ``kl`` of each is that of
    its marginal, NaN if the marginal has no known density, and no part of the total. Of an
    ensemble all rows are means over its members, an upper bound on the KL of their mixture, and
    scales are those of the mixture.

    Args:
        posterior: What `fit` returned.
        num_samples: Draws behind estimates, at least two; the members of an ensemble share them,
            but each has two.
        seed: Of the draws.

    Raises:
        BayescrError: If ``num_samples`` is below 2.
    """
    if num_samples < 2:
        raise BayescrError(f"num_samples is {num_samples}: expected a whole number from 2 up")
    guide, device = posterior.guide, posterior.device
    members = getattr(guide, "members", None) or getattr(guide, "side_by_side", None) or [guide]
    batch = example_batch(posterior.model, posterior.in_channels)
    rows: dict[str, Row] = {}
    for number, member in enumerate(members):
        factors = _factors(member)
        for index in range(max(2, math.ceil(num_samples / len(members)))):
            with seeded(seed, number, index, device=device), torch.no_grad(), local_parameters():
                q = traced(member, *batch)
                p = traced(poutine.replay(posterior.model, trace=q), *batch)
                _add_draw(rows, number, _sites(q), _sites(p), factors)
    return _table(rows)


def _add_draw(
    rows: dict[str, Row],
    member: int,
    q_sites: dict[str, Any],
    p_sites: dict[str, Any],
    factors: dict[str, WeightSite],
) -> None:
    """One draw of a member of the guide, whose factors are known by latent."""
    # A point may hold no more than the centre of weights that are drawn together.
    no_density = {
        name
        for name, factor in factors.items()
        if not factor.has_density and not isinstance(factor, Point)
    }
    noise = {name: site for name, site in q_sites.items() if site["infer"].get("is_auxiliary")}
    latents = {name: site for name, site in q_sites.items() if name not in noise}
    pieces = {name: _pieces(name, site, latents, factors) for name, site in noise.items()}
    points = {name for name, site in q_sites.items() if isinstance(site["fn"], dist.Delta)}
    for name, made in pieces.items():  # what is made of noise is a point given that
        points -= set() if name in points else set(made)
    within = {one: name for name, made in pieces.items() if len(made) > 1 for one in made}
    in_order = list(latents) == list(p_sites)  # else no closed form, as in AnnealedELBO
    closed: set[str] = set()
    for name, site in latents.items():
        q, p, value = site["fn"], p_sites[name]["fn"], site["value"]
        row = rows.setdefault(name, Row(value.numel(), within.get(name, "")))
        kl, is_closed = site_kl(site, p_sites[name], closed_form=in_order)
        closed |= {name} if is_closed else set()
        row.terms[member].append(kl.double())
        row.is_closed &= name in closed
        row.has_density &= name not in no_density and name not in points
        row.prior.add_prior(p)
        known = moments(q)
        if known is None:
            row.posterior.add(value)
        else:
            row.posterior.add(known.mean, known.stddev.square())
            if row.within:
                row.add_entropy(known)
    for name, site in noise.items():
        value, made = site["value"], pieces[name]
        is_closed = "pieces" in site["infer"] and closed.issuperset(made)
        term = negentropy(site, closed).double()
        if len(made) == 1:  # the noise of one latent is this latent in other coordinates
            rows[made[0]].terms[member][-1] += term
            rows[made[0]].is_closed &= is_closed
            continue
        row = rows.setdefault(name, Row(value.numel()))
        row.has_density &= name not in points
        row.terms[member].append(term)
        row.is_closed &= is_closed


def _table(rows: dict[str, Row]) -> pd.DataFrame:
    made_of: dict[str, list[Row]] = defaultdict(list)
    for row in rows.values():
        made_of[row.within].append(row)
    table = []
    for name, row in rows.items():
        if name in made_of:
            joint = Row.sum([row, *made_of[name]], row.numbers)
            table.append({"site": name, **joint.kl(), "bound_term": row.term()[0]})
        else:
            table.append({"site": name, **row.kl(), **row.scales()})
    numbers = sum(row.numbers for name, row in rows.items() if name not in made_of)
    total = Row.sum(list(rows.values()), numbers).kl()
    fallen_back = sum(row.get("fallen_back", 0) for row in table)
    table.append({"site": "total", **total, "fallen_back": fallen_back})
    frame = pd.DataFrame(table, columns=_COLUMNS)
    frame["share"] = frame["kl"] / (total["kl"] if math.isfinite(total["kl"]) else math.nan)
    return frame.astype({"fallen_back": "Int64"})


def _sites(trace: Any) -> dict[str, Any]:
    """The latents of a trace, and the noise they are made of."""
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample"
        and not site["is_observed"]
        and not poutine.util.site_is_subsample(site)
    }


def _pieces(
    name: str, site: Any, latents: dict[str, Any], factors: dict[str, WeightSite]
) -> list[str]:
    """The latents that are made of some noise: those it names, or as Pyro's autoguides do it."""
    if "pieces" in site["infer"]:
        return list(site["infer"]["pieces"])
    if name.removesuffix("_unconstrained") in latents:
        return [name.removesuffix("_unconstrained")]
    return [
        latent
        for latent, q in latents.items()
        if isinstance(q["fn"], dist.Delta) and latent not in factors
    ]


def _factors(guide: Any) -> dict[str, WeightSite]:
    """The factors of a guide of bayescr's by the names of their latents."""
    modules = guide.named_modules() if isinstance(guide, nn.Module) else ()
    return {
        name.removeprefix("weights."): site
        for name, site in modules
        if isinstance(site, WeightSite)
    }
