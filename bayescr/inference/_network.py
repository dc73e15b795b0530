"""The plain network made ready to run one draw of its weights after another on the same images.

What no random weight can move is computed once and shared by all draws: with random weights in
the head alone, a hundred draws cost one pass and a hundred heads. Which layers these are is found
for any architecture by marking the random weights and seeing how far the mark spreads.
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

    In lower precision the layer that gives the logits still runs in float32: eight bits would put
    them on a coarse grid and tie what must be ranked.

    Args:
        model: Whose network, and whose plain weights.
        dtype: In which convolutions and linear layers run.
        in_channels: Channels of the images.

    Attributes:
        shared: Paths of the layers that run once for all draws.
    """

    def __init__(self, model: BayesianSegmenter, *, dtype: torch.dtype, in_channels: int) -> None:
        random = model.random_weights
        # The values of the random weights are never used: the copy need not have its own.
        memo = {id(weight): weight for weight in random.values()}
        self.net = copy.deepcopy(model.net, memo).eval().requires_grad_(False)
        self.dtype = dtype
        image = next(iter(random.values())).new_zeros(1, in_channels, 32, 32)
        self.shared, last = _trace(self.net, random, image)
        lower = [path for path, layer in self.net.named_modules() if fan_in(layer) and path != last]
        self._lowered = {name for name in random if name.rpartition(".")[0] in lower}
        self._outputs: dict[str, tuple[Tensor, int]] = {}
        if last is not None:
            _in_float32(self.net.get_submodule(last))
        for path in self.shared:
            self._run_once(path)

    def prepare(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a draw in the type and layout in which the network uses them."""
        return {
            name: channels_last(weight.to(self.dtype) if name in self._lowered else weight)
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
        self._outputs.clear()
        lower = self.dtype != torch.float32

        @torch.no_grad()
        def logits(weights: Mapping[str, Tensor]) -> Tensor:
            with torch.autocast(images.device.type, self.dtype, enabled=lower):
                return functional_call(self.net, dict(weights), (images,)).float()

        return logits

    def _run_once(self, path: str) -> None:
        """Let a layer of the copy remember its output until other images come."""
        layer = self.net.get_submodule(path)
        forward = layer.forward

        def remembered(*args: Any) -> Tensor:
            output, version = self._outputs.get(path, (None, 0))
            # An operation in place on the output, by the network that called, counts its version
            # up; under torch.inference_mode nobody counts.
            if output is None or output.is_inference() or output._version != version:
                output = forward(*args)
                self._outputs[path] = output, 0 if output.is_inference() else output._version
            return output

        layer.forward = remembered


class _Moved(Tensor):
    """What depends on a random weight: whatever is computed from one becomes one, too."""


def _trace(
    net: nn.Module, random: Mapping[str, Tensor], image: Tensor
) -> tuple[list[str], str | None]:
    """The outermost layers that give one output for all draws, and the one that gives the logits.

    Of the former only those that are called once, with positional arguments.
    """
    moved: dict[str, list[bool]] = defaultdict(list)
    outputs: dict[str, Tensor] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            plain = type(output) is Tensor and not kwargs
            moved[path].append(not plain)
            if isinstance(output, Tensor) and fan_in(layer):
                outputs[path] = output

        return hook

    handles = [
        layer.register_forward_hook(note(path), with_kwargs=True)
        for path, layer in net.named_modules()
        if path
    ]
    marked: dict[str, Tensor] = {
        name: weight.detach().as_subclass(_Moved) for name, weight in random.items()
    }
    with torch.no_grad():
        logits = functional_call(net, marked, (image,))
    for handle in handles:
        handle.remove()
    fixed = [path for path, calls in moved.items() if calls == [False]]
    outermost = [path for path in fixed if not any(path.startswith(f"{outer}.") for outer in fixed)]
    # The logits may be a piece of what their layer gives: padding is cut off.
    last = [path for path, out in outputs.items() if out.data_ptr() == logits.data_ptr()]
    return outermost, last[-1] if last else None


def _in_float32(layer: nn.Module) -> None:
    forward = layer.forward

    def exact(image: Tensor) -> Tensor:
        with torch.autocast(image.device.type, enabled=False):
            return forward(image.float())

    layer.forward = exact
