"""How often intervals of metrics hold the truth, on simulated exposures whose truth is known.

A network sees a few very unlike exposures; another that makes fewer mistakes sees them too, and so
does a third that is as good as the first. Counted is how often intervals of 95%, of eight metrics
and of their paired differences, hold what infinitely many exposures give: by the method of
`bayescr.evaluation.bootstrap`, by its halves alone and by the usual alternatives.

Then arms of several networks, trained from different seeds, whose mistakes scatter: there the
interval has to hold the mean over infinitely many seeds. Lengths are in units of what would do if
the standard deviation were known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from bayescr.evaluation._studentized import Scale, Studentized, reach, span, welch
from bayescr.evaluation.bootstrap import Estimate, Resampling, mean_of_seeds
from benchmarks.common import Settings
from benchmarks.skies import METRICS, Skies, metrics_of, observe, truth
from benchmarks.timing import show

TAIL = 0.025
OWN = 0.3  # standard deviation of what a network meets in an exposure by itself
BETTER = -0.2  # the second network makes 18% fewer mistakes
SCATTERS = {"small": (0.1, 0.1), "alike": (0.3, 0.3), "1 : 5": (0.1, 0.5), "5 : 1": (0.5, 0.1)}
OF_ARMS = 20  # exposures

Quantities = Mapping[str, list[Estimate]]
Method = Callable[[Estimate], tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Something to be estimated again and again.

    Attributes:
        size: Exposures of a set.
        truth: Quantity -> (8,) what is to be found.
        draw: A new set of exposures: quantity -> the estimates of the 8 metrics.
    """

    size: int
    truth: Mapping[str, np.ndarray]
    draw: Callable[[np.random.Generator, Resampling], Quantities]

    def measure(
        self, methods: Mapping[str, Method], *, repetitions: int, num_bootstrap: int
    ) -> dict[str, dict[str, np.ndarray]]:
        """(R, 8, 3) value and both ends of the interval, by quantity and method, of R sets."""
        generator = np.random.default_rng(self.size)
        found = {
            quantity: {name: np.empty((repetitions, len(METRICS), 3)) for name in methods}
            for quantity in self.truth
        }
        for number in range(repetitions):
            resampling = Resampling.of(self.size, num_bootstrap=num_bootstrap, seed=number)
            for quantity, estimates in self.draw(generator, resampling).items():
                for name, method in methods.items():
                    found[quantity][name][number] = [(e.value, *method(e)) for e in estimates]
        return found

    def summary(self, methods: Mapping[str, Method], **options: int) -> list[dict[str, Any]]:
        """A row for each quantity and method: coverage of the eight metrics, and lengths."""
        rows = []
        for quantity, by_method in self.measure(methods, **options).items():
            for name, found in by_method.items():
                held = 100.0 * coverage(found, self.truth[quantity])
                ideal = 2.0 * norm.isf(TAIL) * found[..., 0].std(axis=0)
                length = (found[..., 2] - found[..., 1]) / ideal
                rows.append(
                    {
                        "of": quantity, "interval": name, "worst": held.min(),
                        "mean": held.mean(), "best": held.max(),
                        "length, median": float(np.nanmedian(length)),
                        "length, 95%": float(np.nanquantile(length, 0.95)),
                        "none": float(100.0 * np.isnan(length).mean()),
                    }
                )  # fmt: skip
        return rows


def coverage(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(8,) fraction of the intervals that hold the truth, of those that there are."""
    low, high = found[..., 1], found[..., 2]
    held = np.where(np.isnan(low), np.nan, (low <= true) & (true <= high))
    return np.nanmean(held, axis=0)


def networks(size: int) -> Comparison:
    """A network, and its differences to one that makes fewer mistakes and to one like it."""
    true, better = truth(own=OWN), truth(fault=BETTER, own=OWN)

    def draw(generator: np.random.Generator, resampling: Resampling) -> Quantities:
        skies = Skies.draw(generator, size)
        seen = [skies.seen_by(generator, fault=f, own=OWN) for f in (0.0, BETTER, 0.0)]
        a, b, c = estimates(resampling, observe(generator, seen))
        return {"value": a, "difference": _paired(a, b), "no difference": _paired(a, c)}

    of = {"value": true, "difference": true - better, "no difference": np.zeros(len(METRICS))}
    return Comparison(size=size, truth=of, draw=draw)


def arms(size: int, seeds: int, scatter: tuple[float, float]) -> Comparison:
    """An arm of several networks, and its difference to another arm that makes fewer mistakes."""
    faults = (0.0, BETTER)
    true, better = (
        truth(fault=fault, own=OWN, scatter=one) for fault, one in zip(faults, scatter, strict=True)
    )

    def draw(generator: np.random.Generator, resampling: Resampling) -> Quantities:
        skies = Skies.draw(generator, size)
        trained = np.repeat(faults, seeds) + np.repeat(scatter, seeds) * generator.standard_normal(
            2 * seeds
        )
        seen = [skies.seen_by(generator, fault=fault, own=OWN) for fault in trained]
        every = estimates(resampling, observe(generator, seen))
        a, b = (
            [mean_of_seeds(members) for members in zip(*part, strict=True)]
            for part in (every[:seeds], every[seeds:])
        )
        return {"value": a, "difference": _paired(a, b)}

    return Comparison(size=size, truth={"value": true, "difference": true - better}, draw=draw)


def estimates(resampling: Resampling, counts: np.ndarray) -> list[list[Estimate]]:
    """The 8 metrics of each network, from (N, E, 2 K + 2) counts."""
    weights = resampling.weights.astype(np.float64)
    values = [metrics_of(weights @ of_network) for of_network in counts]
    return [
        [
            resampling.estimate(column, is_distance=name == "ECE")
            for name, column in zip(METRICS, of_network.T, strict=True)
        ]
        for of_network in values
    ]


def _paired(a: list[Estimate], b: list[Estimate]) -> list[Estimate]:
    return [one - other for one, other in zip(a, b, strict=True)]


def percentiles(estimate: Estimate) -> tuple[float, float]:
    """Quantiles of the replicates."""
    return _quantiles(estimate, TAIL, 1.0 - TAIL)


def expanded_percentiles(estimate: Estimate) -> tuple[float, float]:
    """The same at levels that give Student's interval for a mean (Hesterberg 2014)."""
    tail = _expanded(estimate)
    return _quantiles(estimate, tail, 1.0 - tail)


def bca(estimate: Estimate) -> tuple[float, float]:
    """Bias-corrected and accelerated (Efron 1987), at those levels too."""
    replicates = _replicates(estimate)
    influence = _studentized(estimate)[1].influence
    if not influence.any():
        return estimate.value, estimate.value
    below = np.count_nonzero(replicates < estimate.value) + 0.5
    bias = norm.ppf(below / (replicates.size + 1.0))
    acceleration = np.sum(influence**3) / (6.0 * np.sum(influence**2) ** 1.5)
    z = bias + norm.ppf(_expanded(estimate)) * np.array([1.0, -1.0])
    return _quantiles(estimate, *norm.cdf(bias + z / (1.0 - acceleration * z)))


def jackknife_t(estimate: Estimate) -> tuple[float, float]:
    """The first half of the method."""
    scale, one = _studentized(estimate)
    return _students(scale, one, _size(estimate) - 1.0, one.variance)


def jackknife_t_unscaled(estimate: Estimate) -> tuple[float, float]:
    """The same of T itself."""
    scale, one = _studentized(estimate, ends=(-np.inf, np.inf))
    return _students(scale, one, _size(estimate) - 1.0, one.variance)


def welch_t(estimate: Estimate) -> tuple[float, float]:
    """Jackknife-t of all variances together, with the freedom of Welch and Satterthwaite."""
    scale, one = _studentized(estimate)
    parts = [(one.variance, _size(estimate) - 1.0)]
    for values in map(scale.forward, estimate.seeds):
        parts.append((float(np.var(values, ddof=1)) / values.size, values.size - 1.0))
    variance, freedom = welch(parts)
    return _students(scale, one, freedom, variance)


def bootstrap_t(estimate: Estimate) -> tuple[float, float]:
    """The second half of the method, without its bound."""
    scale, one = _studentized(estimate)
    if one.variance == 0.0:
        return estimate.value, estimate.value
    weights = estimate.resampling.weights[_size(estimate) + 1 :]
    below, above = one.ratio_quantiles(TAIL, scale.forward(_replicates(estimate)), weights)
    error = np.sqrt(one.variance)
    low, high = (scale.backward(one.value - ratio * error) for ratio in (above, below))
    return float(low), float(high)


def both(estimate: Estimate) -> tuple[float, float]:
    """The method."""
    return estimate.interval(level=1.0 - 2.0 * TAIL)


METHODS = {
    "percentiles": percentiles,
    "expanded percentiles": expanded_percentiles,
    "BCa, expanded": bca,
    "jackknife-t, g(T) = T": jackknife_t_unscaled,
    "1: jackknife-t": jackknife_t,
    "2: bootstrap-t": bootstrap_t,
    "1 and 2": both,
}
METHODS_OF_ARMS = {"Welch": welch_t, "as here": both}


def _size(estimate: Estimate) -> int:
    return estimate.resampling.num_exposures


def _replicates(estimate: Estimate) -> np.ndarray:
    return estimate.values[_size(estimate) + 1 :]


def _quantiles(estimate: Estimate, low: float, high: float) -> tuple[float, float]:
    low, high = np.quantile(_replicates(estimate), [low, high])
    return float(low), float(high)


def _expanded(estimate: Estimate) -> float:
    size = _size(estimate)
    return float(norm.cdf(-student.isf(TAIL, size - 1) * np.sqrt(size / (size - 1.0))))


def _studentized(
    estimate: Estimate, *, ends: tuple[float, float] | None = None
) -> tuple[Scale, Studentized]:
    if ends is None:
        ends = (-np.inf, np.inf) if estimate.difference else span(estimate.values)
    scale = Scale.of(estimate.value, ends, num_exposures=_size(estimate))
    left_out = scale.forward(estimate.values[1 : _size(estimate) + 1])
    return scale, Studentized.of(scale.forward(estimate.value), left_out)


def _students(
    scale: Scale, one: Studentized, freedom: float, variance: float
) -> tuple[float, float]:
    beyond = reach(TAIL, variance, freedom)
    low, high = (scale.backward(one.value + side * beyond) for side in (-1.0, 1.0))
    return float(low), float(high)


def run(settings: Settings) -> dict[str, Any]:
    sizes, seeds = ((5, 10), (2,)) if settings.quick else ((3, 5, 10, 20, 50), (2, 3, 5))
    many, fewer = (10, 10) if settings.quick else (400 * settings.rounds, 160 * settings.rounds)
    replicates = 60 if settings.quick else 500
    one = [
        {"exposures": size, **row}
        for size in sizes
        for row in networks(size).summary(METHODS, repetitions=many, num_bootstrap=replicates)
    ]
    print(f"percent of {many} sets of exposures, +- {_error(many):.1f}; {replicates} replicates\n")
    show(one)
    several = [
        {"seeds": number, "scatters": name, **row}
        for number in seeds
        for name, scatter in SCATTERS.items()
        for row in arms(OF_ARMS, number, scatter).summary(
            METHODS_OF_ARMS, repetitions=fewer, num_bootstrap=replicates
        )
    ]
    print(f"arms of several networks, {OF_ARMS} exposures, {fewer} sets, +- {_error(fewer):.1f}\n")
    show(several)
    return {"sets": many, "sets_of_arms": fewer, "networks": one, "arms": several}


def _error(repetitions: int) -> float:
    """Standard error [%] of a coverage of 95%."""
    return float(100.0 * np.sqrt(0.95 * 0.05 / repetitions))
