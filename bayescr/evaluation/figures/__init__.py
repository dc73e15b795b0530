"""The figures of a report, drawn without pyplot: nothing global is touched, nothing is shown.

Each function takes curves or counts by printed name and gives a matplotlib figure; `save_figure`
writes the same bytes whenever it is asked.
"""

from bayescr.evaluation.figures._style import save_figure
from bayescr.evaluation.figures.detection import plot_precision_recall, plot_roc
from bayescr.evaluation.figures.exposures import plot_exposure
from bayescr.evaluation.figures.reliability import plot_reliability
from bayescr.evaluation.figures.selective import plot_risk_coverage
from bayescr.evaluation.figures.uncertainty import plot_error_against_entropy

__all__ = [
    "plot_error_against_entropy",
    "plot_exposure",
    "plot_precision_recall",
    "plot_reliability",
    "plot_risk_coverage",
    "plot_roc",
    "save_figure",
]
