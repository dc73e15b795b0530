"""Schedules over a fit: functions of the fraction of steps done, from 0 to 1.

A `KLSchedule` says how much the KL counts; a learning-rate schedule scales the rate. Any
function of one number will do; those below are built by a call: ``linear(warmup=0.3)``.

    weight
    1 |      ________       linear: ramp, then full weight
      |    /
    0 |__/___________  fraction

A fit that ends at a weight below 1 has found the tempered posterior, p(w) p(D|w)^(1/T) with T
the final weight, and reports T.

References:
    Bowman et al., "Generating Sentences from a Continuous Space", arXiv:1511.06349 (warm-up).
    Fu et al., "Cyclical Annealing Schedule", arXiv:1903.10145.
    Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization",
    arXiv:1803.05407 (a rate that is held while iterates are collected).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from bayescr._checks import check_count, check_positive, is_number
from bayescr.errors import BayescrError

__all__ = [
    "FAMILY",
    "KLSchedule",
    "constant",
    "cosine",
    "cyclical",
    "linear",
    "sigmoid",
    "swa",
    "warmup_cosine",
]

KLSchedule = Callable[[float], float]


def constant(weight: float = 1.0) -> KLSchedule:
    """The same weight at every step."""
    _check(final=weight)
    return lambda fraction: weight


def linear(*, warmup: float = 0.3, final: float = 1.0) -> KLSchedule:
    """From 0 to ``final`` along a line over the first ``warmup`` of the steps."""
    return _ramp(lambda x: x, warmup, final)


def cosine(*, warmup: float = 0.3, final: float = 1.0) -> KLSchedule:
    """From 0 to ``final`` along half a cosine: gentle at both ends."""
    return _ramp(lambda x: 0.5 - 0.5 * math.cos(math.pi * x), warmup, final)


def sigmoid(*, warmup: float = 0.3, final: float = 1.0, steepness: float = 10.0) -> KLSchedule:
    """From 0 to ``final`` along a logistic curve, rescaled to start at 0 and end at ``final``."""
    check_positive("sigmoid", steepness=steepness)
    half = math.tanh(steepness / 4.0)  # 1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2
    return _ramp(lambda x: 0.5 + 0.5 * math.tanh(steepness * (x - 0.5) / 2.0) / half, warmup, final)


def cyclical(*, cycles: int = 4, warmup: float = 0.5, final: float = 1.0) -> KLSchedule:
    """``cycles`` linear ramps one after the other, each with its own ``warmup``."""
    check_count("cyclical", cycles=cycles)
    ramp = linear(warmup=warmup, final=final)
    return lambda fraction: ramp(1.0 if fraction >= 1.0 else (fraction * cycles) % 1.0)


def warmup_cosine(*, warmup: float = 0.05, final: float = 0.01) -> Callable[[float], float]:
    """A learning-rate multiplier: a short linear rise to 1, then half a cosine to ``final``."""
    _check(warmup=warmup, final=final)

    def multiplier(fraction: float) -> float:
        if fraction < warmup:
            return (fraction + 1e-3) / (warmup + 1e-3)
        x = (fraction - warmup) / (1.0 - warmup) if warmup < 1.0 else 1.0
        return final + (1.0 - final) * (0.5 + 0.5 * math.cos(math.pi * x))

    return multiplier


def swa(
    *, start: float = 0.6, final: float = 0.1, warmup: float = 0.05
) -> Callable[[float], float]:
    """A learning-rate multiplier for collecting iterates: `warmup_cosine`, then a held rate.

    Args:
        start: Fraction of the steps from which the multiplier is held at ``final``.
        final: The multiplier that is held.
        warmup: Fraction of the steps, at most ``start``, over which it first rises to 1.
    """
    _check(final=final)
    if not (is_number(start) and 0.0 < start <= 1.0):
        raise BayescrError(f"start is {start!r}: expected a fraction of the steps, above 0 up to 1")
    if not (is_number(warmup) and 0.0 <= warmup <= start):
        raise BayescrError(f"warmup is {warmup!r}: expected a fraction from 0 to start={start}")
    decay = warmup_cosine(warmup=warmup / start, final=final)
    return lambda fraction: decay(min(fraction / start, 1.0))


FAMILY: dict[str, Callable[..., KLSchedule]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "sigmoid": sigmoid,
    "cyclical": cyclical,
}


def _ramp(shape: Callable[[float], float], warmup: float, final: float) -> KLSchedule:
    _check(warmup=warmup, final=final)
    return lambda fraction: final * (shape(fraction / warmup) if fraction < warmup else 1.0)


def _check(*, final: float, warmup: float = 0.0) -> None:
    if not (is_number(warmup) and 0.0 <= warmup <= 1.0):
        raise BayescrError(f"warmup is {warmup!r}: expected a fraction of the steps from 0 to 1")
    if not (is_number(final) and final >= 0.0):
        raise BayescrError(f"final weight is {final!r}: expected a number from 0 up")
