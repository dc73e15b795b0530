"""Simulated comparisons whose truth is known: counts by logit of unlike exposures and networks.

No pixels: of each exposure the numbers of negatives and positives at each logit that occurs, and
of cosmic rays hit and found, which is all that eight metrics need.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

SCORE = np.arange(-12.0, 12.25, 0.25)  # the logits that occur
METRICS = ("NLL", "Brier", "Brier skill", "TPR", "AUPRC", "AURC", "ECE", "hit recall")
_EDGES = np.concatenate([[-np.inf], (SCORE[1:] + SCORE[:-1]) / 2.0, [np.inf]])
_P = expit(SCORE)
_BINS = np.eye(15)[np.minimum((15 * _P).astype(int), 14)]
_BY_CONFIDENCE = np.argsort(-np.abs(SCORE), kind="stable")


@dataclass(frozen=True, kw_only=True)
class Skies:
    """Unlike exposures: what a pixel, and a network that looks at it, meets in each of them.

    Numbers of pixels, rates of hits, hard negatives and misses vary with a standard deviation of
    0.5 to 0.8 in the logarithm, the mean logits of both kinds of pixel by 0.5.

    Attributes:
        area: (E, 1) expected pixels.
        rate: (E, 1) of positives.
        hard: (E, 1) logarithm of the rate of negatives that look like hits.
        missed: (E, 1) logit of the rate of hits that look like sky.
        centre: (2, E, 1) mean logit of the others, negatives and positives.
    """

    area: np.ndarray
    rate: np.ndarray
    hard: np.ndarray
    missed: np.ndarray
    centre: np.ndarray

    @classmethod
    def draw(cls, generator: np.random.Generator, size: int) -> Skies:
        normal = generator.standard_normal
        return cls(
            area=40_000.0 * np.exp(0.5 * normal((size, 1))),
            rate=0.01 * np.exp(0.7 * normal((size, 1))),
            hard=np.log(0.004) + 0.8 * normal((size, 1)),
            missed=-2.5 + 0.8 * normal((size, 1)),
            centre=np.array([-8.0, 4.0])[:, None, None] + 0.5 * normal((2, size, 1)),
        )

    def seen_by(self, generator: np.random.Generator, *, fault: float, own: float) -> Skies:
        """The same exposures for another network.

        Args:
            generator: Of what the network meets in each exposure by itself.
            fault: Of the network, added to ``hard`` and ``missed``.
            own: Standard deviation over exposures of what is added to each of them besides.
        """
        more, other = own * generator.standard_normal((2, *self.hard.shape))
        return Skies(
            area=self.area, rate=self.rate, centre=self.centre,
            hard=self.hard + fault + more, missed=self.missed + fault + other,
        )  # fmt: skip

    def expected(self) -> np.ndarray:
        """(E, 2 K + 2) expected counts: negatives and positives by logit, hits, hits found."""
        hard, missed = np.minimum(np.exp(self.hard), 1.0), expit(self.missed)
        sky, hit = self.centre
        negative = (1.0 - hard) * _shares(sky, 1.5) + hard * _shares(-2.0, 2.0)
        positive = (1.0 - missed) * _shares(hit, 2.0) + missed * _shares(-2.0, 2.0)
        counts = self.area * (1.0 - self.rate) * negative, self.area * self.rate * positive
        hits = self.area * self.rate / 8.0
        return np.concatenate([*counts, hits, hits * (1.0 - missed)], axis=1)


def observe(generator: np.random.Generator, seen: list[Skies]) -> np.ndarray:
    """(N, E, 2 K + 2) counts of N networks: the pixels and hits are the same for all of them."""
    size, area, rate = SCORE.size, seen[0].area[:, 0], seen[0].rate[:, 0]
    negatives = generator.poisson(area * (1.0 - rate))
    positives = generator.poisson(area * rate)
    hits = generator.poisson(area * rate / 8.0)
    found = []
    for skies in seen:
        expected = skies.expected()
        counts = [
            generator.multinomial(number, part / part.sum(axis=1, keepdims=True))
            for number, part in (
                (negatives, expected[:, :size]), (positives, expected[:, size : 2 * size]),
            )
        ]  # fmt: skip
        caught = generator.binomial(hits, expected[:, -1] / expected[:, -2])
        found.append(np.concatenate([*counts, hits[:, None], caught[:, None]], axis=1))
    return np.array(found, dtype=np.float64)


def truth(*, fault: float = 0.0, own: float = 0.0, scatter: float = 0.0) -> np.ndarray:
    """(8,) metrics of infinitely many exposures, the mean over networks.

    Args:
        fault: Mean over networks.
        own: As in `Skies.seen_by`.
        scatter: Standard deviation of the fault over networks; Gauss-Hermite quadrature.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(9 if scatter else 1)
    totals = np.zeros((nodes.size, 2 * SCORE.size + 2))
    for seed in range(20):
        generator = np.random.default_rng(seed)
        skies = Skies.draw(generator, 5000)
        for total, node in zip(totals, nodes, strict=True):
            seen = skies.seen_by(generator, fault=fault + scatter * node, own=own)
            total += seen.expected().sum(axis=0)
    return weights @ metrics_of(totals) / weights.sum()


def metrics_of(totals: np.ndarray) -> np.ndarray:
    """(R, 8) metrics of (R, 2 K + 2) sums; of ties at a score the curves take the middle."""
    size = SCORE.size
    negative, positive, hits = totals[:, :size], totals[:, size : 2 * size], totals[:, -2:]
    pixels = totals[:, : 2 * size].sum(axis=1)
    nll = negative @ np.logaddexp(0.0, SCORE) + positive @ np.logaddexp(0.0, -SCORE)
    brier = (negative @ _P**2 + positive @ (1.0 - _P) ** 2) / pixels
    rate = positive.sum(axis=1) / pixels
    false, true = (np.cumsum(c[:, ::-1], axis=1) for c in (negative, positive))
    fpr, tpr = false / false[:, -1:], true / true[:, -1:]
    at = np.array([np.interp(1e-3, x, y) for x, y in zip(fpr, tpr, strict=True)])
    precision = true / np.maximum(true + false, 1)
    every = (negative + positive)[:, _BY_CONFIDENCE]
    wrong = np.where(SCORE > 0, negative, positive)[:, _BY_CONFIDENCE]
    middle = np.cumsum(every, axis=1) - every / 2
    risk = (np.cumsum(wrong, axis=1) - wrong / 2) / np.maximum(middle, 1)
    gaps = np.abs((negative * _P - positive * (1.0 - _P)) @ _BINS).sum(axis=1)
    with np.errstate(invalid="ignore"):  # no hit in any of few exposures
        recall = hits[:, 1] / hits[:, 0]
    columns = (
        nll / pixels, brier, 1.0 - brier / (rate * (1.0 - rate)), at,
        np.sum(np.diff(tpr, axis=1, prepend=0.0) * precision, axis=1),
        np.sum(every * risk, axis=1) / pixels, gaps / pixels, recall,
    )  # fmt: skip
    return np.stack(columns, axis=1)


def _shares(mean: np.ndarray | float, spread: float) -> np.ndarray:
    """(E, K) probabilities of the logits that occur."""
    return np.diff(ndtr((_EDGES - mean) / spread), axis=-1)
