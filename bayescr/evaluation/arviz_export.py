"""ArviZ data of one posterior: the only file that knows which ArviZ is installed.

Groups, with the dimensions chain (always 1), draw and exposure:

    posterior             draws of the chosen sites
    posterior_predictive  positive_fraction, replicated        (chain, draw, exposure)
    observed_data         positive_fraction                    (exposure)
    log_likelihood        pixels: log p(labels | draw)  [nat]  (chain, draw, exposure)

ArviZ below 1 takes the groups as keyword arguments and returns an ``InferenceData``; from 1 on it
takes one mapping and returns an xarray ``DataTree``. The draws are those of a guide, no Markov
chain, and balance one another (`bayescr.inference.sampling`): R-hat, effective sample size and
standard errors of means have no meaning here, and attributes say so.
"""

from __future__ import annotations

import os
import warnings
from types import ModuleType
from typing import Any

import bayescr
from bayescr.evaluation.ensemble import Ensemble
from bayescr.evaluation.records import Tally

__all__ = ["import_arviz", "to_arviz", "write_arviz"]


def to_arviz(name: str, tally: Tally) -> Any:
    """ArviZ data of one posterior.

    Args:
        name: What the posterior is called in the report.
        tally: What it said.

    Returns:
        An ``arviz.InferenceData`` (ArviZ < 1) or an ``xarray.DataTree``; ``az.loo`` and
        ``az.compare`` leave out one exposure at a time.
    """
    posterior: Any = tally.row.base
    observed = tally.observed
    groups = {
        "posterior": {site: values[None] for site, values in tally.draws.items()},
        "posterior_predictive": {"positive_fraction": tally.positive_fraction[None]},
        "log_likelihood": {"pixels": tally.log_likelihood[None]},
        "observed_data": {"positive_fraction": observed.positive_fraction},
    }
    attributes = {
        "inference_library": "bayescr",
        "inference_library_version": bayescr.__version__,
        "predictor": name,
        "guide": posterior.name,
        "temperature": float(posterior.temperature),
        "sampling": _sampling(posterior),
    }
    tree = _from_groups(
        {group: variables for group, variables in groups.items() if variables},
        coords={"exposure": list(observed.exposures)},
        dims={"positive_fraction": ["exposure"], "pixels": ["exposure"]},
        attributes=attributes,
    )
    for node in _nodes(tree):
        node.attrs.pop("created_at", None)  # the same evaluation gives the same file
    return tree


def _sampling(posterior: Any) -> str:
    if isinstance(posterior, Ensemble):
        kind = "networks trained from several seeds"
    elif posterior.is_deterministic:
        kind = "one set of weights, repeated"
    elif getattr(posterior, "is_sampled", False):
        return "draws of a Markov chain in shuffled order: its diagnostics are in the posterior"
    else:
        kind = "balanced draws of a variational guide"
    return (
        f"{kind}, no Markov chain: R-hat, effective sample size and standard errors of means have "
        "no meaning here"
    )


def write_arviz(tree: Any, path: str | os.PathLike[str]) -> None:
    """Write ArviZ data to a netCDF file."""
    tree.to_netcdf(os.fspath(path), engine="h5netcdf")


def _from_groups(
    groups: dict[str, dict[str, Any]],
    *,
    coords: dict[str, Any],
    dims: dict[str, list[str]],
    attributes: dict[str, Any],
) -> Any:
    arviz = import_arviz()
    if int(arviz.__version__.split(".")[0]) >= 1:
        attrs = {"/": attributes, **{group: attributes for group in groups}}
        return arviz.from_dict(groups, coords=coords, dims=dims, attrs=attrs)
    tree = arviz.from_dict(**groups, coords=coords, dims=dims, attrs=dict(attributes))
    for node in _nodes(tree):
        node.attrs.update(attributes)
    return tree


def _nodes(tree: Any) -> list[Any]:
    """The root and every group, each with its attributes."""
    if hasattr(tree, "subtree"):
        return list(tree.subtree)
    return [tree, *(tree[group] for group in tree.groups())]


def import_arviz() -> ModuleType:
    """ArviZ, which announces its next version with a warning at import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # 0.23 announces 1.0 at import
        import arviz
    return arviz
