"""What a metric of a report is, so that one more is one more declaration.

A metric is read off a statistic of the frames that adds up,

    value = compute(view(sum over frames of statistic(frame)))

which makes it a streaming metric, independent of the order of frames, and one that a bootstrap
over exposures can weigh: only the statistic of each exposure is kept, never its pixels. Your own,
in a file of yours:

    import math
    import numpy as np
    from bayescr.evaluation import Metric, Statistic

    def faint(frame):  # how many faint positives there are, and how many are flagged
        faint = frame.valid & frame.target & (frame.significance < 5.0)  # of a PatchDataset
        return np.array([faint.sum(), (faint & (frame.logit > 0.0)).sum()])

    metric = Metric(
        name="faint recall", better="higher", statistic=Statistic(of=faint),
        compute=lambda total: total[1] / total[0] if total[0] else math.nan,
    )
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bayescr.evaluation.counts import INFORMATION_GRID, LOGIT_GRID
from bayescr.evaluation.metrics.hits import HitTable, count_hits
from bayescr.evaluation.scored import ScoredFrame

__all__ = [
    "ERRORS_BY_INFORMATION",
    "ERRORS_BY_STD",
    "HITS",
    "LOGITS",
    "SUMS",
    "Metric",
    "Statistic",
    "Sums",
]

Array = np.ndarray[Any, Any]

_NO_ENTROPY = 800.0  # exp(-800) is 0: keeps infinity times 0 out of the sum


def _unchanged(total: Array) -> Any:
    return total


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """What is kept of a frame: an array of numbers that add up over frames.

    Attributes:
        of: A scored frame -> an array, always of one shape. Integers add up exactly.
        view: The sum -> what metrics compute from; by default the sum itself.
        coarser: The sum -> the sum at half the resolution, of a statistic that has one: the
            difference that makes to a metric goes into its interval.
    """

    of: Callable[[ScoredFrame], Array]
    view: Callable[[Array], Any] = _unchanged
    coarser: Callable[[Array], Array] | None = None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A column of the table.

    Attributes:
        name: The column's name.
        better: Which direction is better; None where neither is.
        statistic: What it is computed from.
        compute: The view of the statistic's sum -> the value; NaN where it is not defined.
        group: Under which heading it stands.
        of_probability: Whether it takes the logit at its word: such a metric is NaN for a score
            that only ranks.
        is_distance: Whether it is a distance from 0 that chance can only lengthen, such as ECE:
            its interval reaches down for that.
    """

    name: str
    better: Literal["lower", "higher"] | None
    statistic: Statistic
    compute: Callable[[Any], float]
    group: str = "your own"
    of_probability: bool = False
    is_distance: bool = False


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Sums over pixels, of the logits as they are, and the means that are read off them."""

    pixels: float
    positive: float
    squared_error: float
    neg_log_likelihood: float
    entropy: float
    mutual_information: float

    @property
    def brier(self) -> float:
        """Mean squared error of the probability."""
        return self._mean(self.squared_error)

    @property
    def brier_skill(self) -> float:
        """Brier skill against the base rate of these pixels; NaN where all labels are the same."""
        rate = self._mean(self.positive)
        reference = rate * (1.0 - rate)
        return 1.0 - self.brier / reference if reference > 0.0 else math.nan

    @property
    def nll(self) -> float:
        """Negative log-likelihood per pixel [nat]."""
        return self._mean(self.neg_log_likelihood)

    @property
    def mean_entropy(self) -> float:
        """Entropy per pixel [nat]."""
        return self._mean(self.entropy)

    @property
    def mean_mutual_information(self) -> float:
        """Mutual information per pixel [nat]."""
        return self._mean(self.mutual_information)

    def _mean(self, total: float) -> float:
        return total / self.pixels if self.pixels else math.nan


def _sums(frame: ScoredFrame) -> Array:
    z, y = frame.z, frame.y
    size = np.abs(z)
    ratio = np.exp(-size)
    lesser, softplus = ratio / (1.0 + ratio), np.log1p(ratio)  # min(p, 1 - p) and its log
    wrong = (z > 0.0) != y
    return np.array(
        [
            z.size,
            y.sum(),
            np.sum(np.where(wrong, 1.0 / (1.0 + ratio), lesser) ** 2),
            np.sum(softplus) + np.sum(size[wrong]),
            np.sum(softplus) + np.sum(np.minimum(size, _NO_ENTROPY) * lesser),
            np.sum(frame.mutual_information[frame.valid], dtype=np.float64),
        ]
    )


def _names(total: Array) -> Sums:
    return Sums(**dict(zip(Sums.__dataclass_fields__, total.tolist(), strict=True)))


def _hits(frame: ScoredFrame) -> Array:
    flagged, truth = frame.valid & (frame.logit > 0.0), frame.valid & frame.target
    return count_hits(flagged, truth, significance=frame.significance)


def _errors_by(name: str) -> Callable[[ScoredFrame], Array]:
    def of(frame: ScoredFrame) -> Array:
        doubt = np.maximum(getattr(frame, name)[frame.valid], 0.0)  # rounding may leave -1e-9
        return INFORMATION_GRID.count(doubt, (frame.z > 0.0) != frame.y)

    return of


SUMS = Statistic(of=_sums, view=_names)
"""`Sums` over the valid pixels."""

HITS = Statistic(of=_hits, view=lambda total: HitTable(total=total.astype(np.int64)))
"""`HitTable` of connected hits and detections at p > 1/2."""

LOGITS = Statistic(
    of=lambda frame: LOGIT_GRID.count(frame.z, frame.y, by=frame.order),
    view=LOGIT_GRID.counts,
    coarser=LOGIT_GRID.coarser,
)
"""`Counts` of pixels by logit, in the cells of `LOGIT_GRID`, and label."""

ERRORS_BY_INFORMATION = Statistic(
    of=_errors_by("mutual_information"),
    view=INFORMATION_GRID.counts,
    coarser=INFORMATION_GRID.coarser,
)
"""`Counts` of right and wrong pixels by mutual information, in the cells of `INFORMATION_GRID`."""

ERRORS_BY_STD = Statistic(
    of=_errors_by("std"), view=INFORMATION_GRID.counts, coarser=INFORMATION_GRID.coarser
)
"""`Counts` of right and wrong pixels by standard deviation, in those cells."""
