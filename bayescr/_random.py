"""Seeding without touching anybody else's random numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from bayescr._seeds import child_seed
from bayescr.errors import BayescrError

__all__ = ["generator", "seeded"]


@contextlib.contextmanager
def seeded(*seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Run a block with torch's generators seeded by a tuple of numbers, then put them back.

    Raises:
        BayescrError: For a negative seed.

    Example:
        >>> with seeded(0, 3):
        ...     a = torch.rand(())
        >>> with seeded(0, 3):
        ...     b = torch.rand(())
        >>> bool(a == b)
        True
    """
    device = torch.device(device)
    devices = [device] if device.type == "cuda" else []
    number = _number(seed)
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(number)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield


def generator(*seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A random number generator of its own, seeded by a tuple of numbers.

    Raises:
        BayescrError: For a negative seed.
    """
    source = torch.Generator(device=torch.device(device))
    source.manual_seed(_number(seed))
    return source


def _number(seed: tuple[int, ...]) -> int:
    if min(seed) < 0:
        raise BayescrError(f"seed is {min(seed)}: expected a whole number from 0 up")
    return child_seed(*seed)
