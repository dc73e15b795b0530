"""The evaluation of an experiment's fits, classical methods and recalibrated rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from bayescr._names import kebab, unknown_name
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
from bayescr.evaluation._checks import BASE_RATE, SCALED, check_names
from bayescr.evaluation.calibrators import CalibrationError
from bayescr.evaluation.predictors import Constant
from bayescr.experiments._settings import Choice
from bayescr.experiments.config import Experiment
from bayescr.experiments.own_code import OwnCode
from bayescr.inference import Posterior

__all__ = [
    "CALIBRATORS",
    "assess",
    "make_calibrators",
    "make_classical",
    "own_metrics",
    "row_names",
]

_ANYBODY = Constant(probability=())
CALIBRATORS = {kebab(cls.__name__): cls for cls in (Temperature, Platt, Beta, Isotonic)}


def assess(
    experiment: Experiment,
    posteriors: Mapping[str, Sequence[Posterior]],
    datasets: Mapping[str, PatchDataset],
    *,
    notes: Sequence[str],
    code: OwnCode,
    context: Mapping[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Compare everything that an experiment names.

    Args:
        experiment: What to compare, and how.
        posteriors: Arm -> one posterior a seed.
        datasets: Part -> whole frames.
        notes: What to tell the reader besides.
        code: The user's own.
        context: For the manifest.
        progress: As for `evaluate`.

    Returns:
        The report. A row whose calibrator cannot be fitted is left out of it, with a note.
    """
    asked = experiment.evaluation
    rows: dict[str, list[Any]] = {name: list(seeds) for name, seeds in posteriors.items()}
    rows |= {name: [make_classical(choice, code)] for name, choice in experiment.classical.items()}
    rows, skipped = _with_recalibrated(rows, experiment, datasets.get("validation"), code)
    reference = asked.reference
    if reference in skipped:
        notes = [*notes, f"There is no row {reference} to compare with: see below"]
        reference = None
    report = evaluate(
        rows,
        datasets["test"],
        validation=datasets.get("validation"),
        shifted=datasets.get("shifted"),
        metrics=(*METRICS, *own_metrics(experiment, code)),
        reference=reference,
        pair_seeds=experiment.start is not None,
        num_samples=asked.num_samples,
        seed=asked.seed,
        num_bootstrap=asked.num_bootstrap,
        level=asked.level,
        sites=asked.sites,
        skipped=skipped,
        context=context,
        progress=progress,
    )
    own = [_sentence(note) for note in (experiment.title, *notes)]
    return dataclasses.replace(report, notes=[*own, *report.notes])


def make_classical(choice: Choice, code: OwnCode) -> Any:
    """A method that is not trained here.

    Raises:
        BayescrError: If there is none of that name, or it does not take the arguments.
    """
    return code.make(choice, classical.FAMILY, kind="classical method", method="score")


def make_calibrators(experiment: Experiment, row: str, code: OwnCode) -> list[Any]:
    """The calibrators that the experiment wants for a row, before they are fitted.

    Raises:
        BayescrError: If there is none of such a name, or it cannot make a probability of a score.
    """
    found = []
    for choice in experiment.evaluation.recalibrate.get(row, ()):
        method = code.make(choice, CALIBRATORS, kind="calibrator", method="fit")
        if getattr(method, "needs_probability", False) and row in experiment.classical:
            scorer = make_classical(experiment.classical[row], code)
            if not getattr(scorer, "is_probability", True):
                raise BayescrError(
                    f"the score of '{row}' only ranks pixels, and '{choice.name}' has no intercept "
                    "to make a probability of it: expected 'platt', 'beta' or 'isotonic'"
                )
        found.append(method)
    return found


def own_metrics(experiment: Experiment, code: OwnCode) -> list[Metric]:
    """The user's metrics.

    Raises:
        BayescrError: If one cannot be found, is none, or has the name of another.
    """
    metrics: list[Metric] = []
    for name in experiment.evaluation.metrics:
        metric = code.resolve(name, kind="metric")
        if not isinstance(metric, Metric):
            raise BayescrError(
                f"metric '{name}' is of type {type(metric).__name__}: expected a "
                "bayescr.evaluation.Metric"
            )
        if metric.name in [one.name for one in (*METRICS, *metrics)]:
            raise BayescrError(
                f"metric '{name}' is named '{metric.name}', as another is: give it a name of its "
                "own"
            )
        metrics.append(metric)
    return metrics


def row_names(
    experiment: Experiment, *, points: Collection[str], has_validation: bool, code: OwnCode
) -> dict[str, int]:
    """The rows that a report will have and the number of members of each, before the work.

    Args:
        experiment: The experiment.
        points: Its deterministic arms.
        has_validation: Whether there are exposures to recalibrate on.
        code: The user's own.

    Raises:
        BayescrError: If two rows would have one name, or a calibrator is wanted for no row.
    """
    asked, seeds = experiment.evaluation, len(experiment.seeds)
    names = {BASE_RATE: 1}

    def add(name: str, members: int) -> None:
        if name in names:
            raise BayescrError(
                f"two rows would be called '{name}', one of which bayescr makes itself: rename "
                "the other, or leave it out"
            )
        names[name] = members

    for row in asked.recalibrate:
        if row not in (*experiment.arms, *experiment.classical):
            raise unknown_name("row to recalibrate", row, [*experiment.arms, *experiment.classical])
    for row in (*experiment.arms, *experiment.classical):
        members = seeds if row in experiment.arms else 1
        add(row, members)
        if row in points and has_validation:
            add(row + SCALED, members)
        if row in points and seeds > 1:
            add(f"{row}, ensemble of {seeds}", 1)
        for calibrator in make_calibrators(experiment, row, code):
            add(_recalibrated_name(row, calibrator), members)
    check_names({name: [_ANYBODY] * members for name, members in names.items()})
    return names


def _with_recalibrated(
    rows: Mapping[str, list[Any]],
    experiment: Experiment,
    validation: PatchDataset | None,
    code: OwnCode,
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """The rows, each with its recalibrated ones behind it; and those left out, with the reason."""
    asked = experiment.evaluation
    found: dict[str, list[Any]] = {}
    skipped: dict[str, str] = {}
    for row, members in rows.items():
        found[row] = members
        for calibrator in make_calibrators(experiment, row, code):
            name = _recalibrated_name(row, calibrator)
            reason = classical.unavailable(members[0])
            if reason:
                skipped[name] = reason
                continue
            try:
                found[name] = [
                    recalibrate(
                        one, validation, calibrator, num_samples=asked.num_samples, seed=asked.seed
                    )
                    for one in members
                ]
            except CalibrationError as error:
                skipped[name] = str(error)
    return found, skipped


def _recalibrated_name(row: str, calibrator: Any) -> str:
    return f"{row}, {getattr(calibrator, 'label', 'recalibrated')}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
