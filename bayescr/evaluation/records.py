"""What one pass over a dataset leaves behind: the truth, and what each posterior said about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayescr.evaluation._arrays import Array
from bayescr.evaluation.detection import RocCurve, roc_curve
from bayescr.evaluation.selective import RiskCoverageCurve, risk_coverage

__all__ = ["Observed", "Pixels", "Scored", "fraction"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pixels:
    """The valid pixels a row of the table is computed from; of several classes, all of them.

    Attributes:
        logit: (N,) logit of the posterior mean probability.
        target: (N,) bool.
        mutual_information: (N,) [nat].
        num_exposures: From how many exposures they come.
    """

    logit: Array
    target: Array
    mutual_information: Array
    num_exposures: int

    @cached_property
    def roc(self) -> RocCurve:
        """Sorted once for all metrics of detection."""
        return roc_curve(self.logit, self.target)

    @cached_property
    def risk_coverage(self) -> RiskCoverageCurve:
        """Sorted once for all metrics of selective prediction."""
        return risk_coverage(self.logit, self.target)


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """The truth, the same for all posteriors.

    Attributes:
        exposures: (E,) distinct exposures, in order of their first item.
        fields: Exposure -> field; empty where the dataset names none.
        items: Exposure of each item of the dataset.
        target: Labels of each item's valid pixels, bool.
        sha256: Of the images, labels and masks, in order.
    """

    exposures: tuple[str, ...]
    fields: Mapping[str, str]
    items: tuple[str, ...]
    target: tuple[Array, ...]
    sha256: str

    @property
    def num_pixels(self) -> Array:
        """Valid pixels of each exposure, (E,)."""
        return self._per_exposure([labels.size for labels in self.target])

    @property
    def positive_fraction(self) -> Array:
        """Fraction of valid pixels that are positive, (E,); NaN in an exposure without any."""
        positives = self._per_exposure([int(labels.sum()) for labels in self.target])
        return fraction(positives, self.num_pixels)

    def _per_exposure(self, item_counts: Sequence[int]) -> Array:
        index = {exposure: e for e, exposure in enumerate(self.exposures)}
        totals = np.zeros(len(self.exposures), dtype=np.int64)
        np.add.at(totals, [index[item] for item in self.items], item_counts)
        return totals


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What one posterior said about the dataset.

    Attributes:
        guide: The name of the guide.
        temperature: Effective temperature: the final weight of the KL.
        provenance: Where the posterior comes from, JSON-able.
        logit: Logit of the mean probability of each item's valid pixels, float32.
        mutual_information: The same for the mutual information [nat].
        log_likelihood: (S, E) [nat], per draw and exposure.
        positive_fraction: (S, E) of labels replicated from each draw.
        draws: Draws of the chosen sites, each (S, *shape).
    """

    guide: str
    temperature: float
    provenance: Mapping[str, Any]
    logit: tuple[Array, ...]
    mutual_information: tuple[Array, ...]
    log_likelihood: Array
    positive_fraction: Array
    draws: Mapping[str, Array]

    def pixels(self, observed: Observed, *, field: str | None = None) -> Pixels:
        """The pixels of one field, or of all exposures."""
        chosen = [
            i
            for i, exposure in enumerate(observed.items)
            if field is None or observed.fields.get(exposure) == field
        ]
        return Pixels(
            logit=np.concatenate([self.logit[i] for i in chosen]),
            target=np.concatenate([observed.target[i] for i in chosen]),
            mutual_information=np.concatenate([self.mutual_information[i] for i in chosen]),
            num_exposures=len({observed.items[i] for i in chosen}),
        )


def fraction(part: Array, whole: Array) -> Array:
    """Part / whole, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
