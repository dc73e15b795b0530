"""Metrics: pure functions of (logit, target, valid), and the family that a report is made of.

Each function is defined by brute force in its tests, ties and corners included. :data:`METRICS` are
the columns of a report's table, in order; a metric of your own is one more :class:`Metric`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics.calibration import (
    CalibrationBins,
    ReliabilityCurve,
    ece,
    mce,
    reliability_curve,
)
from bayescr.evaluation.metrics.cox import CalibrationLine, calibration_line
from bayescr.evaluation.metrics.detection import (
    Overlap,
    RocCurve,
    auprc,
    auroc,
    dice,
    iou,
    precision_at_recall,
    roc_curve,
    tpr_at_fpr,
)
from bayescr.evaluation.metrics.family import (
    ERRORS_BY_INFORMATION,
    ERRORS_BY_STD,
    HITS,
    LOGITS,
    SUMS,
    Metric,
    Statistic,
    Sums,
)
from bayescr.evaluation.metrics.hits import HitTable, hit_table
from bayescr.evaluation.metrics.scores import (
    MurphyDecomposition,
    base_rate,
    brier,
    brier_skill,
    murphy,
    nll,
)
from bayescr.evaluation.metrics.selective import (
    Abstention,
    RiskCoverageCurve,
    abstention,
    augrc,
    aurc,
    coverage_at_risk,
    e_aurc,
    risk_coverage,
)
from bayescr.evaluation.metrics.uncertainty import (
    ErrorCurve,
    ErrorDetection,
    error_curve,
    error_detection,
    mean_entropy,
    mean_mutual_information,
    ood_auroc,
)

__all__ = [
    "ERRORS_BY_INFORMATION",
    "ERRORS_BY_STD",
    "HITS",
    "LOGITS",
    "METRICS",
    "SUMS",
    "Abstention",
    "CalibrationBins",
    "CalibrationLine",
    "ErrorCurve",
    "ErrorDetection",
    "HitTable",
    "Metric",
    "MurphyDecomposition",
    "Overlap",
    "ReliabilityCurve",
    "RiskCoverageCurve",
    "RocCurve",
    "Statistic",
    "Sums",
    "abstention",
    "augrc",
    "auprc",
    "auroc",
    "aurc",
    "base_rate",
    "brier",
    "brier_skill",
    "calibration_line",
    "coverage_at_risk",
    "dice",
    "e_aurc",
    "ece",
    "error_curve",
    "error_detection",
    "hit_table",
    "iou",
    "mce",
    "mean_entropy",
    "mean_mutual_information",
    "murphy",
    "nll",
    "ood_auroc",
    "precision_at_recall",
    "reliability_curve",
    "risk_coverage",
    "roc_curve",
    "tpr_at_fpr",
]


def _read(curve: Callable[[Counts], Any], name: str) -> Callable[[Counts], float]:
    """A number off a curve or fit that is made once for all metrics that read it."""
    return lambda counts: float(getattr(counts.once(curve), name))


def _roc(read: Callable[[RocCurve], float]) -> Callable[[Counts], float]:
    return lambda counts: read(counts.once(RocCurve.of_counts))


def _ece(**options: Any) -> Callable[[Counts], float]:
    return lambda counts: CalibrationBins.of_counts(counts, **options).ece


def _by_confidence(read: Callable[[RiskCoverageCurve], float]) -> Callable[[Counts], float]:
    """Of logits: the answers' risk, the largest |logit| first."""
    return lambda counts: read(counts.errors().once(RiskCoverageCurve.of_counts))


def _by_entropy(name: str) -> Callable[[Counts], float]:
    """Of logits: wrong answers found by entropy, whose order is that of -|logit|."""
    return lambda counts: _read(ErrorDetection.of_counts, name)(counts.errors().negated())


def _by_doubt(compute: Callable[[Counts], float]) -> Callable[[Counts], float]:
    """Of counts of errors by a doubt; NaN where the predictor has none, 0 at every pixel."""
    return lambda counts: compute(counts) if counts.score.any() else math.nan


def _aurc_by_doubt(counts: Counts) -> float:
    return counts.negated().once(RiskCoverageCurve.of_counts).aurc


_part = partial(_read, MurphyDecomposition.of_counts)

_SCORES = partial(Metric, group="scores", of_probability=True)
_MURPHY = partial(_SCORES, statistic=LOGITS)
_CALIBRATION = partial(
    Metric, group="calibration", of_probability=True, statistic=LOGITS, better="lower"
)
_DISTANCE = partial(_CALIBRATION, is_distance=True)
_DETECTION = partial(Metric, group="detection", statistic=LOGITS, better="higher")
_SELECTIVE = partial(Metric, group="selective prediction", statistic=LOGITS, better="lower")
_UNCERTAINTY = partial(Metric, group="uncertainty", better="higher")

METRICS: tuple[Metric, ...] = (
    _SCORES(name="Brier", better="lower", statistic=SUMS, compute=lambda sums: sums.brier),
    _SCORES(
        name="Brier skill", better="higher", statistic=SUMS, compute=lambda sums: sums.brier_skill
    ),
    _SCORES(name="NLL", better="lower", statistic=SUMS, compute=lambda sums: sums.nll),
    _MURPHY(name="reliability", better="lower", compute=_part("reliability"), is_distance=True),
    _MURPHY(name="resolution", better="higher", compute=_part("resolution")),
    _MURPHY(name="uncertainty", better=None, compute=_part("uncertainty")),
    _DISTANCE(name="ECE", compute=_read(CalibrationBins.of_counts, "ece")),
    _DISTANCE(name="ECE (equal mass)", compute=_ece(bins="mass")),
    _DISTANCE(name="ECE (p > 0.001)", compute=_ece(above=0.001)),
    _DISTANCE(name="ECE (flagged)", compute=_ece(above=0.5)),
    _DISTANCE(name="ECE (not flagged)", compute=_ece(up_to=0.5)),
    _DISTANCE(name="MCE", compute=_read(CalibrationBins.of_counts, "mce")),
    *(
        _CALIBRATION(
            name=f"calibration {name}",
            better=None,  # 1 and 0 are best
            compute=_read(CalibrationLine.of_counts, name),
        )
        for name in ("slope", "intercept")
    ),
    _DETECTION(name="AUROC", compute=_roc(lambda roc: roc.auroc)),
    *(
        _DETECTION(
            name=f"TPR at {percent:g}% FPR",
            compute=_roc(lambda roc, fpr=percent / 100.0: roc.tpr_at(fpr)),  # type: ignore[misc]
        )
        for percent in (0.01, 0.05, 0.1, 0.5, 1.0)
    ),
    _DETECTION(name="AUPRC", compute=_roc(lambda roc: roc.auprc)),
    _DETECTION(name="precision at 95% recall", compute=_roc(lambda roc: roc.precision_at(0.95))),
    _DETECTION(name="IoU", compute=_read(Overlap.of_counts, "iou")),
    _DETECTION(name="Dice", compute=_read(Overlap.of_counts, "dice")),
    _DETECTION(name="hit recall", statistic=HITS, compute=lambda hits: hits.recall),
    _DETECTION(name="hit purity", statistic=HITS, compute=lambda hits: hits.purity),
    _SELECTIVE(name="AURC", compute=_by_confidence(lambda curve: curve.aurc)),
    _SELECTIVE(name="E-AURC", compute=_by_confidence(lambda curve: curve.e_aurc)),
    _SELECTIVE(name="AUGRC", compute=_by_confidence(lambda curve: curve.augrc)),
    *(
        _SELECTIVE(name=f"AURC ({doubt})", statistic=errors, compute=_by_doubt(_aurc_by_doubt))
        for doubt, errors in (("mutual information", ERRORS_BY_INFORMATION), ("std", ERRORS_BY_STD))
    ),
    _SELECTIVE(
        name="coverage at 0.1% risk",
        better="higher",
        compute=_by_confidence(lambda curve: curve.coverage_at(0.001)),
    ),
    _UNCERTAINTY(
        name="mean entropy",
        better=None,
        statistic=SUMS,
        compute=lambda sums: sums.mean_entropy,
        of_probability=True,
    ),
    _UNCERTAINTY(
        name="mean mutual information",
        better=None,
        statistic=SUMS,
        compute=lambda sums: sums.mean_mutual_information,
        of_probability=True,
    ),
    _UNCERTAINTY(name="error AUROC (entropy)", statistic=LOGITS, compute=_by_entropy("auroc")),
    _UNCERTAINTY(name="error AUPR (entropy)", statistic=LOGITS, compute=_by_entropy("aupr")),
    *(
        _UNCERTAINTY(
            name=f"error {name} (mutual information)",
            statistic=ERRORS_BY_INFORMATION,
            compute=_by_doubt(_read(ErrorDetection.of_counts, name.lower())),
        )
        for name in ("AUROC", "AUPR")
    ),
)
"""The columns of a report's table."""
