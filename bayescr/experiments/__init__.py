"""Experiments: a TOML file in; data, fits and a report out, the same every time.

:func:`compare` trains what is missing and evaluates everything; :func:`plan` says what it would do;
:func:`check` evaluates a finished experiment again and says whether the same tables come out;
:func:`build` makes a model that can be shipped of one that has a card.
"""

from bayescr.experiments._settings import Choice
from bayescr.experiments.card import Card
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
from bayescr.experiments.shipping import build

__all__ = [
    "Arm",
    "Card",
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
    "build",
    "check",
    "compare",
    "plan",
    "read_experiment",
]
