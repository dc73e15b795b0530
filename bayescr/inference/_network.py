"""The plain network made ready to run one draw of its weights after another on the same images.

What no random weight can move is computed once and shared by all draws: with random weights in
the head alone, a hundred draws cost one pass and a hundred heads. Which layers these are, autograd
tells for any architecture: those whose output asks for no gradient when only the random weights do.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from bayescr.models import BayesianSegmenter
from bayescr.models._layout import channels_last
from bayescr.models.fan_in import fan_in

__all__ = ["DrawnNetwork"]


class DrawnNetwork:
    """A private copy of a model's network that takes its random weights draw by draw.

    Args:
        model: Whose network, and whose plain weights.
        dtype: In which convolutions and linear layers run.
        in_channels: Channels of the images.
    """

    @torch.inference_mode(False)  # autograd is asked what depends on what
    def __init__(self, model: BayesianSegmenter, *, dtype: torch.dtype, in_channels: int) -> None:
        random = model.random_weights
        # The values of the random weights are never used: the copy need not have its own.
        memo = {id(weight): weight for weight in random.values()}
        self.net = copy.deepcopy(model.net, memo).eval().requires_grad_(False)
        self.dtype = dtype
        self._multiplied = _weights_multiplied(self.net)
        image = next(iter(random.values())).new_zeros(1, in_channels, 32, 32)
        self._shared = _share(self.net, random, image)

    def prepare(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a draw in the type and layout in which the network uses them."""
        return {
            name: channels_last(weight.to(self.dtype) if name in self._multiplied else weight)
            for name, weight in weights.items()
        }

    def on(
        self, images: Float[Tensor, "B C H W"]
    ) -> Callable[[Mapping[str, Tensor]], Float[Tensor, "B K H W"]]:
        """A function from prepared weights to the logits, float32, of these images.

        It holds until the next images come: layers shared by all draws are computed at its first
        call.
        """
        images = channels_last(images)
        for layer in self._shared:
            layer.forget()
        lower = self.dtype != torch.float32

        @torch.no_grad()
        def logits(weights: Mapping[str, Tensor]) -> Tensor:
            with torch.autocast(images.device.type, self.dtype, enabled=lower):
                return functional_call(self.net, dict(weights), (images,)).float()

        return logits


class _Shared(nn.Module):
    """A layer that no random weight moves: it runs once for all draws of the weights."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.forget()

    def forget(self) -> None:
        """Other images come."""
        self.output: Tensor | None = None
        self.version = 0

    def forward(self, *args: Any) -> Tensor:
        output = self.output
        # An operation in place on the output, by the network that called, counts its version up;
        # under torch.inference_mode nobody counts.
        if output is None or output.is_inference() or output._version != self.version:
            output = self.output = self.layer(*args)
            self.version = 0 if output.is_inference() else output._version
        return output


def _share(net: nn.Module, random: Mapping[str, Tensor], image: Tensor) -> list[_Shared]:
    """Wrap the outermost layers that no random weight moves; returns the wrappers."""
    fixed = _fixed_layers(net, random, image)
    wrappers = []
    for path in fixed:
        if not any(path.startswith(f"{outer}.") for outer in fixed):
            parent, _, name = path.rpartition(".")
            wrappers.append(_Shared(net.get_submodule(path)))
            setattr(net.get_submodule(parent), name, wrappers[-1])
    return wrappers


def _fixed_layers(net: nn.Module, random: Mapping[str, Tensor], image: Tensor) -> list[str]:
    """Paths of the layers that are called once and give one output for all draws."""
    moved: dict[str, list[bool]] = defaultdict(list)

    def note(path: str) -> Callable[..., None]:
        def hook(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            plain = isinstance(output, Tensor) and not kwargs
            moved[path].append(not plain or output.requires_grad)

        return hook

    handles = [
        layer.register_forward_hook(note(path), with_kwargs=True)
        for path, layer in net.named_modules()
        if path
    ]
    with torch.enable_grad():
        functional_call(net, {n: w.clone().requires_grad_() for n, w in random.items()}, (image,))
    for handle in handles:
        handle.remove()
    return [path for path, calls in moved.items() if calls == [False]]


def _weights_multiplied(net: nn.Module) -> set[str]:
    """Weights and biases of the layers that autocast runs in lower precision."""
    return {
        f"{path}.{name}"
        for path, layer in net.named_modules()
        if fan_in(layer)
        for name, _ in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False))
    }
