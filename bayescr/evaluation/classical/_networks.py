"""The logits of somebody else's network, through its own call, tiles and padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["logits_of"]


@contextmanager
def logits_of(
    network: torch.nn.Module,
    last: torch.nn.Module,
    *,
    change: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[None]:
    """Let a network that ends in a sigmoid return what its last layer gives, without gradients.

    A float32 probability is exactly 1 from a logit of 17 on: a ranking needs the logits.

    Args:
        network: What the package calls.
        last: Its layer before the sigmoid.
        change: Applied to the logits.
    """
    kept: list[torch.Tensor] = []

    def keep(module: Any, inputs: Any, output: torch.Tensor) -> None:
        kept[:] = [output]

    def give(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return kept.pop() if change is None else change(kept.pop())

    hooks = [last.register_forward_hook(keep), network.register_forward_hook(give)]
    try:
        with torch.no_grad():
            yield
    finally:
        for hook in hooks:
            hook.remove()
