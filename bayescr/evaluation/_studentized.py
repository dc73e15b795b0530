"""Studentized intervals of a function of weighted exposures, in the notation of `bootstrap`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import t as student

__all__ = ["Array", "Scale", "Studentized", "reach", "span", "variance_of_means", "welch"]

Array = np.ndarray[Any, Any]

_LARGEST_LOG = 700.0  # exp(710) overflows
_SMALLEST_ERROR = 1e-6  # of s: a resample of one exposure alone has none


def span(values: Array) -> tuple[float, float]:
    """The range of a metric, read off its finite values: 0 to 1, or open at one end or both."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return -np.inf, np.inf
    return (0.0 if finite.min() >= 0.0 else -np.inf), (1.0 if finite.max() <= 1.0 else np.inf)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The function g from the range of a metric to the real line, and its inverse.

    What reaches an end (no miss in the one replicate that leaves out the bad exposure) counts as
    1/E of the value's own distance to that end, as if that exposure had been one like the others.

    Attributes:
        ends: Of the range: 0 or minus infinity, 1 or infinity.
        nearest: To each end: how close to it anything is taken to be.
    """

    ends: tuple[float, float]
    nearest: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, value: float, ends: tuple[float, float], *, num_exposures: int) -> Scale:
        """The scale for a value; an end that the value itself has reached is none."""
        low = 0.0 if ends[0] == 0.0 and value > 0.0 else -np.inf
        high = 1.0 if ends[1] == 1.0 and value < 1.0 else np.inf
        nearest = (value - low) / num_exposures, (high - value) / num_exposures
        return cls(ends=(low, high), nearest=nearest)

    def forward(self, x: Any) -> Any:
        """``log x``, ``-log(1 - x)``, their sum or ``x`` itself."""
        if self.ends == (-np.inf, np.inf):
            return x
        up = np.log(np.maximum(x, self.nearest[0])) if self.ends[0] == 0.0 else 0.0
        down = np.log(np.maximum(1.0 - x, self.nearest[1])) if self.ends[1] == 1.0 else 0.0
        return up - down

    def backward(self, g: Any) -> Any:
        """The inverse of `forward`."""
        if self.ends == (0.0, 1.0):
            return expit(g)
        if self.ends[0] == 0.0:
            return np.exp(np.minimum(g, _LARGEST_LOG))
        if self.ends[1] == 1.0:
            return 1.0 - np.exp(np.minimum(-g, _LARGEST_LOG))
        return g


@dataclass(frozen=True, kw_only=True, eq=False)
class Studentized:
    """A value on the scale, and what leaving exposures out says of its error.

    Attributes:
        value: g(T).
        influence: (E,) l_e.
    """

    value: float
    influence: Array

    @classmethod
    def of(cls, value: float, left_out: Array) -> Studentized:
        """From g(T) and the (E,) values g(T_(e)) without each exposure."""
        return cls(value=value, influence=(left_out.size - 1.0) * (left_out.mean() - left_out))

    @property
    def variance(self) -> float:
        """s^2, of `value`."""
        size = self.influence.size
        return float(np.sum(self.influence**2)) / (size * (size - 1.0))

    def ratio_quantiles(
        self, tail: float, replicates: Array, weights: Array
    ) -> tuple[float, float]:
        """Both quantiles of (g(T(w)) - g(T)) / s_w over replicates, those of bootstrap-t.

        Args:
            tail: Probability beyond either quantile.
            replicates: (B,) g(T(w)).
            weights: (B, E) w.
        """
        size = self.influence.size
        mean = np.einsum("be,e->b", weights, self.influence) / size
        spread = np.einsum("be,e->b", weights, self.influence**2) / size - mean**2
        least = _SMALLEST_ERROR**2 * self.variance
        ratio = (replicates - self.value) / np.sqrt(np.maximum(spread, least) / (size - 1.0))
        below, above = np.quantile(ratio, [tail, 1.0 - tail])
        return float(below), float(above)


def reach(tail: float, variance: float, freedom: float) -> float:
    """How far Student's interval of such a variance reaches to either side."""
    return float(student.isf(tail, freedom) * np.sqrt(variance))


def welch(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Variance of a sum of independent parts, and its degrees of freedom by Welch, Satterthwaite.

    Args:
        parts: Variance v and degrees of freedom f of each; (sum v)^2 / sum(v^2 / f) of them all.
    """
    total = sum(variance for variance, _ in parts)
    if total == 0.0:
        return parts[0]
    return total, total**2 / sum(variance**2 / freedom for variance, freedom in parts)


def variance_of_means(groups: Sequence[Array]) -> tuple[float, float]:
    """Variance of a sum of means of independent groups, and its degrees of freedom.

        u = sum_i v_i / n_i,      v_i the variance of the n_i numbers of group i.

    On average u is right whatever the groups' true variances are. The degrees are those of
    Satterthwaite's formula where all these are equal, n_1 + n_2 - 2 for two groups of one size.
    With the v_i as found in its place it says little more than 1 for two pairs of networks, as
    soon as one pair happens to agree.

    Returns:
        (0, 1) where no group has two numbers.
    """
    groups = [group for group in groups if group.size > 1]
    if not groups:
        return 0.0, 1.0
    variance = sum(float(np.var(group, ddof=1)) / group.size for group in groups)
    shares = np.array([1.0 / group.size for group in groups])
    degrees = np.array([group.size - 1.0 for group in groups])
    return variance, float(shares.sum() ** 2 / np.sum(shares**2 / degrees))
