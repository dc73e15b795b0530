"""Evaluation: predictions and truth in; tables, figures and ArviZ data out.

:func:`evaluate` compares posteriors on a dataset and gives a :class:`Report`. The metrics behind it
are pure functions of (logit, target, valid) that know neither torch nor Pyro; hand them
probabilities through :func:`to_logit`.
"""

from bayescr.evaluation._arrays import to_logit
from bayescr.evaluation.arviz_export import to_arviz
from bayescr.evaluation.calibration import ReliabilityCurve, ece, reliability_curve
from bayescr.evaluation.detection import RocCurve, roc_curve, tpr_at_fpr
from bayescr.evaluation.figures import plot_reliability, plot_risk_coverage
from bayescr.evaluation.report import Report, evaluate
from bayescr.evaluation.scores import base_rate, brier, brier_skill, nll
from bayescr.evaluation.selective import RiskCoverageCurve, augrc, aurc, risk_coverage
from bayescr.evaluation.uncertainty import mean_entropy, mean_mutual_information

__all__ = [
    "ReliabilityCurve",
    "Report",
    "RiskCoverageCurve",
    "RocCurve",
    "augrc",
    "aurc",
    "base_rate",
    "brier",
    "brier_skill",
    "ece",
    "evaluate",
    "mean_entropy",
    "mean_mutual_information",
    "nll",
    "plot_reliability",
    "plot_risk_coverage",
    "reliability_curve",
    "risk_coverage",
    "roc_curve",
    "to_arviz",
    "to_logit",
    "tpr_at_fpr",
]
