"""Running models and guides without leaving a trace in Pyro's global parameter store."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyro
import torch
from pyro.distributions import Delta
from pyro.infer.autoguide import AutoDelta, AutoLaplaceApproximation
from pyro.infer.autoguide.initialization import init_to_value
from torch import Tensor

from bayescr._tracing import traced
from bayescr.errors import BayescrError
from bayescr.models import BayesianSegmenter

if TYPE_CHECKING:  # guides of guides are made here, too
    from bayescr.inference.guides import GuideFactory

__all__ = [
    "build_guide",
    "draw_latents",
    "example_batch",
    "guide_name",
    "local_parameters",
    "make_guide",
]


@contextlib.contextmanager
def local_parameters() -> Iterator[None]:
    """Keep parameters in their modules: guides with equal site names must not share tensors.

    Errors keep their one line, also where Pyro's own guides and kernels trace the model.
    """
    try:
        with pyro.settings.context(module_local_params=True), pyro.validation_enabled(False):
            yield
    except BayescrError as error:
        told: BaseException = error
        while "\nTrace Shapes:" in str(told) and isinstance(told.__cause__, BayescrError):
            told = told.__cause__  # of which Pyro made another, with a table of all shapes
        if told is error:
            raise
        raise told from None


def example_batch(model: BayesianSegmenter, in_channels: int) -> tuple[Tensor, Tensor]:
    """The smallest batch a model can be traced with: one blank image and its labels."""
    device = next(iter(model.random_weights.values())).device
    image = torch.zeros(1, in_channels, 32, 32, device=device)
    with torch.no_grad():
        target = torch.zeros_like(model.net(image))
    return image, target


def build_guide(factory: GuideFactory, model: BayesianSegmenter, *, in_channels: int) -> Any:
    """Make a guide, have it start at the model's weights, and make its lazy parameters.

    Raises:
        BayescrError: For a class instead of a factory, a guide that SVI alone does not finish, or
            a point where the prior has no highest density.
    """
    was_training = model.training
    with local_parameters():
        guide = make_guide(factory, model, model.random_weights)
        if isinstance(guide, AutoDelta):
            from bayescr.inference.guides._weights import check_prior  # which imports this file

            for name in model.random_weights:
                check_prior(model, name)
        # Autoguides run the model on prior draws here: statistics of the net must not see them.
        model.eval()
        guide(*example_batch(model, in_channels))
        model.train(was_training)
    return guide


def make_guide(factory: GuideFactory, model: Any, weights: Mapping[str, Tensor]) -> Any:
    """Make a guide that starts at given weights; lazy parameters come with its first call.

    Pyro's autoguides take their start from ``init_loc_fn``; where a factory has that argument
    and it was not chosen, it is these weights.

    Raises:
        BayescrError: For a class instead of a factory, or a guide that SVI alone does not finish.
    """
    if isinstance(factory, type) and dataclasses.is_dataclass(factory):
        raise BayescrError(
            f"guide is the class {factory.__name__}: give its settings too, {factory.__name__}()"
        )
    if "init_loc_fn" in _free_arguments(factory):
        values = {name: weight.detach().clone() for name, weight in weights.items()}
        factory = functools.partial(factory, init_loc_fn=init_to_value(values=values))
    guide = factory(model)
    if isinstance(guide, AutoLaplaceApproximation):
        raise BayescrError(
            "guide is an AutoLaplaceApproximation: after SVI it is a point, all its draws the "
            "same; use AutoNormal or AutoMultivariateNormal"
        )
    return guide


def guide_name(factory: GuideFactory) -> str:
    """Name of a guide's factory: its own, that inside a partial, or that of its class."""
    inner = getattr(factory, "func", factory)  # of a functools.partial
    return getattr(inner, "__name__", type(inner).__name__)


def draw_latents(guide: Any) -> tuple[dict[str, Tensor], bool]:
    """One draw of every latent, and whether each further draw would be the same."""
    with torch.no_grad(), local_parameters():
        trace = traced(guide)
    sites = {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site["is_observed"]
    }
    auxiliary = {name for name, site in sites.items() if site["infer"].get("is_auxiliary")}
    latents = {name: site["value"] for name, site in sites.items() if name not in auxiliary}
    is_point = not auxiliary and all(isinstance(site["fn"], Delta) for site in sites.values())
    return latents, is_point


def _free_arguments(factory: GuideFactory) -> set[str]:
    try:
        parameters = set(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return set()
    chosen = factory.keywords if isinstance(factory, functools.partial) else {}
    return parameters - set(chosen)
