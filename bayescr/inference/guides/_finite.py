"""Equal mixtures: what an ensemble of guides and draws of a Markov chain have in common.

    q(w) = 1/M sum_m q_m(w)

The members are there to be counted: predictions give each its share (`bayescr.inference.sampling`),
and if all are points, M passes through the network are all there is to a prediction.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from bayescr._checks import check_count
from bayescr._random import seeded
from bayescr.errors import BayescrError
from bayescr.inference.guides._weights import attach
from bayescr.models import BayesianSegmenter

__all__ = ["Mixture", "StoredDraws", "StoredGuide", "centred_on_start", "way_to_random"]


class Mixture(PyroModule):
    """Each draw is that of a member, all of them equally likely."""

    members: Any

    def __init__(self) -> None:
        with pyro.settings.context(module_local_params=True):  # as in BayesianSegmenter
            super().__init__()

    def forward(self, *args: object, **kwargs: object) -> Any:
        """Draw a member, at an auxiliary site, and what it draws."""
        device = next(itertools.chain(self.parameters(), self.buffers())).device
        number = dist.Categorical(logits=torch.zeros(len(self.members), device=device))
        member = pyro.sample("_member", number, infer={"is_auxiliary": True})
        return self.members[int(member)](*args, **kwargs)

    def median(self, *args: object, **kwargs: object) -> NoReturn:
        """There is none: between the members there may be no good weights at all.

        Raises:
            BayescrError: Always.
        """
        raise BayescrError(
            "an equal mixture has no median(), between its members there may be no good weights: "
            "start from one, start=ensemble.member(0) or start=fit(model, guides.MAP(), train)"
        )


@dataclass(frozen=True, kw_only=True)
class StoredDraws:
    """Draws that were made elsewhere, kept with the posterior: what `bayescr.inference.nuts` gives.

    Nothing in them is trained: `fit` refuses them.

    Attributes:
        num_samples: How many.
    """

    is_trainable = False

    num_samples: int = 200

    def __post_init__(self) -> None:
        check_count(self, "num_samples")

    def __call__(self, model: BayesianSegmenter) -> StoredGuide:
        """The guide of a model, to be filled by `StoredGuide.store` or from a saved file."""
        return StoredGuide(model, self.num_samples)


class StoredGuide(Mixture):
    """An equal mixture of points.

    Args:
        model: The model whose latents are stored; until others are, each draw is its weights.
        num_samples: Number of draws.
    """

    def __init__(self, model: BayesianSegmenter, num_samples: int) -> None:
        super().__init__()
        self.num_samples = num_samples
        self.names: list[str] = []
        self.draws = nn.Module()
        for name, start in model.random_weights.items():
            with seeded(0, device=start.device):
                priors = model.hyper_latents(name)
                latents = {latent: prior.sample() for latent, prior in priors.items()}
            for latent, value in {**latents, name: start}.items():
                self.names.append(latent)
                stored = nn.Module()
                stored.register_buffer("values", torch.stack([value.detach()] * num_samples))
                attach(self.draws, latent, stored)

    @property
    def members(self) -> _Points:
        """The draws, each a guide."""
        return _Points(self)

    def at(self, index: int, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """Every latent at one of the draws."""
        points = {name: self._values(name)[index] for name in self.names}
        return {
            name: pyro.sample(name, dist.Delta(value, event_dim=value.dim()))
            for name, value in points.items()
        }

    def store(self, draws: dict[str, Tensor]) -> None:
        """Take draws, {site: (num_samples, *shape)}.

        Raises:
            BayescrError: If they are not of this model's latents, or not as many.
        """
        if draws.keys() != set(self.names):
            raise BayescrError(
                f"the draws are of {', '.join(sorted(draws))}: expected {', '.join(self.names)}"
            )
        for name, values in draws.items():
            expected = self._values(name).shape
            if values.shape != expected:
                raise BayescrError(
                    f"the draws of '{name}' have shape {tuple(values.shape)}: expected "
                    f"{tuple(expected)}"
                )
            self.draws.get_submodule(name).values = values.detach().clone()

    def _values(self, name: str) -> Tensor:
        return self.draws.get_submodule(name).get_buffer("values")


class _Points:
    """The draws of a `StoredGuide` as a sequence that holds no tensor."""

    def __init__(self, guide: StoredGuide) -> None:
        self.guide = guide

    def __len__(self) -> int:
        return self.guide.num_samples

    def __getitem__(self, index: int) -> Callable[..., dict[str, Tensor]]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return functools.partial(self.guide.at, index)


def centred_on_start(model: BayesianSegmenter) -> list[str]:
    """Names of the random weights whose prior is centred on their start values."""
    return [
        name
        for name in model.random_weights
        if getattr(model.prior_of(name), "is_centred_on_start", False)
    ]


def way_to_random(model: BayesianSegmenter, name: str) -> str:
    """What makes a plain parameter of the network random, for who needs all of them to be so."""
    try:
        prior = model.prior_of(name)
    except BayescrError:  # no pattern of a Select fits it
        prior = None
    if prior is None:
        return "give it a prior in Select"
    return "make all weights random, BayesianSegmenter(..., random='*')"
