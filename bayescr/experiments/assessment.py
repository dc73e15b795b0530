"""The evaluation of an experiment's fits, classical methods and recalibrated rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bayescr._names import kebab
from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.evaluation import (
    METRICS,
    Beta,
    Isotonic,
    Metric,
    Platt,
    Report,
    Temperature,
    classical,
    evaluate,
    recalibrate,
)
from bayescr.experiments._settings import Choice
from bayescr.experiments.config import Experiment
from bayescr.experiments.own_code import OwnCode
from bayescr.inference import Posterior

__all__ = ["CALIBRATORS", "assess", "make_classical", "own_metrics"]

CALIBRATORS = {kebab(cls.__name__): cls for cls in (Temperature, Platt, Beta, Isotonic)}


def assess(
    experiment: Experiment,
    posteriors: Mapping[str, Sequence[Posterior]],
    datasets: Mapping[str, PatchDataset],
    *,
    notes: Sequence[str],
    code: OwnCode,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Compare everything that an experiment names.

    Args:
        experiment: What to compare, and how.
        posteriors: Arm -> one posterior a seed.
        datasets: Part -> whole frames.
        notes: What to tell the reader besides.
        code: The user's own.
        progress: As for `evaluate`.

    Returns:
        The report.
    """
    asked = experiment.evaluation
    rows: dict[str, Any] = {name: list(seeds) for name, seeds in posteriors.items()}
    rows |= _recalibrated(experiment, posteriors, datasets.get("validation"))
    rows |= {name: make_classical(c, code) for name, c in experiment.classical.items()}
    report = evaluate(
        rows,
        datasets["test"],
        validation=datasets.get("validation"),
        shifted=datasets.get("shifted"),
        metrics=(*METRICS, *own_metrics(experiment, code)),
        reference=asked.reference,
        num_samples=asked.num_samples,
        seed=asked.seed,
        num_bootstrap=asked.num_bootstrap,
        level=asked.level,
        sites=asked.sites,
        progress=progress,
    )
    return dataclasses.replace(report, notes=[_sentence(experiment.title), *notes, *report.notes])


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def make_classical(choice: Choice, code: OwnCode) -> Any:
    """A method that is not trained here.

    Raises:
        BayescrError: If there is none of that name, or it does not take the arguments.
    """
    return code.make(choice, classical.FAMILY, kind="classical method", method="score")


def own_metrics(experiment: Experiment, code: OwnCode) -> list[Metric]:
    """The user's metrics.

    Raises:
        BayescrError: If one cannot be found, or is none.
    """
    metrics = []
    for name in experiment.evaluation.metrics:
        metric = code.resolve(name, kind="metric")
        if not isinstance(metric, Metric):
            raise BayescrError(
                f"metric '{name}' is of type {type(metric).__name__}: expected a "
                "bayescr.evaluation.Metric"
            )
        metrics.append(metric)
    return metrics


def _recalibrated(
    experiment: Experiment,
    posteriors: Mapping[str, Sequence[Posterior]],
    validation: PatchDataset | None,
) -> dict[str, Any]:
    """Rows of the deterministic arms, recalibrated otherwise than by a temperature."""
    asked = experiment.evaluation
    rows = {}
    for name, seeds in posteriors.items():
        for method in asked.recalibrate:
            if method == "temperature" or not all(one.is_deterministic for one in seeds):
                continue  # evaluate() scales temperatures itself
            calibrator = CALIBRATORS[method]()
            rows[f"{name}, {calibrator.label}"] = [
                recalibrate(
                    one, validation, calibrator, num_samples=asked.num_samples, seed=asked.seed
                )
                for one in seeds
            ]
    return rows
