"""Splitting exposures into parts that hold every field alike."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bayescr.errors import BayescrError

__all__ = ["joined", "split_names"]


def split_names(
    names: Sequence[Hashable], fractions: Sequence[float], *, groups: Mapping[Any, str], seed: int
) -> list[list[Any]]:
    """Split exposures at random in the given proportions, at least one exposure a part.

    Args:
        names: The exposures, or what stands for several.
        fractions: Share of each part.
        groups: Name -> field; each field is spread over the parts in their proportions, as
            far as whole numbers allow.
        seed: Which exposure goes where.

    Raises:
        BayescrError: If the fractions are not positive or exceed 1 together, or there are fewer
            exposures than parts.
    """
    if not fractions or min(fractions) <= 0 or sum(fractions) > 1 + 1e-9:
        raise BayescrError(
            f"fractions are {tuple(fractions)}: expected positive numbers with a sum of at most 1"
        )
    if len(names) < len(fractions):
        raise BayescrError(
            f"{len(names)} exposure(s) cannot be split into {len(fractions)} parts: the patches of "
            "one exposure, and copies of one sky, stay together; add exposures"
        )
    order = iter(_interleaved(names, groups, seed))
    return [list(itertools.islice(order, size)) for size in _sizes(fractions, len(names))]


def joined(links: Iterable[Sequence[Hashable]]) -> list[Hashable]:
    """For each link, a name that it shares with all that it is joined to, directly or by others.

    Args:
        links: Names that belong together, one of them at least in each.
    """
    links = list(links)
    above: dict[Hashable, Hashable] = {}

    def root(name: Hashable) -> Hashable:
        while above.setdefault(name, name) != name:
            name = above[name]
        return name

    for first, *others in links:
        for other in others:
            above[root(other)] = root(first)
    return [root(link[0]) for link in links]


def _interleaved(names: Sequence[Hashable], groups: Mapping[Any, str], seed: int) -> list[Hashable]:
    """Shuffle, then order so that every stretch holds all groups in proportion."""
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    members = defaultdict(list)
    for name in shuffled:
        members[groups.get(name)].append(name)
    position = {
        name: (rank + 0.5) / len(group)
        for group in members.values()
        for rank, name in enumerate(group)
    }
    return sorted(shuffled, key=position.__getitem__)


def _sizes(fractions: Sequence[float], count: int) -> list[int]:
    """Whole numbers in the proportions of the fractions, none of them 0."""
    sizes = [1] * len(fractions)
    for _ in range(round(sum(fractions) * count) - len(sizes)):
        missing = [f * count - size for f, size in zip(fractions, sizes, strict=True)]
        sizes[missing.index(max(missing))] += 1
    return sizes
