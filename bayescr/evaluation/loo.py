"""Posteriors ranked by leave-one-exposure-out, with the warning where it cannot be trusted.

The log predictive density of the exposures under S draws of the weights,

    lpd = sum_e log 1/S sum_s p(y_e | w_s)                                             [nat]

is on held-out exposures the score itself. ``az.loo`` goes on and reweighs the draws as if each
exposure in turn had to be taken out of what the posterior has seen: on held-out exposures that
corrects for nothing, and where a few of many million pixels' worth of likelihood tell draws apart
its importance weights rest on one draw. The Pareto k of an exposure tells: above
min(1 - 1 / log10(S), 0.7) its term is not to be trusted, and the table says so.

References:
    Vehtari, Gelman & Gabry, "Practical Bayesian model evaluation using leave-one-out
    cross-validation and WAIC", arXiv:1507.04544.
    Vehtari et al., "Pareto Smoothed Importance Sampling", arXiv:1507.02646 (the threshold).
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayescr.evaluation._arrays import Array
from bayescr.evaluation.arviz_export import import_arviz

__all__ = ["COLUMNS", "loo_table", "pareto_threshold"]

COLUMNS = (
    "predictor", "rank", "elpd_loo", "p_loo", "se", "elpd_diff", "dse", "weight", "lpd",
    "pareto_k_max", "exposures_above", "threshold", "trusted",
)  # fmt: skip


def pareto_threshold(num_draws: int) -> float:
    """The largest Pareto k that S draws can bear, min(1 - 1 / log10 S, 0.7); 0 below ten draws."""
    if num_draws <= 10:
        return 0.0
    return min(1.0 - 1.0 / math.log10(num_draws), 0.7)


def loo_table(trees: Mapping[str, Any], log_likelihood: Mapping[str, Array]) -> pd.DataFrame:
    """``az.compare`` of posteriors with what it takes to judge it.

    Args:
        trees: Name -> ArviZ data with a log-likelihood per draw and exposure.
        log_likelihood: Name -> the same as (S, E) [nat], for `lpd`.

    Returns:
        A row for each posterior, best first: ``elpd_loo``, ``p_loo``, ``se``, ``elpd_diff`` to the
        best and its ``dse``, stacking ``weight`` (all as ArviZ computes them), ``lpd``, the largest
        Pareto k, how many exposures lie above ``threshold``, and ``trusted``: none does. Exposures
        on which all draws agree have nothing to reweigh: their k is left out, and a posterior of
        one set of weights has none. Empty without a posterior of two draws, or with one exposure,
        which leaves nothing to compare by.
    """
    enough = {n: one for n, one in log_likelihood.items() if one.shape[0] > 1 and one.shape[1] > 1}
    if not enough:
        return pd.DataFrame(columns=list(COLUMNS))
    arviz = import_arviz()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # its warnings are the columns made here
        # No Markov chain: no draw stands for another, the relative efficiency is 1.
        single = {name: arviz.loo(trees[name], pointwise=True, reff=1.0) for name in enough}
        compared = _compare(arviz, single)
    rows = []
    for name, one in compared.iterrows():
        values = enough[str(name)]
        k = np.asarray(single[str(name)].pareto_k, dtype=np.float64).ravel()
        k = k[(values != values[0]).any(axis=0)]
        threshold = pareto_threshold(len(values))
        above = int(np.count_nonzero(~(k <= threshold)))
        total, effective = (_of(single[str(name)], term) for term in _TERMS)
        rows.append(
            {
                "predictor": name,
                "elpd_loo": float(total),
                "p_loo": float(effective),
                "se": float(single[str(name)].se),
                **{column: one[column] for column in ("rank", "elpd_diff", "dse", "weight")},
                "lpd": float((logsumexp(values, axis=0) - math.log(len(values))).sum()),
                "pareto_k_max": float(k.max()) if k.size else float("nan"),
                "exposures_above": above,
                "threshold": threshold,
                "trusted": above == 0,
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


_TERMS = (("elpd_loo", "elpd"), ("p_loo", "p"))
_POINTWISE = ("loo_i", "elpd_i")


def _of(one: Any, names: tuple[str, str]) -> Any:
    """What ArviZ calls so, before its version 1 or from then on."""
    return getattr(one, names[0]) if hasattr(one, names[0]) else getattr(one, names[1])


def _compare(arviz: Any, single: Mapping[str, Any]) -> pd.DataFrame:
    """``az.compare``, with weights that do not underflow; one posterior is its own best.

    It takes exp of the log density of an exposure, which is below -1000 of a large frame. Ranks,
    differences and weights do not change when a number is added to an exposure's density under all
    posteriors: here the best of them gets 0.
    """
    if len(single) == 1:
        (name,) = single
        row = {"rank": 0, "elpd_diff": 0.0, "dse": 0.0, "weight": 1.0}
        return pd.DataFrame([row], index=[name])
    best = np.max([np.asarray(_of(one, _POINTWISE)) for one in single.values()], axis=0)
    shifted = {}
    for name, one in single.items():
        shifted[name] = copy.copy(one)
        pointwise = _of(one, _POINTWISE) - best
        for names, value in ((_POINTWISE, pointwise), (_TERMS[0], float(pointwise.sum()))):
            setattr(shifted[name], names[0] if hasattr(one, names[0]) else names[1], value)
    return arviz.compare(shifted)
