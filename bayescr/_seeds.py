"""Seeds of the parts of a thing, made from the seed of the whole."""

from __future__ import annotations

import numpy as np

__all__ = ["child_seed"]


def child_seed(seed: int, *place: int) -> int:
    """The seed of a part: that of numpy's child spawned at ``place``, as one integer.

    It is below 2^63: integers of FITS and of torch are signed.

    Args:
        seed: Of the whole, from 0.
        place: Which part of it, numbers from 0.

    Example:
        >>> child = np.random.SeedSequence(7).spawn(3)[2]
        >>> child_seed(7, 2) == int(child.generate_state(1, np.uint64)[0]) // 2
        True
    """
    child = np.random.SeedSequence(seed, spawn_key=place)
    return int(child.generate_state(1, np.uint64)[0] >> np.uint64(1))
