"""Experiments: a TOML file in; data, fits and a report out, the same every time.

:func:`compare` trains what is missing and evaluates everything; :func:`plan` says what it would do;
:func:`check` evaluates a finished experiment again and says whether the same tables come out.
"""

from bayescr.experiments._settings import Choice
from bayescr.experiments.checking import CheckResult, check
from bayescr.experiments.comparison import Step, compare, plan
from bayescr.experiments.config import (
    Arm,
    Data,
    Evaluation,
    Experiment,
    Model,
    Shifted,
    Simulated,
    Start,
    Training,
)
from bayescr.experiments.reading import read_experiment

__all__ = [
    "Arm",
    "CheckResult",
    "Choice",
    "Data",
    "Evaluation",
    "Experiment",
    "Model",
    "Shifted",
    "Simulated",
    "Start",
    "Step",
    "Training",
    "check",
    "compare",
    "plan",
    "read_experiment",
]
