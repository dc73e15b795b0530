"""What the guides over weights share: a factor for each latent of the model.

    q(w, h) = prod_k q(h_k) q(w_k)

w_k are the random weights, h_k the latents that a prior samples for itself: the scales of `ARD`
and `Horseshoe`. They are drawn in the model's order, each weight after its own h_k, so that the
KL of a weight may be taken in closed form given the draw of h_k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import Distribution, constraints
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.distributions import biject_to

from bayescr._random import seeded
from bayescr.errors import BayescrError
from bayescr.models import BayesianSegmenter

__all__ = [
    "FASTER",
    "Point",
    "SiteFactory",
    "WeightGuide",
    "WeightSite",
    "attach",
    "check_prior",
    "log_scale_parameter",
]

SiteFactory = Callable[[str, Tensor], "WeightSite | None"]

# Adam moves a number by at most its learning rate a step, and a scale has decades to cross.
FASTER = 5.0


class WeightSite(nn.Module):
    """The variational parameters of one latent. Subclasses say what they are.

    ``__init__`` makes the parameters, ``forward()`` returns the distribution, whose event has
    the shape of the weight, and ``median()`` its centre.

    Attributes:
        has_density: Whether q(w) has a density over the weight. That of a point mass or of masks
            has none: with a prior whose density has no maximum, the bound would have none either.
        learning_rate_factors: By how much Adam moves some of the parameters faster, by their names
            in the class: the log of a scale has decades to cross. `fit` reads it of any module.
    """

    has_density: bool = True
    learning_rate_factors: Mapping[str, float] = {}

    def forward(self) -> Distribution:
        """q(w) for this weight."""
        raise NotImplementedError

    def median(self) -> Tensor:
        """The centre of q(w): where another guide may start."""
        raise NotImplementedError

    def sample(self, name: str) -> Tensor:
        """Draw the weight at its site; with other sites before it for one that needs them."""
        return pyro.sample(name, self())


class Point(WeightSite):
    """q(w) = delta(w - m)."""

    has_density = False

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.loc = nn.Parameter(start.clone())

    def forward(self) -> Distribution:
        """The point mass."""
        return dist.Delta(self.loc, event_dim=self.loc.dim())

    def median(self) -> Tensor:
        """The point."""
        return self.loc


class WeightGuide(PyroModule):
    """q(w) = prod_k q_k(w_k), a factor for each random weight of the model.

    A latent of the prior's own gets a normal on the unconstrained scale, a log-normal where it is
    positive; a point, where its weight is one.

    Args:
        model: The model whose random weights, and their values as a start, are taken.
        site: Makes the factor of a weight from its name and start value; None for a weight that
            a subclass draws.

    Raises:
        BayescrError: If the prior of a weight needs a factor that has a density.
    """

    def __init__(self, model: BayesianSegmenter, site: SiteFactory) -> None:
        with pyro.settings.context(module_local_params=True):  # as in BayesianSegmenter
            super().__init__()
        self.names: list[str] = []
        self.weights = nn.Module()
        for name, start in model.random_weights.items():
            factor = site(name, start.detach())
            if factor is not None and not factor.has_density:
                check_prior(model, name)
            for latent, prior in model.hyper_latents(name).items():
                self.names.append(latent)
                attach(self.weights, latent, _Latent(prior, is_point=isinstance(factor, Point)))
            self.names.append(name)
            if factor is not None:
                attach(self.weights, name, factor)

    def forward(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """Draw every latent; the arguments are the model's and do not matter."""
        return {name: site.sample(name) for name, site in self.sites()}

    def median(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """The centre of each factor, by site name."""
        with torch.no_grad():
            return {name: site.median() for name, site in self.sites()}

    def sites(self) -> Iterator[tuple[str, WeightSite]]:
        """The factors by the names of their latents, in the model's order."""
        for name in self.names:
            yield name, self.site(name)

    def site(self, name: str) -> WeightSite:
        """The factor of one latent."""
        return self.weights.get_submodule(name)  # type: ignore[return-value]


class _Latent(WeightSite):
    """A latent of the prior's own: normal where it is unconstrained, starting at its median."""

    learning_rate_factors = {"log_scale": FASTER}

    def __init__(self, prior: Distribution, *, is_point: bool) -> None:
        super().__init__()
        self.transform = biject_to(prior.support)
        self.event_dim = len(prior.shape())
        self.is_positive = prior.support in (constraints.positive, constraints.nonnegative) or (
            getattr(prior.support, "base_constraint", None)
            in (constraints.positive, constraints.nonnegative)
        )
        start = self.transform.inv(_median(prior)).detach()
        self.loc = nn.Parameter(start.clone())
        self.log_scale: nn.Parameter | None = None
        if not is_point:
            self.log_scale = nn.Parameter(torch.full_like(start, math.log(0.1)))

    def forward(self) -> Distribution:
        if self.log_scale is None:
            return dist.Delta(self.transform(self.loc), event_dim=self.event_dim)
        scale = self.log_scale.exp()
        if self.is_positive:  # whose KL to another log-normal has a closed form
            return dist.LogNormal(self.loc, scale).to_event(self.event_dim)
        base = dist.Normal(self.loc, scale).to_event(self.loc.dim())
        return dist.TransformedDistribution(base, [self.transform])

    def median(self) -> Tensor:
        return self.transform(self.loc)


def _median(prior: Distribution) -> Tensor:
    """The median of each number, of draws where no quantile is known."""
    try:
        inner = prior
        while isinstance(inner, dist.Independent):
            inner = inner.base_dist
        return inner.icdf(torch.full_like(inner.sample(), 0.5)).expand(prior.shape())
    except NotImplementedError:
        with seeded(0, device=prior.sample().device):
            return prior.sample(torch.Size([1001])).median(0).values


def check_prior(model: BayesianSegmenter, name: str) -> None:
    """Refuse a point, or masks, for a weight whose prior has no highest density.

    Raises:
        BayescrError: If the prior of the weight has none.
    """
    prior = model.prior_of(name)
    if getattr(prior, "is_unbounded", False):
        raise BayescrError(
            f"the density of the prior of weight '{name}', {prior!r}, has no maximum: a guide of "
            "points would run to zero; take one that has a density, such as MeanField(), or "
            "another prior, such as priors.ARD()"
        )


def log_scale_parameter(start: Tensor, relative: float) -> nn.Parameter:
    """Log of ``relative`` times the root mean square of ``start``, 1e-2 for all zeros."""
    rms = start.square().mean().sqrt().item()
    return nn.Parameter(torch.full_like(start, math.log(relative * (rms or 1e-2))))


def attach(tree: nn.Module, path: str, leaf: nn.Module) -> None:
    """Hang a module at a dotted path, so that state-dict keys read like the network's."""
    *folders, name = path.split(".")
    for folder in folders:
        if not hasattr(tree, folder):
            tree.add_module(folder, nn.Module())
        tree = tree.get_submodule(folder)
    tree.add_module(name, leaf)
