"""Partial: any guide on some of the weights, points for the others."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from pyro import poutine
from pyro.infer.autoguide import AutoGuide
from torch import Tensor

from bayescr.errors import BayescrError
from bayescr.inference._pyro import make_guide
from bayescr.inference.guides._joint import JointGuide, Patterns, check_patterns, chosen_weights
from bayescr.inference.guides._weights import Point, WeightGuide
from bayescr.inference.guides.mean_field import MeanField
from bayescr.models import BayesianSegmenter

__all__ = ["Partial"]


@dataclass(frozen=True, kw_only=True)
class Partial:
    """A guide on the weights whose names fit a pattern; all others are points, as under `MAP`.

    Every weight keeps its prior. With ``BayesianSegmenter(random=...)`` instead, those not
    chosen would have none.

    The latents that a prior samples for itself are no part of the inner guide if that is one of
    Pyro's: those of the chosen weights get what every guide here gives them.

    Attributes:
        guide: A guide that goes weight by weight (`MeanField`, `LowRank`, `MCDropout`, ...), or
            a Pyro autoguide, or a ``functools.partial`` of one.
        on: Patterns of the names of the chosen weights.

    Example:
        >>> from bayescr.models import BayesianSegmenter, UNet
        >>> model = BayesianSegmenter(UNet(width=2))
        >>> guide = Partial(guide=MeanField(), on=("head.*", "up1.conv2.*"))(model)
    """

    guide: Callable[..., Any] = MeanField()
    on: Patterns = "head.*"

    def __post_init__(self) -> None:
        check_patterns(self)
        name = _name(self.guide)
        if isinstance(self.guide, type) and hasattr(self.guide, "sites"):
            raise BayescrError(f"Partial guide is the class {name}: give its settings, {name}()")
        if hasattr(self.guide, "on"):
            raise BayescrError(
                f"{name} chooses its own weights: give on= to the guide itself, "
                f"{name}(on={self.on!r})"
            )
        if hasattr(self.guide, "members"):
            raise BayescrError(
                f"Partial holds an {name}: put it inside, "
                f"{name}(guide=Partial(guide=..., on={self.on!r}))"
            )
        if not hasattr(self.guide, "sites") and not _is_autoguide(self.guide):
            raise BayescrError(
                f"Partial guide is {self.guide!r}: expected a guide that goes weight by weight, "
                "such as MeanField(), or a Pyro autoguide"
            )

    def __call__(self, model: BayesianSegmenter) -> WeightGuide:
        """The guide of a model.

        Raises:
            BayescrError: If a pattern fits no random weight.
        """
        chosen = chosen_weights(model, self.on)
        if _is_autoguide(self.guide):
            return _BesideAutoguide(model, self.guide, chosen)
        if getattr(self.guide, "across_layers", False):
            return JointGuide(model, self.on, self.guide.joint)  # type: ignore[attr-defined]
        site = self.guide.sites(model)  # type: ignore[attr-defined]
        return WeightGuide(
            model, lambda name, start: site(name, start) if name in chosen else Point(start)
        )


class _BesideAutoguide(WeightGuide):
    """An autoguide of the chosen weights, points for the others."""

    def __init__(
        self, model: BayesianSegmenter, factory: Callable[..., Any], chosen: Collection[str]
    ) -> None:
        super().__init__(model, lambda name, start: None if name in chosen else Point(start))
        visible = poutine.block(model, expose=list(chosen))
        self.inner = make_guide(factory, visible, model.random_weights)

    def forward(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """Draw every latent; the arguments are the model's, and matter in the first call only."""
        drawn = self.inner(*args, **kwargs)
        return {
            name: drawn[name] if name in drawn else self.site(name).sample(name)
            for name in self.names
        }

    def median(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """The centre of each factor, by site name."""
        centres = self.inner.median(*args, **kwargs)
        return {
            name: centres[name] if name in centres else self.site(name).median().detach()
            for name in self.names
        }


def _is_autoguide(factory: Any) -> bool:
    inner = getattr(factory, "func", factory)  # of a functools.partial
    return isinstance(inner, type) and issubclass(inner, AutoGuide)


def _name(factory: Any) -> str:
    return factory.__name__ if isinstance(factory, type) else type(factory).__name__
