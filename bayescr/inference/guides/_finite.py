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

from bayescr._random import seeded
from bayescr.errors import BayescrError
from bayescr.inference.guides._weights import _attach
from bayescr.models import BayesianSegmenter

__all__ = ["Mixture", "StoredDraws", "StoredGuide", "plain_parameters"]


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
        """There is none: between the members there may be no good weights at all."""
        raise NotImplementedError("an equal mixture has no single centre")


@dataclass(frozen=True, kw_only=True)
class StoredDraws:
    """Draws that were made elsewhere, kept with the posterior: what `bayescr.inference.nuts` gives.

    Nothing in them is trained: `fit` refuses them.

    Attributes:
        num_samples: How many.
    """

    num_samples: int = 200

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            number = self.num_samples
            raise BayescrError(
                f"StoredDraws num_samples is {number}: expected a whole number from 1 up"
            )

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
                _attach(self.draws, latent, stored)

    @property
    def members(self) -> _Points:
        """The draws, each a guide."""
        return _Points(self)

    @property
    def in_turn(self) -> NoReturn:
        """What `fit` would train.

        Raises:
            BayescrError: Always.
        """
        raise BayescrError(
            "StoredDraws are not trained: `nuts(model, train)` draws them; to fit, take a guide "
            "such as MeanField()"
        )

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


def plain_parameters(model: BayesianSegmenter) -> list[str]:
    """Names of what is trained but not random, of the network as its weights are named."""
    return [
        name.removeprefix("net.")
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]
