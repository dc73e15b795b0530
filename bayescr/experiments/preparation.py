"""An experiment made ready: everything that can be found wrong before the work is found here."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bayescr._device import find_device
from bayescr._names import unknown_name
from bayescr.data import Scaling
from bayescr.errors import BayescrError
from bayescr.evaluation._checks import check_data
from bayescr.evaluation.classical import unavailable
from bayescr.experiments._settings import Choice
from bayescr.experiments.assessment import make_classical, own_metrics, row_names
from bayescr.experiments.config import Experiment
from bayescr.experiments.frames import Part, fields_of, find_parts
from bayescr.experiments.own_code import OwnCode, files_of
from bayescr.experiments.reading import parse_experiment, read_source
from bayescr.experiments.runs import Recipe, Run, plan_runs, recipe_of, start_recipe
from bayescr.inference import Posterior
from bayescr.simulation.sky import field_name

__all__ = ["Prepared", "check_apart", "check_frames", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An experiment with its data and the user's own code found.

    Attributes:
        file: The TOML file.
        source: What it says.
        experiment: The same, with a deterministic arm among the others.
        notes: What was done to it.
        code: The user's own.
        parts: Its data.
        device: Where to train and predict.
        output: The folder of the results.
    """

    file: Path
    source: bytes
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

    def with_copies(self) -> Prepared:
        """The same through copies of the user's own files, which are kept with the results.

        Raises:
            BayescrError: If a file was changed since, and cannot be any more.
        """
        code = self.code.copied(files_of(self.experiment), self.output)
        experiment = parse_experiment(self.source, file=str(self.file))
        experiment, notes = _examined(experiment, self.file, code)
        return dataclasses.replace(self, experiment=experiment, notes=notes, code=code)

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
    source = read_source(file)
    code = OwnCode(folder=file.parent) if code is None else code
    device = str(find_device(device))
    experiment, notes = _examined(parse_experiment(source, file=str(file)), file, code)
    return Prepared(
        file=file,
        source=source,
        experiment=experiment,
        notes=notes,
        code=code,
        parts=find_parts(experiment.data, beside=file.parent, output=output),
        device=device,
        output=output,
    )


def check_frames(prepared: Prepared) -> None:
    """Look at the headers of the user's frames: nothing of this is to be found after the training.

    Raises:
        BayescrError: If there are no frames, one has no truth, or files of one name are in parts
            that need different ones.
    """
    given = {
        name: part.dataset(patch=None, scaling=prepared.scaling)
        for name, part in prepared.parts.items()
        if not part.series
    }
    for apart in (("train", "validation"), ("test", "validation", "shifted")):
        check_data({name: given.get(name) for name in apart})


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


Untrained = Mapping[str, Posterior | None]  # arm -> its posterior, None: see `Recipe.untrained`


def _examined(
    experiment: Experiment, file: Path, code: OwnCode
) -> tuple[Experiment, tuple[str, ...]]:
    """An experiment of which everything was looked at, with a baseline, and what to say of that."""

    @contextlib.contextmanager
    def at(place: str) -> Iterator[None]:
        try:
            yield
        except BayescrError as error:
            raise BayescrError(f"'{file}' {place}: {error}") from error

    simulate = experiment.data.simulate
    has_validation = bool(simulate.validation if simulate else experiment.data.validation)
    if simulate:
        with at("[data.simulate]"):
            fields_of(simulate)
        if simulate.shifted:
            with at("[data.simulate.shifted]"):
                field_name(simulate.shifted.field)
    with at("[data]"):
        Scaling(softening=experiment.data.softening)
    untrained = {}
    for name, arm in experiment.arms.items():
        with at(f"[arms.{name}]"):
            untrained[name] = _looked_at(recipe_of(arm), code, has_validation)
        start = start_recipe(experiment, arm)
        if start is not None:
            with at("[start]"):
                _looked_at(start, code, has_validation)
    notes: tuple[str, ...] = ()
    if not any(one is not None and one.is_deterministic for one in untrained.values()):
        with at("[arms]"):
            experiment, name, note = _with_baseline(experiment, code)
        notes = (note,)
        untrained[name] = _looked_at(recipe_of(experiment.arms[name]), code, has_validation)
    for name, choice in experiment.classical.items():
        with at(f"[classical] {name}"):
            make_classical(choice, code)
    with at("[evaluation]"):
        _look_at_evaluation(experiment, untrained, code, has_validation)
    return experiment, notes


def _with_baseline(experiment: Experiment, code: OwnCode) -> tuple[Experiment, str, str]:
    """With a MAP arm: what a Bayesian arm has to beat is in every table; its name, and a note."""
    name = "MAP"
    while name in (*experiment.arms, *experiment.classical):
        name += " baseline"
    for first, arm in experiment.arms.items():
        training = dataclasses.replace(arm.training, estimator=Choice(name="weight-draws"))
        baseline = dataclasses.replace(arm, guide=Choice(name="map"), training=training)
        with contextlib.suppress(BayescrError):  # the density of a prior may have no maximum
            recipe_of(baseline).untrained(code)
            arms = {name: baseline, **experiment.arms}
            note = f"'{name}' was added, with the model and training of '{first}'"
            note = f"no arm is deterministic: {note}"
            return dataclasses.replace(experiment, arms=arms), name, note
    raise BayescrError(
        "no arm is deterministic, and under no arm's prior a MAP arm can be: add one that has "
        'another, guide = "map" and prior = "fan-in-normal"'
    )


def _looked_at(recipe: Recipe, code: OwnCode, has_validation: bool) -> Posterior | None:
    for kind in recipe.choices:
        recipe.make(kind, code)
    recipe.describe(code, device="cpu")
    if recipe.training.patience is not None and not has_validation:
        raise BayescrError("patience needs validation exposures to watch: give some")
    return recipe.untrained(code)


def _look_at_evaluation(
    experiment: Experiment, untrained: Untrained, code: OwnCode, has_validation: bool
) -> None:
    asked = experiment.evaluation
    own_metrics(experiment, code)
    if asked.recalibrate and not has_validation:
        raise BayescrError("recalibrate needs validation exposures to fit on: give some")
    points = {name for name, one in untrained.items() if one is None or one.is_deterministic}
    rows = row_names(experiment, points=points, has_validation=has_validation, code=code)
    reference = asked.reference
    if reference is not None and reference not in rows:
        raise unknown_name("reference row", reference, list(rows))
    for name, choice in experiment.classical.items():
        reason = unavailable(make_classical(choice, code))
        if reason and f"{reference}, ".startswith(f"{name}, "):  # it, or it recalibrated
            raise BayescrError(f"there will be no row '{reference}' to refer to: {reason}")
    for name in experiment.arms if asked.sites else ():
        one = untrained[name]
        known = None if one is None else list(one.draw(1))
        for site in asked.sites or ():
            if known is not None and site not in known:
                raise unknown_name(f"site of arm '{name}'", site, known)
