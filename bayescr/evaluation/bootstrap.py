"""Intervals of metrics from resampled exposures: what another set of exposures would have given.

Pixels of one exposure share its sky, seeing and crowding; exposures are independent. So exposures
are resampled, never pixels, and a metric's value is a function T(w) of their weights,

    T(w) = compute(view(sum_e w_e statistic_e)),      w = 1: the value itself

Two intervals are formed on a scale g that takes the range of the metric to the real line (logit
for 0 to 1, log for positive numbers, -log(1 - T) for at most 1; a difference stays as it is), and
the interval is the shortest that holds both. With T_(e) the value without exposure e,

    l_e = (E - 1) (mean_e g(T_(e)) - g(T_(e)))           influence of exposure e
    s^2 = sum_e l_e^2 / (E (E - 1))                       jackknife variance

1. jackknife-t: g(T) -+ t_{E-1} s.
2. bootstrap-t: with w drawn from the multinomial distribution and s_w the same error at w, from
   the influences as they are, q_a the a-quantile of (g(T(w)) - g(T)) / s_w:
   [g(T) - q_{1 - alpha/2} s, g(T) - q_{alpha/2} s].

The first allows for s being uncertain, the second for the skewness that a few crowded exposures
bring, up to twice as far as the first. Each alone misses the truth too often, on different sides.
`python -m benchmarks coverage` simulates very unlike exposures; of 2000 sets so many percent have
the truth in their interval of 95% (+- 0.5), from the worst to the best of NLL, Brier score and
skill, TPR at 0.1% FPR, AUPRC, AURC, ECE and hit recall:

    exposures                                  5         10         20         50
    percentiles                         66 to 82   80 to 89   86 to 91   90 to 92
    expanded percentiles (Hesterberg)   78 to 90   88 to 94   89 to 94   91 to 94
    BCa with expanded levels            76 to 89   86 to 92   88 to 91   90 to 92
    jackknife-t, g(T) = T               82 to 97   86 to 97   87 to 97   90 to 97
    1 alone                             90 to 93   90 to 94   91 to 96   93 to 96
    2 alone, however far                80 to 88   83 to 89   86 to 89   88 to 91
    1 and 2, as here                    94 to 96   94 to 96   94 to 95   94 to 96
    paired differences: percentiles     77 to 94   87 to 96   90 to 96   91 to 96
    paired differences, as here         95 to 96   94 to 96   95 to 96   93 to 96

Those as here are of the other metrics; the ECE's are longer, see below, and hold 98 to 100. Two
predictors that do not differ are told apart in 2% to 5% of sets. Of 2 to 4 exposures the interval
is the first alone, and very long: of 3 it holds 92 to 94, of differences 94 to 96.

Several networks trained from different seeds are an arm: its value is their mean, whose variance
over seeds is v / S for S of them. In the interval of one arm it adds to s^2, with the degrees of
freedom of Welch and Satterthwaite in place of E - 1,

    (s^2 + v / S)^2 / (s^4 / (E - 1) + (v / S)^2 / (S - 1)).

Resampling S seeds instead would give (S - 1) / S of that variance and none of its uncertainty. In
the difference of two arms u = v_1 / S_1 + v_2 / S_2 is the variance over seeds, with the degrees of
freedom f that it has where both arms scatter alike, S_1 + S_2 - 2 for S_1 = S_2, and what t_f
makes of it adds in squares to what exposures make,

    reach^2 = (reach of exposures)^2 + t_f^2 u,

which leans to the safe side (Banerjee), for arms may scatter differently. Of 800 sets of 20
exposures (+- 0.8), arms of S seeds that scatter alike, or one five times as much as the other, and
beside them jackknife-t of all variances together by Welch:

    seeds                                      2          3          5
    one arm                             91 to 99   93 to 99   93 to 99
    two arms, alike                    96 to 100  97 to 100  96 to 100
    two arms, 1 : 5 or 5 : 1           90 to 100  88 to 100  88 to 100
    Welch, alike                        94 to 98  96 to 100  96 to 100
    Welch, 1 : 5 or 5 : 1               87 to 97   88 to 96   87 to 97

The longest twentieth of the intervals of two arms of 2 seeds is half as long as Welch's. One arm of
2 has t_1 = 12.7 to fear, and so has its difference to a single network: train three. An arm of one
seed is judged as the network it is: training it again is not part of its interval, nor what a
verdict on it is about. Where networks belong together in pairs, as two that went on from one start,
the differences of the pairs are one arm, S - 1 degrees of freedom and all.

Two things that resampling does not see are added to the interval. Chance can only lengthen a
distance from 0: where the truth is 0, as the ECE of a calibrated forecast, the value is c s for
bins of error s, replicates have the mean sqrt(2 - 1 / E) c s, and the value itself is too long by
their excess over (sqrt(2 - 1 / E) - 1). The interval of a distance reaches down for as much, and is
formed as it stands, g(T) = T. On simulated forecasts from calibrated to twice overconfident, of 6
to 40 exposures, it then holds the ECE in 91% to 99% of sets, and without it in 0% to 96%. And what
is computed from counts in cells feels their width, by about as much as it changes when they are
twice as wide: twice that is added at either end, so that rows of one order are not told apart by
the cells that they happen to fall into.

References:
    Banerjee, "Approximate confidence interval for linear functions of means of k populations when
    the population variances are not equal", Sankhya 22 (1960).
    Efron & Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall (1993), ch. 11, 12, 14.
    Hesterberg, "What Teachers Should Know About the Bootstrap", arXiv:1411.5279 (percentiles are
    too short for few observations; bootstrap-t for skewed statistics).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bayescr.errors import BayescrError
from bayescr.evaluation._studentized import (
    Array,
    Scale,
    Studentized,
    reach,
    span,
    variance_of_means,
    welch,
)
from bayescr.evaluation._weights import leave_one_out, resamples, weighted_sums

__all__ = ["Estimate", "Resampling", "Verdict", "leave_one_out", "mean_of_seeds", "resamples"]

Verdict = Literal["better", "worse", "not distinguishable", ""]

_CHUNK_BYTES = 2**24
_LARGEST_REACH = 2.0  # of bootstrap-t, in units of Student's: without, one exposure can give inf
_BLUR = 2.0  # the effect of cells is of their first power: halved, but not to the last digit
_ROUNDING = 1e-12  # relative: sums in another order are no difference
_NOWHERE = 1e-6  # relative: a distance that is 0 by design, whatever rounding leaves of it
_FEWEST_FOR_BOOTSTRAP_T = 5  # with fewer, most resamples repeat one exposure and have no error


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampling:
    """The weights under which every row of a table is computed again: the same for all of them.

    Attributes:
        weights: (1 + E + B, E) int64: all ones, then `leave_one_out`, then `resamples`.

    Example:
        >>> resampling = Resampling.of(20, num_bootstrap=1000, seed=0)
        >>> statistic = np.random.default_rng(1).poisson((9.0, 100.0), (20, 2))  # hits, found of E
        >>> values = resampling.apply(statistic, lambda total: total[0] / total[1])
        >>> low, high = resampling.estimate(values).interval()
        >>> bool(low < values[0] < high)
        True
    """

    weights: Array

    @classmethod
    def of(cls, num_exposures: int, *, num_bootstrap: int = 1000, seed: int = 0) -> Resampling:
        """The value itself, its jackknife and its bootstrap; arguments as in `resamples`."""
        drawn = resamples(num_exposures, num_bootstrap=num_bootstrap, seed=seed)
        once = np.ones((1, num_exposures), dtype=np.int64)
        return cls(weights=np.concatenate([once, leave_one_out(num_exposures), drawn]))

    @property
    def num_exposures(self) -> int:
        """E."""
        return self.weights.shape[1]

    def totals(self, statistic: Any) -> Iterator[Array]:
        """The weighted sum over exposures under each row of weights, one after the other.

        Args:
            statistic: (E, ...) array, or a scipy.sparse matrix (E, K). Integers stay exact.

        Yields:
            (...) or (K,), of the statistic's own kind of number: int64 or float64.
        """
        if statistic.shape[0] != self.num_exposures:
            raise BayescrError(
                f"statistic has {statistic.shape[0]} rows: expected one for each of the "
                f"{self.num_exposures} exposures"
            )
        shape = statistic.shape[1:]
        flat = statistic if len(shape) == 1 else statistic.reshape(statistic.shape[0], -1)
        kind = np.int64 if np.issubdtype(flat.dtype, np.integer) else np.float64
        flat = flat.astype(np.float64, copy=False)  # sums of counts are exact up to 2^53, and fast
        rows = max(1, _CHUNK_BYTES // (8 * max(1, flat.shape[1])))
        for start in range(0, len(self.weights), rows):
            weights = self.weights[start : start + rows].astype(np.float64)
            yield from np.asarray(weighted_sums(weights, flat)).astype(kind).reshape(-1, *shape)

    def apply(self, statistic: Any, compute: Callable[[Array], Any]) -> Array:
        """`compute` of every weighted sum: (1 + E + B,), or (1 + E + B, M) where it gives (M,)."""
        return np.array([compute(total) for total in self.totals(statistic)], dtype=np.float64)

    def estimate(
        self, values: Array, *, is_distance: bool = False, coarse: float | None = None
    ) -> Estimate:
        """What `apply` gave for one metric, as an estimate with an interval.

        Args:
            values: (1 + E + B,) of the metric.
            is_distance: As in `Estimate`.
            coarse: Likewise.
        """
        if values.shape != (len(self.weights),):
            raise BayescrError(
                f"values have shape {values.shape}: expected ({len(self.weights)},), one for each "
                "row of weights, as `apply` gives them"
            )
        return Estimate(values=values, resampling=self, is_distance=is_distance, coarse=coarse)


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """A metric's value with what it would have been under other weights of the exposures.

    The difference of two estimates of one resampling, ``a - b``, is an estimate too: of a paired
    difference, for both saw the same exposures.

    Attributes:
        values: (1 + E + B,) under each row of ``resampling.weights``.
        resampling: The weights.
        seeds: For each arm that takes part, the values (S,) of its networks.
        difference: Whether this is the difference of two metrics.
        ends: Where a difference must lie: from -1 to 1 for metrics from 0 to 1. Those of a metric
            are read off its values.
        is_distance: Whether the metric is a distance from 0 that chance can only lengthen.
        excess: Of a difference: how much chance may have added to it, and taken from it.
        coarse: The value at half the resolution, where the metric has one; else None.
    """

    values: Array
    resampling: Resampling
    seeds: tuple[Array, ...] = ()
    difference: bool = False
    ends: tuple[float, float] = (-np.inf, np.inf)
    is_distance: bool = False
    excess: tuple[float, float] = (0.0, 0.0)
    coarse: float | None = None

    @property
    def value(self) -> float:
        """The metric of the exposures as they are."""
        return float(self.values[0])

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference."""
        if not np.array_equal(self.resampling.weights, other.resampling.weights):
            raise BayescrError(
                "estimates come from different resamplings: their difference is not paired, use "
                "one `Resampling` for both"
            )
        with np.errstate(invalid="ignore"):  # infinite NLL of both
            values = self.values - other.values
            largest = np.maximum(np.abs(self.values), np.abs(other.values))
            values = np.where(np.abs(values) <= _ROUNDING * largest, 0.0, values)
        coarse = None
        if self.coarse is not None and other.coarse is not None:
            coarse = self.coarse - other.coarse
        lows, highs = zip(self._range, other._range, strict=True)  # one metric: one range
        furthest = max(highs) - min(lows)
        return Estimate(
            values=values,
            resampling=self.resampling,
            seeds=self.seeds + other.seeds,
            difference=True,
            ends=(-furthest, furthest),
            excess=(self._excess[0] + other._excess[1], self._excess[1] + other._excess[0]),
            coarse=coarse,
        )

    @property
    def _excess(self) -> tuple[float, float]:
        """What chance may have added to the value, and taken from it; see the module's text."""
        if not self.is_distance:
            return self.excess
        replicates = self.values[self.resampling.num_exposures + 1 :]
        replicates = replicates[np.isfinite(replicates)]
        if not replicates.size:
            return 0.0, 0.0
        added = max(float(replicates.mean()) - self.value, 0.0)
        return added / (np.sqrt(2.0 - 1.0 / self.resampling.num_exposures) - 1.0), 0.0

    @property
    def _range(self) -> tuple[float, float]:
        if self.difference:
            return self.ends
        return span(np.concatenate([self.values, *self.seeds]))

    def interval(self, *, level: float = 0.95) -> tuple[float, float]:
        """The interval of the module's text, (low, high).

        (NaN, NaN) where the exposures cannot tell: there is but one; the value is not finite, or
        not defined without one of them or in most replicates; no exposure makes a difference (a
        recall of 1, say; the difference of a metric from itself gives (0, 0), though); or all
        that make one make the same, so that the value is the smallest or the largest that any
        weights give. It is then at a turning point of T, such as the ECE of the base rate, 0
        only under the weights that it was made from, and nothing here holds there. From 2 to 4
        exposures the jackknife alone gives an interval, as wide as t_1 to t_3 make it.

        Args:
            level: The probability with which it is to hold the value of infinitely many exposures.
        """
        if not 0.0 < level < 1.0:
            raise BayescrError(f"level is {level}: expected a probability such as 0.95")
        size = self.resampling.num_exposures
        nothing = float("nan"), float("nan")
        if size < 2 or len(self.values) <= size + 1:
            return nothing
        known, replicates = self.values[: size + 1], self.values[size + 1 :]
        drawn = np.isfinite(replicates)
        if not np.isfinite(known).all() or 2 * np.count_nonzero(drawn) < drawn.size:
            return nothing
        finite = self.values[np.isfinite(self.values)]
        rounding = _ROUNDING * float(np.abs(finite).max())
        constant = float(np.ptp(finite)) <= rounding
        nearest = min(self.value - finite.min(), finite.max() - self.value)
        far = self.is_distance and self.value > _NOWHERE * finite.max()
        if not constant and nearest <= rounding and not far:
            return nothing
        is_linear = self.difference or self.is_distance
        ends = (-np.inf, np.inf) if is_linear else self._range
        scale = Scale.of(self.value, ends, num_exposures=size)
        one = Studentized.of(scale.forward(self.value), scale.forward(known[1:]))
        variance = one.variance if float(np.ptp(known)) > rounding else 0.0
        differing = [values for values in self.seeds if np.ptp(values) > rounding]
        of_seeds = variance_of_means([scale.forward(values) for values in differing])
        if variance == of_seeds[0] == 0.0:
            return (0.0, 0.0) if self.difference and constant and self.value == 0.0 else nothing
        tail = (1.0 - level) / 2.0
        if len(differing) > 1:
            total, freedom, beside = variance, size - 1.0, reach(tail, *of_seeds)
        else:
            total, freedom = welch([(variance, size - 1.0), of_seeds])
            beside = 0.0
        below = above = reach(tail, total, freedom)
        if size >= _FEWEST_FOR_BOOTSTRAP_T and variance > 0.0:
            weights = self.resampling.weights[size + 1 :][drawn]  # (B, E)
            ratios = one.ratio_quantiles(tail, scale.forward(replicates[drawn]), weights)
            least, most = np.sqrt(total) * np.array(ratios)
            furthest = _LARGEST_REACH * below
            below, above = max(below, min(most, furthest)), max(above, min(-least, furthest))
        low = float(scale.backward(one.value - np.hypot(below, beside)))
        high = float(scale.backward(one.value + np.hypot(above, beside)))
        added, taken = self._excess
        blurred = 0.0 if self.coarse is None else _BLUR * abs(self.coarse - self.value)
        low, high = low - added - blurred, high + taken + blurred
        return max(low, self._range[0]), min(high, self._range[1])

    def verdict(self, better: Literal["lower", "higher"] | None, *, level: float = 0.95) -> Verdict:
        """Of a difference: whether its interval lies on the good side of 0, or the bad, or neither.

        Args:
            better: Which direction of the metric is better; None gives "".
            level: As in `interval`. Where there is no interval, the verdict is "".
        """
        low, high = self.interval(level=level)
        if better is None or np.isnan(low):
            return ""
        if low <= 0.0 <= high:
            return "not distinguishable"
        return "better" if (high < 0.0) == (better == "lower") else "worse"


def mean_of_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """The estimate of an arm that was trained from several seeds: the mean of its networks.

    Args:
        estimates: One of each seed, from one resampling.
    """
    first = estimates[0]
    if len(estimates) == 1:
        return first
    return Estimate(
        values=np.mean([estimate.values for estimate in estimates], axis=0),
        resampling=first.resampling,
        seeds=(np.array([estimate.value for estimate in estimates]),),
        difference=first.difference,
        ends=first.ends,
        is_distance=first.is_distance,
        excess=(
            float(np.mean([estimate.excess[0] for estimate in estimates])),
            float(np.mean([estimate.excess[1] for estimate in estimates])),
        ),
        coarse=_mean([estimate.coarse for estimate in estimates]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
