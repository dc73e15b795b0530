"""A guide that has been trained: the distribution that weights are drawn from."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Self

import torch
from pyro.infer import Predictive
from torch import Tensor

from bayescr._device import find_device
from bayescr._names import kebab
from bayescr.errors import BayescrError
from bayescr.inference._pyro import guide_name, local_parameters
from bayescr.inference.guides import GuideFactory
from bayescr.inference.guides._finite import StoredGuide
from bayescr.inference.sampling import draw, num_draws, num_points, number_of_draws
from bayescr.models import BayesianSegmenter

__all__ = ["TrainedGuide"]


@dataclass(kw_only=True, eq=False, repr=False)
class TrainedGuide:
    """The part of a `Posterior` that knows no images: its latents and how they are drawn.

    Attributes:
        model: The Pyro model.
        guide: The trained guide, an approximation of p(w | data).
        guide_factory: What made the guide.
    """

    model: BayesianSegmenter
    guide: Any
    guide_factory: GuideFactory

    @property
    def name(self) -> str:
        """Name of the guide as on the command line, ``mean-field``."""
        return kebab(guide_name(self.guide_factory))

    @functools.cached_property
    def num_points(self) -> int | None:
        """How many draws there are: 1 of a point mass, as `guides.MAP` is, M of M points.

        None: no end to them. Draws 0 to M - 1 are each of them once, all equally likely.
        """
        return num_points(self.guide, device=self.device)

    def num_draws(self, num_samples: int) -> int:
        """How many draws a mean takes when so many are asked for.

        No more than there are points; the next multiple of the members of an ensemble, who are to
        count alike.
        """
        return num_draws(self.guide, num_samples, self.num_points)

    @property
    def is_sampled(self) -> bool:
        """Whether the guide holds the draws of a sampler, `bayescr.inference.nuts`."""
        return isinstance(self.guide, StoredGuide)

    @property
    def is_deterministic(self) -> bool:
        """Whether all draws are the same."""
        return self.num_points == 1

    def draw(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        sampling: str = "antithetic",
        sites: list[str] | None = None,
    ) -> dict[str, Tensor]:
        """Draws of the latents from the guide, {site: (num_samples, *shape)}.

        Draw k depends on the seed, k and the kind of device (CPU or GPU) alone: more draws begin
        with the same ones.

        Args:
            num_samples: Number of draws.
            seed: Their seed.
            sampling: ``"antithetic"``: draws balance one another in groups of four, so that means
                need fewer of them (`bayescr.inference.sampling`); or ``"independent"``, for
                statistics that take draws to be so, such as standard errors.
            sites: Which latents; default all.
        """
        draws: dict[str, list[Tensor]] = {}
        noise: dict[Any, Tensor] = {}
        for index in range(number_of_draws(num_samples)):
            latents = draw(
                self.guide, index, seed=seed, device=self.device, sampling=sampling, noise=noise
            )
            chosen = list(latents) if sites is None else sites
            unknown = [name for name in chosen if name not in latents]
            if unknown:
                raise BayescrError(f"no latent '{unknown[0]}': there are {', '.join(latents)}")
            for name in chosen:
                draws.setdefault(name, []).append(latents[name])
        return {name: torch.stack(values) for name, values in draws.items()}

    def median(self) -> dict[str, Tensor]:
        """The centre of the guide, by site: where another fit may start."""
        try:
            with torch.no_grad(), local_parameters():
                return {name: value.detach() for name, value in self.guide.median().items()}
        except (AttributeError, NotImplementedError) as error:
            raise BayescrError(
                f"guide '{self.name}' has no median() that says where its centre is: give it one, "
                "or take another guide, such as MeanField()"
            ) from error

    def predictive(
        self, num_samples: int = 16, *, seed: int = 0, sampling: str = "antithetic"
    ) -> Predictive:
        """Pyro's own predictive over the draws that `predict` would use for that number of them.

        Call it with a batch of scaled images (B, C, H, W); it returns ``logits`` and labels
        ``obs``, each (num_samples, B, K, H, W), and keeps them all: for small images.
        """

        def model(*args: Any, **kwargs: Any) -> Any:
            with local_parameters():
                return self.model(*args, **kwargs)

        return Predictive(
            model,
            posterior_samples=self.draw(num_samples, seed=seed, sampling=sampling),
            return_sites=("logits", "obs"),
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.model.random_weights.values())).device

    def to(self, device: torch.device | str | None) -> Self:
        """Move model and guide to a device; returns self."""
        place = find_device(device)
        self.model.to(place)
        self.guide.to(place)
        return self
