"""An experiment made ready: everything that can be found wrong before the work is found here."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bayescr._device import find_device
from bayescr._names import kebab, unknown_name
from bayescr._random import seeded
from bayescr.data import Scaling
from bayescr.errors import BayescrError
from bayescr.experiments._settings import Choice
from bayescr.experiments.assessment import CALIBRATORS, make_classical, own_metrics
from bayescr.experiments.config import Experiment
from bayescr.experiments.frames import Part, find_parts
from bayescr.experiments.own_code import OwnCode
from bayescr.experiments.reading import read_experiment
from bayescr.experiments.runs import Recipe, Run, plan_runs, recipe_of, start_recipe
from bayescr.simulation.sky import field_name

__all__ = ["Prepared", "check_apart", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An experiment with its data and the user's own code found.

    Attributes:
        experiment: With a deterministic arm among the others.
        notes: What was done to it.
        code: The user's own.
        parts: Its data.
        device: Where to train and predict.
        output: The folder of the results.
    """

    experiment: Experiment
    notes: tuple[str, ...]
    code: OwnCode
    parts: Mapping[str, Part]
    device: str
    output: Path

    @property
    def scaling(self) -> Scaling:
        """From pixels to network input, in all arms."""
        return Scaling(softening=self.experiment.data.softening)

    def runs(self, data: Mapping[str, Mapping[str, str]]) -> dict[str, list[Run]]:
        """The fits of every arm, given the hashes of the data."""
        return plan_runs(
            self.experiment, code=self.code, data=data, device=self.device, output=self.output
        )


def prepare(
    file: str | Path,
    output: str | Path,
    *,
    code: OwnCode | None = None,
    device: str = "auto",
) -> Prepared:
    """Read an experiment and look at everything that it names.

    Args:
        file: The TOML file.
        output: The folder of the results, which need not be there.
        code: Where the user's own is; default: beside the TOML file.
        device: Where to train and predict.

    Raises:
        BayescrError: If something in the experiment cannot be.
    """
    file, output = Path(file), Path(output)
    experiment, notes = _with_baseline(read_experiment(file))
    code = OwnCode(folder=file.parent) if code is None else code
    device = str(find_device(device))
    for at, look in _looks(experiment, code):
        try:
            look()
        except BayescrError as error:
            raise BayescrError(f"'{file}' {at}: {error}") from error
    parts = find_parts(experiment.data, beside=file.parent, output=output)
    return Prepared(
        experiment=experiment, notes=notes, code=code, parts=parts, device=device, output=output
    )


def check_apart(data: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse an exposure that is in two parts, under whatever names.

    Raises:
        BayescrError: Which says where it is.
    """
    for one, other in itertools.combinations(data, 2):
        names = {digest: name for name, digest in data[one].items()}
        for name, digest in data[other].items():
            if digest in names:
                raise BayescrError(
                    f"exposure '{names[digest]}' of {one} is '{name}' of {other}: scores on what "
                    "was trained on are too good; take it out of one of them"
                )


def _with_baseline(experiment: Experiment) -> tuple[Experiment, tuple[str, ...]]:
    """With a MAP arm: what a Bayesian arm has to beat is in every table."""
    if any(_is_point(arm.guide) for arm in experiment.arms.values()):
        return experiment, ()
    first, arm = next(iter(experiment.arms.items()))
    name = "MAP" if "MAP" not in experiment.arms else "MAP baseline"
    baseline = dataclasses.replace(arm, guide=Choice(name="map"))
    note = f"no arm is deterministic: '{name}' was added, with the model and training of '{first}'"
    arms = {name: baseline, **experiment.arms}
    return dataclasses.replace(experiment, arms=arms), (note,)


def _is_point(guide: Choice) -> bool:
    return kebab(guide.name) == "map" or guide.name.endswith(":AutoDelta")


def _looks(experiment: Experiment, code: OwnCode) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Where in the file, and what finds out whether it can be."""
    simulate = experiment.data.simulate
    has_validation = bool(simulate.validation if simulate else experiment.data.validation)
    if simulate:
        yield "[data.simulate]", lambda: [field_name(name) for name in simulate.fields]
        if simulate.shifted:
            yield "[data.simulate.shifted]", partial(field_name, simulate.shifted.field)
    yield "[data]", lambda: Scaling(softening=experiment.data.softening)
    for name, arm in experiment.arms.items():
        yield f"[arms.{name}]", partial(_look_at, recipe_of(arm), code, has_validation)
        start = start_recipe(experiment, arm)
        if start is not None:
            yield "[start]", partial(_look_at, start, code, has_validation)
    for name, choice in experiment.classical.items():
        yield f"[classical] {name}", partial(make_classical, choice, code)
    yield "[evaluation]", partial(_look_at_evaluation, experiment, code, has_validation)


def _look_at(recipe: Recipe, code: OwnCode, has_validation: bool) -> None:
    for kind in recipe.choices:
        recipe.make(kind, code)
    with seeded(0):
        recipe.make_model(code, num_classes=1)
    recipe.describe(code, device="cpu")
    if recipe.training.patience is not None and not has_validation:
        raise BayescrError("patience needs validation exposures to watch: give some")


def _look_at_evaluation(experiment: Experiment, code: OwnCode, has_validation: bool) -> None:
    asked = experiment.evaluation
    own_metrics(experiment, code)
    for name in asked.recalibrate:
        if name not in CALIBRATORS:
            raise unknown_name("recalibration", name, list(CALIBRATORS))
    if set(asked.recalibrate) - {"temperature"} and not has_validation:
        raise BayescrError("recalibrate needs validation exposures to fit on: give some")
    rows = [*experiment.arms, *experiment.classical]
    reference = asked.reference
    if reference and not any(f"{reference}, ".startswith(f"{row}, ") for row in rows):
        raise unknown_name("reference row", reference, rows)
