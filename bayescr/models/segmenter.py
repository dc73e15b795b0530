"""The Bayesian segmenter: a network whose weights have a prior and whose pixels a likelihood.

w_k ~ prior_k                      for every random weight w_k
l_n = net(x_n; w)                  for every image n
y_n ~ likelihood(l_n)
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase

import pyro
import torch
from jaxtyping import Bool, Float
from pyro import poutine
from pyro.distributions import Distribution
from pyro.nn import PyroModule
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.func import functional_call

from bayescr._calls import check_call
from bayescr._random import seeded
from bayescr._tracing import traced
from bayescr.errors import BayescrError
from bayescr.models._layout import channels_last
from bayescr.models.fan_in import fan_in, input_axis, output_axis
from bayescr.models.likelihoods import Bernoulli, Likelihood
from bayescr.models.priors import FanInNormal, Prior

__all__ = ["BayesianSegmenter", "Selector"]

Selector = str | Iterable[str] | Callable[[str, nn.Parameter], bool]


class BayesianSegmenter(PyroModule):
    """A Pyro model of label maps given images.

    Site names are the paths of the parameters in the network: ``down1.conv1.weight``; the
    pixels are ``obs``. The network is copied; the values its random weights have are where
    guides start, and stay so: after a fit ``model.net(x)`` still runs the start weights; the
    fitted ones are the guide's. Weights that are not random are plain parameters, trained with
    the guide.

    Args:
        net: Maps images (B, C, H, W) to logits (B, K, H, W). Images and kernels come with the
            channels last in memory: a network of one's own may ``reshape`` but not ``view``.
        prior: ``(name, parameter) -> Distribution``, called inside the model.
        likelihood: ``(logits, target, valid) ->`` the observation site.
        random: Which weights are random: patterns of names (``"head.*"``) or a function
            ``(name, parameter) -> bool``. Default: every weight and bias of convolutions,
            transposed ones included, and linear layers. Those to which `priors.Select` gives no
            prior are not.

    Attributes:
        is_started: Whether the weights are those of another fit, `fit(..., start=)`, and so mean
            something where they are.

    Raises:
        BayescrError: If no weight is random, a prior does not fit its weight, or prior or
            likelihood cannot be called as they will be.

    Example:
        >>> from bayescr.models import UNet
        >>> model = BayesianSegmenter(UNet(width=2), random="head.*")
        >>> list(model.random_weights)
        ['head.weight', 'head.bias']
    """

    is_started = False

    def __init__(
        self,
        net: nn.Module,
        prior: Prior | None = None,
        likelihood: Likelihood | None = None,
        *,
        random: Selector | None = None,
    ) -> None:
        # Made under this setting, a module runs with it and without it; see pyro.nn.module.
        with pyro.settings.context(module_local_params=True):
            super().__init__()
        self.net = copy.deepcopy(net)
        self.prior = FanInNormal() if prior is None else prior
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        check_call(self.prior, "prior")
        check_call(self.likelihood, "likelihood")
        self._compute_dtype = torch.float32
        self._fan_in = _fans_in(self.net)
        self._feature_axis = _feature_axes(self.net)
        self._axes = _axes(self.net)
        is_random = _selector(random, self._fan_in)
        names = [
            name
            for name, weight in self.net.named_parameters()
            if is_random(name, weight) and self.prior_of(name) is not None
        ]
        if not names:
            raise BayescrError(
                f"no weight of the network is random: random={random!r} selects none of "
                f"{', '.join(name for name, _ in self.net.named_parameters())}"
            )
        for name in names:
            _make_buffer(self.net, name)
        self._random = names

    @property
    def random_weights(self) -> dict[str, Tensor]:
        """The weights that carry a prior, by site name; their values are where guides start."""
        buffers = dict(self.net.named_buffers())
        return {name: buffers[name] for name in self._random}

    @property
    def plain_parameters(self) -> list[str]:
        """Names of what is trained but not random, of the network as its weights are named."""
        return [
            name.removeprefix("net.")
            for name, parameter in self.named_parameters()
            if parameter.requires_grad
        ]

    def prior_of(self, name: str) -> Prior | None:
        """The prior of one weight: the model's, or the one that `priors.Select` chooses for it."""
        chosen = getattr(self.prior, "of", None)
        return self.prior if chosen is None else chosen(name)

    def hyper_latents(self, name: str) -> dict[str, Distribution]:
        """Latents that the prior of a random weight samples for itself, each with its prior.

        Those of a latent that depends on others are given at one draw of these.
        """
        weight = self.random_weights[name]
        with seeded(0, device=weight.device), torch.no_grad(), poutine.block():
            trace = traced(self._sample, name, weight)
        return {
            site: node["fn"]
            for site, node in trace.nodes.items()
            if node["type"] == "sample" and site != name and not site_is_subsample(node)
        }

    def feature_axis(self, name: str) -> int | None:
        """Axis of a weight along which the feature maps that feed its layer are counted.

        None for a bias, and for the first layer, which is fed by the image.
        """
        return self._feature_axis.get(name)

    def forward(
        self,
        image: Float[Tensor, "B C H W"],
        target: Float[Tensor, "B K H W"] | None = None,
        valid: Bool[Tensor, "B 1 H W"] | None = None,
        *,
        num_images: int | None = None,
    ) -> Float[Tensor, "B K H W"]:
        """The generative story; returns the logits.

        Args:
            image: A batch of scaled images.
            target: Labels, 0 or 1; None samples them.
            valid: True where a pixel counts; None where all do.
            num_images: Size of the training set, of which the batch is a part: its likelihood
                counts num_images / B times. Default: the batch is all there is.
        """
        weights = {name: self._sample(name, weight) for name, weight in self.random_weights.items()}
        batch = torch.arange(len(image), device=image.device)
        with pyro.plate(
            "images", len(image) if num_images is None else num_images, subsample=batch
        ):
            logits = self.logits(image, weights)
            if target is None:
                pyro.deterministic("logits", logits, event_dim=3)
            self.likelihood(logits, target, valid)
        return logits

    def logits(
        self, image: Float[Tensor, "B C H W"], weights: dict[str, Tensor]
    ) -> Float[Tensor, "B K H W"]:
        """The plain network with the given random weights, float32."""
        dtype = self._compute_dtype
        weights = {name: channels_last(weight) for name, weight in weights.items()}
        with torch.autocast(image.device.type, dtype, enabled=dtype != torch.float32):
            return functional_call(self.net, weights, (image,)).float()

    @contextlib.contextmanager
    def computing_in(self, dtype: torch.dtype) -> Iterator[None]:
        """Run the network, and it alone, in another precision than the sums around it."""
        before, self._compute_dtype = self._compute_dtype, dtype
        try:
            yield
        finally:
            self._compute_dtype = before

    def set_base_rate(self, rate: float | Float[Tensor, " K"]) -> None:
        """Tell a network that can use it (`UNet.set_base_rate`) how common each class is."""
        set_base_rate = getattr(self.net, "set_base_rate", None)
        if set_base_rate is not None:
            set_base_rate(rate)

    def _sample(self, name: str, weight: Tensor) -> Tensor:
        weight.fan_in = self._fan_in[name]  # type: ignore[attr-defined]
        weight.input_axis, weight.output_axis = self._axes[name]  # type: ignore[attr-defined]
        prior = self.prior(name, weight)
        if prior.event_shape != weight.shape:
            shape = tuple(weight.shape)
            raise BayescrError(
                f"prior for weight '{name}' has event shape {tuple(prior.event_shape)} but the "
                f"weight is {shape}: expand it, `dist.Normal(0, s).expand(shape).to_event("
                f"{len(shape)})`"
            )
        return pyro.sample(name, prior)


def _fans_in(net: nn.Module) -> dict[str, int]:
    """The fan-in of every parameter's layer, by the parameter's path."""
    return {
        name: fan_in(layer)
        for path, layer in net.named_modules()
        for name, _ in layer.named_parameters(path, recurse=False)
    }


def _axes(net: nn.Module) -> dict[str, tuple[int | None, int | None]]:
    """Axes of every parameter along which its layer's inputs and outputs are counted."""
    return {
        name: (input_axis(layer), output_axis(layer)) if parameter.dim() > 1 else (None, 0)
        for path, layer in net.named_modules()
        for name, parameter in layer.named_parameters(path, recurse=False)
    }


def _feature_axes(net: nn.Module) -> dict[str, int | None]:
    layers = [(path, layer) for path, layer in net.named_modules() if fan_in(layer)]
    return {f"{path}.weight": input_axis(layer) for path, layer in layers[1:]}


def _make_buffer(net: nn.Module, name: str) -> None:
    """Keep a weight's value but take it from the optimiser: a guide will say where it is."""
    path, _, leaf = name.rpartition(".")
    layer = net.get_submodule(path)
    value = layer.get_parameter(leaf).detach()
    delattr(layer, leaf)
    layer.register_buffer(leaf, value)


def _selector(
    random: Selector | None, fans_in: dict[str, int]
) -> Callable[[str, nn.Parameter], bool]:
    if random is None:
        return lambda name, weight: fans_in[name] > 0
    if callable(random):
        return random
    patterns = [random] if isinstance(random, str) else list(random)
    return lambda name, weight: any(fnmatchcase(name, pattern) for pattern in patterns)
