"""What the estimators share that change how random layers run: finding, replacing, restoring them.

While the context is open, each layer that owns a random weight has another ``forward``, which
knows the weight drawn for the pass (that is what the layer's own attribute holds during the pass)
and the mean and scale that the guide drew it from. Nothing is skipped in silence: a weight that
cannot be treated so is refused, and so are layers called twice or not at all.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from bayescr.errors import BayescrError
from bayescr.inference.guides import WeightGuide, WeightSite
from bayescr.inference.kl import Moments, moments
from bayescr.models import BayesianSegmenter
from bayescr.models._layout import channels_last

__all__ = ["Call", "LayerwiseEstimator"]

_KINDS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear,
)  # fmt: skip
_WAY_OUT = "use gradients.WeightDraws(), or leave the weight out by `random=`"


@dataclass(frozen=True, kw_only=True)
class LayerwiseEstimator:
    """An estimator that gives the output of a random layer in its own way.

    For guides whose factors are independent normals; layers whose weights are points run as they
    are. Of an ensemble trained side by side each member is treated by itself.
    """

    def __call__(self, model: BayesianSegmenter, guide: Any) -> AbstractContextManager[None]:
        """The context of a training step.

        Raises:
            BayescrError: For a guide with other factors than independent normals and points, a
                random weight outside convolutions (transposed ones included) and linear layers;
                inside the context for a layer that a pass calls twice or not at all.
        """
        return _replacing(self, model, guide)

    def output(self, call: Call) -> Tensor:
        """What a layer gives in place of ``layer(x; w)``."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a layer with random weights.

    Attributes:
        path: Of the layer in the network.
        layer: Its ``weight`` and ``bias`` are those drawn for this pass.
        input: First argument.
        rest: Other arguments, by name and by position.
        weight: Mean and scale of the weight; None if it is not random.
        bias: Likewise.
        num_images: That the network was given.
    """

    path: str
    layer: nn.Module
    input: Tensor
    rest: tuple[tuple[Any, ...], dict[str, Any]]
    weight: Moments | None
    bias: Moments | None
    num_images: int

    def run(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's own function, with padding and stride, of another input and weights."""
        args, kwargs = self.rest
        layer: Any = _With(self.layer, channels_last(weight), bias)
        return type(self.layer).forward(layer, input, *args, **kwargs)

    def means(self) -> tuple[Tensor, Tensor | None]:
        """Of weight and bias: the drawn value where it is not random."""
        layer: Any = self.layer
        weight = layer.weight if self.weight is None else self.weight.mean
        return weight, layer.bias if self.bias is None else self.bias.mean

    def deviations(self) -> tuple[Tensor, Tensor | None]:
        """Of the drawn weight and bias from their means."""
        layer: Any = self.layer
        weight, bias = self.means()
        return layer.weight - weight, None if self.bias is None else layer.bias - bias

    def variances(self) -> tuple[Tensor, Tensor | None]:
        """Of weight and bias."""
        layer: Any = self.layer
        zero = torch.zeros_like(layer.weight)
        weight = zero if self.weight is None else self.weight.scale.square()
        return weight, None if self.bias is None else self.bias.scale.square()


class _With:
    """A layer as it is, but for its weight and bias."""

    def __init__(self, layer: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
        self._layer, self.weight, self.bias = layer, weight, bias

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


class _Pass:
    """What is known while a guide's draw goes through the network.

    Attributes:
        normals: Moments of the weights just drawn, by name.
        called: Paths of the layers called so far.
        num_images: That the network was given.
    """

    def __init__(self, estimator: LayerwiseEstimator, paths: Iterable[str]) -> None:
        self.estimator, self.paths = estimator, list(paths)
        self.normals: dict[str, Moments] = {}
        self.called: set[str] = set()
        self.num_images = 0

    def draw(self, guide: WeightGuide, names: Iterable[str]) -> None:
        """A guide is about to draw."""
        self.normals = _normals(self.estimator, guide, names)

    def begin(self, image: Tensor) -> None:
        """The network is about to run."""
        self.called, self.num_images = set(), len(image)

    def run(self, path: str, layer: nn.Module, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """A layer's ``forward``."""
        weight, bias = (self.normals.get(_join(path, leaf)) for leaf in ("weight", "bias"))
        if weight is None and bias is None:
            self.called.add(path)
            return type(layer).forward(layer, input, *args, **kwargs)
        if path in self.called:
            raise BayescrError(
                f"layer '{path}' is called twice in a pass and its calls share one draw, which "
                f"{self.estimator} cannot give them: {_WAY_OUT}"
            )
        self.called.add(path)
        call = Call(
            path=path, layer=layer, input=input, rest=(args, kwargs), weight=weight, bias=bias,
            num_images=self.num_images,
        )  # fmt: skip
        return self.estimator.output(call)

    def end(self) -> None:
        """The network has run."""
        for path in self.paths:
            if path not in self.called:
                raise BayescrError(
                    f"layer '{path}' has random weights but the network does not call it, so that "
                    f"{self.estimator} cannot treat them: {_WAY_OUT}"
                )


@contextlib.contextmanager
def _replacing(
    estimator: LayerwiseEstimator, model: BayesianSegmenter, guide: Any
) -> Iterator[None]:
    members = getattr(guide, "side_by_side", None) or [guide]
    names = list(model.random_weights)
    with torch.no_grad():
        random = {name: None for one in members for name in _normals(estimator, one, names)}
    layers = _layers(estimator, model.net, random)
    now = _Pass(estimator, layers)
    with contextlib.ExitStack() as stack:
        for member in members:
            hook = member.register_forward_pre_hook(lambda one, _: now.draw(one, names))
            stack.callback(hook.remove)
        for hook in (
            model.net.register_forward_pre_hook(lambda _, args: now.begin(args[0])),
            model.net.register_forward_hook(lambda *_: now.end()),
        ):
            stack.callback(hook.remove)
        for path, layer in layers.items():
            layer.forward = functools.partial(now.run, path, layer)
            stack.callback(delattr, layer, "forward")
        yield


def _normals(estimator: LayerwiseEstimator, guide: Any, names: Iterable[str]) -> dict[str, Moments]:
    """Moments of the weights that a guide draws as independent normals; it may have points."""
    if not isinstance(guide, WeightGuide) or type(guide).forward is not WeightGuide.forward:
        raise BayescrError(
            f"{estimator} needs a guide of independent normals, got {type(guide).__name__}: take "
            "guides.MeanField() or gradients.WeightDraws()"
        )
    found = {}
    for name in names:
        site = guide.site(name)
        # One that overrides `sample` is not drawn from its distribution alone.
        q = site() if type(site).sample is WeightSite.sample else None
        if isinstance(q, dist.Delta):
            continue
        known = None if q is None else moments(q)
        if known is None or known.factor is not None:
            got = type(site if q is None else getattr(q, "base_dist", q)).__name__
            raise BayescrError(
                f"{estimator} needs independent normals, but the guide {type(guide).__name__} has "
                f"{got} for weight '{name}': take guides.MeanField() or gradients.WeightDraws()"
            )
        found[name] = known
    return found


def _layers(
    estimator: LayerwiseEstimator, net: nn.Module, names: Iterable[str]
) -> dict[str, nn.Module]:
    """The layers that own these weights, by path."""
    layers = {}
    for name in names:
        path, _, leaf = name.rpartition(".")
        layer = net.get_submodule(path)
        if leaf not in ("weight", "bias") or not _is_known(layer):
            raise BayescrError(
                f"weight '{name}' belongs to a {type(layer).__name__} that does not run as torch's "
                f"convolutions and linear layers do, which {estimator} knows: {_WAY_OUT}"
            )
        layers[path] = layer
    return layers


def _is_known(layer: nn.Module) -> bool:
    """Whether a layer runs as torch's own do: a subclass may do other things with its weight."""
    kind = next((kind for kind in _KINDS if isinstance(layer, kind)), None)
    methods = ("__call__", "forward", "_conv_forward")
    own = [getattr(type(layer), method, None) for method in methods]
    return "forward" not in vars(layer) and own == [getattr(kind, m, None) for m in methods]


def _join(path: str, leaf: str) -> str:
    return f"{path}.{leaf}" if path else leaf
