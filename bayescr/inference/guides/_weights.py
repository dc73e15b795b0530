"""What the guides over weights share: one distribution for each random weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyro
import torch
from pyro.distributions import Distribution
from pyro.nn import PyroModule
from torch import Tensor, nn

from bayescr.models import BayesianSegmenter

__all__ = ["WeightGuide", "WeightSite"]


class WeightSite(nn.Module):
    """The variational parameters of one weight. Subclasses say what they are.

    ``__init__`` makes the parameters, ``forward()`` returns the distribution, whose event has
    the shape of the weight, and ``median()`` its centre.
    """

    def forward(self) -> Distribution:
        """q(w) for this weight."""
        raise NotImplementedError

    def median(self) -> Tensor:
        """The centre of q(w): where another guide may start."""
        raise NotImplementedError


class WeightGuide(PyroModule):
    """q(w) = prod_k q_k(w_k), a factor for each random weight of the model.

    Args:
        model: The model whose random weights, and their values as a start, are taken.
        site: Makes the factor of a weight from its name and start value.
    """

    def __init__(self, model: BayesianSegmenter, site: Callable[[str, Tensor], WeightSite]) -> None:
        with pyro.settings.context(module_local_params=True):  # as in BayesianSegmenter
            super().__init__()
        weights = model.random_weights
        self.names = list(weights)
        self.weights = nn.Module()
        for name, start in weights.items():
            _attach(self.weights, name, site(name, start.detach()))

    def forward(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """Draw every weight; the arguments are the model's and do not matter."""
        return {name: pyro.sample(name, site()) for name, site in self._sites()}

    def median(self, *args: object, **kwargs: object) -> dict[str, Tensor]:
        """The centre of each factor, by site name."""
        with torch.no_grad():
            return {name: site.median() for name, site in self._sites()}

    def _sites(self) -> Iterator[tuple[str, WeightSite]]:
        tree = self.weights
        for name in self.names:
            yield name, tree.get_submodule(name)  # type: ignore[misc]


def _attach(tree: nn.Module, path: str, leaf: nn.Module) -> None:
    """Hang a module at a dotted path, so that state-dict keys read like the network's."""
    *folders, name = path.split(".")
    for folder in folders:
        if not hasattr(tree, folder):
            tree.add_module(folder, nn.Module())
        tree = tree.get_submodule(folder)
    tree.add_module(name, leaf)
