"""Counts of pixels by score and label: the one statistic behind every metric that ranks or bins.

A metric that looks at each pixel's score and label alone is a function of

    n_k, m_k = number of pixels with y = 0, y = 1 and score s_k,      s_1 < s_2 < ... < s_K

Counts add up over frames, are multiplied by the weights of a bootstrap, and have no order: what is
computed from them is the same for any order of pixels and exposures, ties included.

`Counts.of` keeps every distinct score of an array, exactly. An archive has too many: a `Grid` puts
scores into narrow cells, so that counts of any number of frames take the same memory. The cells of
logits,

    code(z) = sign(z) ceil(64 |z|)                       for |z| <= 16
              sign(z) ceil(1024 (1 + log(|z| / 16)))     beyond, up to 700; infinity has its own

are 1/64 wide where it matters and 0.1% beyond, and 0 has its own too, so that z > 0 is never in
doubt. The score of a cell is the mean of the scores in it: a forecast of few distinct values keeps
them exactly, any other one moves by less than a cell and not on average.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from scipy.special import expit

__all__ = ["INFORMATION_GRID", "LOGIT_GRID", "Counts", "Grid"]

Array = np.ndarray[Any, Any]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """How many pixels of either label hold each distinct score.

    Attributes:
        score: (K,) ascending, infinite allowed: a logit, or a confidence.
        negative: (K,) int64, pixels whose label (or event) is 0.
        positive: (K,) int64, pixels whose label (or event) is 1.

    Example:
        >>> counts = Counts.of(np.array([2.0, 0.0, 2.0]), np.array([True, False, False]))
        >>> counts.score, counts.negative, counts.positive
        (array([0., 2.]), array([1, 1]), array([0, 1]))
    """

    score: Array
    negative: Array
    positive: Array
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, score: Array, event: Array) -> Counts:
        """The counts of pixels, every distinct score kept.

        Args:
            score: (N,) without NaN.
            event: (N,) bool: the label, or whatever is counted.
        """
        distinct, place = np.unique(score, return_inverse=True)
        return cls(
            score=distinct,
            negative=np.bincount(place[~event], minlength=distinct.size),
            positive=np.bincount(place[event], minlength=distinct.size),
        )

    @cached_property
    def total(self) -> Array:
        """Pixels of either label, (K,)."""
        return self.negative + self.positive

    @cached_property
    def probability(self) -> Array:
        """The score taken as a logit, sigmoid(s_k), (K,)."""
        probability: Array = expit(self.score)
        return probability

    @cached_property
    def num_negative(self) -> int:
        """All pixels whose label is 0."""
        return int(self.negative.sum())

    @cached_property
    def num_positive(self) -> int:
        """All pixels whose label is 1."""
        return int(self.positive.sum())

    @property
    def size(self) -> int:
        """All pixels."""
        return self.num_negative + self.num_positive

    def once(self, compute: Callable[[Counts], T]) -> T:
        """The function of these counts, computed at the first call and kept with them.

        Several metrics read the same curve or fit: it is made once for each set of counts.
        """
        if compute not in self._kept:
            self._kept[compute] = compute(self)
        kept: T = self._kept[compute]
        return kept

    def errors(self) -> Counts:
        """Counts by confidence |s| of right (negative) and wrong (positive) answers to "s > 0?"."""
        return self.once(_errors)

    def negated(self) -> Counts:
        """The same pixels by -s: a confidence becomes a doubt and a doubt a confidence."""
        return self.once(_negated)


def _errors(counts: Counts) -> Counts:
    flagged = np.searchsorted(counts.score, 0.0, side="right")  # the first with s > 0
    low, high = slice(flagged - 1, None, -1) if flagged else slice(0, 0), slice(flagged, None)
    size = np.concatenate([-counts.score[low], counts.score[high]])
    right = np.concatenate([counts.negative[low], counts.positive[high]])
    wrong = np.concatenate([counts.positive[low], counts.negative[high]])
    order = np.argsort(size, kind="stable")  # two ascending runs: a stable sort merges them
    size = size[order] + 0.0  # no negative zero
    first = np.flatnonzero(np.concatenate([size[:1] == size[:1], size[1:] != size[:-1]]))
    if not first.size:
        return counts
    return Counts(
        score=size[first],
        negative=np.add.reduceat(right[order], first),
        positive=np.add.reduceat(wrong[order], first),
    )


def _negated(counts: Counts) -> Counts:
    return Counts(
        score=-counts.score[::-1], negative=counts.negative[::-1], positive=counts.positive[::-1]
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Fixed cells that scores fall into.

    Attributes:
        edge: (K,) the end of each cell that is farther from 0, ascending.
        code: (N,) scores without NaN -> (N,) index of their cells.
        pair: (K,) which cell each joins in the grid of half as many.
    """

    edge: Array
    code: Callable[[Array], Array]
    pair: Array

    def count(self, score: Array, event: Array, *, by: Array | None = None) -> Array:
        """(3, K) float64 that adds up: pixels without and with the event, and sum of scores.

        Args:
            score: (N,) without NaN.
            event: (N,) bool.
            by: (N,) scores of the same order and sign whose cells are taken; default ``score``.
        """
        size = self.edge.size
        code = self.code(score if by is None else by)
        both = np.bincount(code + size * event, minlength=2 * size)
        finite = np.where(np.isinf(score), 0.0, score)
        return np.vstack([both.reshape(2, size), np.bincount(code, finite, minlength=size)])

    def counts(self, total: Array) -> Counts:
        """The counts of a sum of `count`, of the cells that hold a pixel."""
        occurs = np.flatnonzero(total[0] + total[1])
        negative, positive, score = total[:, occurs]
        edge = self.edge[occurs]
        mean = _rounded(score / (negative + positive))
        return Counts(
            score=np.where(np.isinf(edge) | (edge == 0.0), edge, mean),
            negative=negative.astype(np.int64),
            positive=positive.astype(np.int64),
        )

    def coarser(self, total: Array) -> Array:
        """The same sum as if cells were twice as wide: what that changes, the cells decide."""
        size = self.edge.size
        return np.stack([np.bincount(self.pair, weights=row, minlength=size) for row in total])


def _rounded(values: Array) -> Array:
    """To 40 bits: sums of the scores +z and of -z do not always round alike, and these tie."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(mantissa * 2.0**40), exponent - 40)


_LINEAR, _STEPS, _LARGEST = 16.0, 64.0, 700.0
_FINITE = round(_STEPS * _LINEAR * (1.0 + np.log(_LARGEST / _LINEAR)))  # cells of one sign


def _logit_code(z: Array) -> Array:
    size = np.abs(z)
    bounded = np.clip(size, _LINEAR, _LARGEST)
    beyond = _STEPS * _LINEAR * (1.0 + np.log(bounded / _LINEAR))
    cell = np.ceil(np.where(size <= _LINEAR, _STEPS * size, np.minimum(beyond, _FINITE)))
    cell[np.isinf(size)] = _FINITE + 1
    return np.copysign(cell, z).astype(np.int64) + _FINITE + 1


def _logit_edges() -> Array:
    cell = np.arange(1.0, _FINITE + 1.0)
    linear = _STEPS * _LINEAR
    size = np.where(cell <= linear, cell / _STEPS, _LINEAR * np.exp(cell / linear - 1.0))
    return np.concatenate([[-np.inf], -size[::-1], [0.0], size, [np.inf]])


def _logit_pairs() -> Array:
    cell = np.arange(1, _FINITE + 1)
    pair = np.minimum((cell + 1) // 2 * 2, _FINITE)
    signed = np.concatenate([[-_FINITE - 1], -pair[::-1], [0], pair, [_FINITE + 1]])
    return signed + _FINITE + 1


LOGIT_GRID = Grid(edge=_logit_edges(), code=_logit_code, pair=_logit_pairs())
"""Cells of logits, 1/64 wide up to 16, 0.1% beyond."""

_SMALLEST, _DENSITY = 1e-12, 64.0
_INFORMATION_SIZE = round(-_DENSITY * np.log(_SMALLEST))


def _information_code(value: Array) -> Array:
    """0 for 0 and what rounding leaves in its place, then cells of a logarithmic scale up to 1."""
    cell = np.ceil(_DENSITY * np.log(np.maximum(value, _SMALLEST) / _SMALLEST)) + 1.0
    small = value <= _SMALLEST
    return np.where(small, 0.0, np.minimum(cell, _INFORMATION_SIZE + 1)).astype(np.int64)


INFORMATION_GRID = Grid(
    edge=np.concatenate([[0.0], _SMALLEST * np.exp(np.arange(_INFORMATION_SIZE + 1.0) / _DENSITY)]),
    code=_information_code,
    pair=np.minimum((np.arange(_INFORMATION_SIZE + 2) + 1) // 2 * 2, _INFORMATION_SIZE + 1),
)
"""Cells of numbers from 0 to 1 such as a mutual information, 1.6% wide; one for 0."""
