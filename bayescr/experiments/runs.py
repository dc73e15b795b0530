"""Fits that are kept: one folder each, named after everything that was chosen for it.

``runs/<arm>-<seed>-<hash>/`` holds ``posterior.safetensors``, ``history.csv`` and, written last,
``arm.json``: where that is, the fit is complete. A fit that was interrupted is made again from its
beginning; one whose settings changed has another name, and the old one stays.

The same fit has the same bytes on the same machine with the same number of threads: sums of
float32 depend on how they are split. Machine and threads are not in the hash, so that a folder
keeps its fits when it moves to another machine; ``arm.json`` says how many threads there were.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyro
import torch

from bayescr._code import source_sha256
from bayescr._device import compute_dtype, find_device
from bayescr._files import atomic_path
from bayescr._random import seeded
from bayescr.data import PatchDataset, Scaling
from bayescr.errors import BayescrError
from bayescr.evaluation.records import file_stem
from bayescr.experiments import _fingerprint as fingerprint
from bayescr.experiments._settings import Choice, to_table
from bayescr.experiments.config import Arm, Experiment, Model, Training
from bayescr.experiments.own_code import OwnCode
from bayescr.inference import Posterior, annealing, fit, gradients, guides
from bayescr.inference._pyro import build_guide, guide_name, local_parameters
from bayescr.inference._training import check_can_stop, check_trainable
from bayescr.inference.checkpoints import describe, own_parts, read_description
from bayescr.models import BayesianSegmenter, UNet, likelihoods, priors

__all__ = ["Recipe", "Run", "in_order", "load", "plan_runs", "recipe_of", "start_recipe", "train"]

ARM_FILE = "arm.json"
_FLOORS = ("data", "models", "inference")  # a fit depends on their code, and on this file
_FAMILIES: dict[str, Mapping[str, Any]] = {
    "guide": guides.FAMILY,
    "prior": priors.FAMILY,
    "likelihood": likelihoods.FAMILY,
    "KL schedule": annealing.FAMILY,
    "estimator": gradients.FAMILY,
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is fitted: a guide to a model, in a way."""

    guide: Choice
    model: Model
    training: Training

    @property
    def choices(self) -> dict[str, Choice]:
        """What is chosen from a family, by kind."""
        return {
            "guide": self.guide,
            "prior": self.model.prior,
            "likelihood": self.model.likelihood,
            "KL schedule": self.training.kl_schedule,
            "estimator": self.training.estimator,
        }

    def make(self, kind: str, code: OwnCode) -> Any:
        """What was chosen of that kind."""
        return code.make(self.choices[kind], _FAMILIES[kind], kind=kind)

    def make_model(self, code: OwnCode, *, num_classes: int) -> BayesianSegmenter:
        """The model; its network is drawn from torch's generator."""
        declared = self.model
        net = UNet(
            num_classes=num_classes,
            width=declared.width,
            depth=declared.depth,
            norm=declared.norm,
            upsampling=declared.upsampling,
        )
        return BayesianSegmenter(
            net,
            prior=self.make("prior", code),
            likelihood=self.make("likelihood", code),
            random=declared.random,
        )

    def untrained(self, code: OwnCode) -> Posterior | None:
        """The posterior before its training, which knows its sites and whether it is a point.

        None for a guide that is more than this after its training, of which nothing is known yet.
        """
        factory = self.make("guide", code)
        check_trainable(factory)
        with seeded(0):
            model = self.make_model(code, num_classes=1)
            guide = build_guide(factory, model, in_channels=1)
        parts = getattr(guide, "in_turn", None) or [guide]
        check_can_stop(self.training.patience, parts, guide_name(factory))
        for part in parts:
            with local_parameters(), self.make("estimator", code)(model, part):
                pass  # it refuses guides and layers that it does not know
        if hasattr(guide, "finalize"):
            return None
        return Posterior(model=model, guide=guide, guide_factory=factory, scaling=Scaling())

    def describe(self, code: OwnCode, *, device: str) -> dict[str, Any]:
        """Everything in it that decides the result."""
        settings = {**to_table(self.model), **to_table(self.training)}
        precision = compute_dtype(self.training.precision, find_device(device))
        settings["precision"] = str(precision).removeprefix("torch.")
        settings.pop("kl_schedule")
        settings |= {kind: code.describe(choice) for kind, choice in self.choices.items()}
        return settings


@dataclass(frozen=True, kw_only=True)
class Run:
    """One fit.

    Attributes:
        name: The arm, or "start".
        seed: Of the fit.
        recipe: What is fitted.
        start: The fit that this one starts from.
        decided_by: All that was chosen and decides the result, JSON.
        folder: Where it is kept.
    """

    name: str
    seed: int
    recipe: Recipe
    start: Run | None
    decided_by: Mapping[str, Any]
    folder: Path

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.name}, seed {self.seed}"

    @property
    def key(self) -> str:
        """The hash of all that was chosen and decides the result."""
        return fingerprint.of_json(self.decided_by)

    @property
    def is_done(self) -> bool:
        """Whether the fit is complete."""
        return (self.folder / ARM_FILE).is_file()


def plan_runs(
    experiment: Experiment,
    *,
    code: OwnCode,
    data: Mapping[str, Mapping[str, str]],
    device: str,
    output: Path,
) -> dict[str, list[Run]]:
    """The fits of every arm, one a seed.

    Args:
        experiment: With its arms.
        code: The user's own.
        data: Part -> file -> hash.
        device: Where fits run.
        output: Below which they are kept.
    """
    seen = {part: data.get(part) for part in ("train", "validation")}
    common = {
        "data": {"softening": experiment.data.softening, **seen},
        "device": find_device(device).type,
        "code": [source_sha256(*_FLOORS), fingerprint.of_file(Path(__file__))],
        "versions": {"torch": torch.__version__, "pyro": pyro.__version__},
    }

    def run(name: str, seed: int, recipe: Recipe, start: Run | None) -> Run:
        decided_by = {
            **common,
            **recipe.describe(code, device=device),
            "seed": seed,
            "start": None if start is None else start.key,
        }
        short = fingerprint.of_json(decided_by)[: fingerprint.SHORT]
        folder = output / "runs" / f"{file_stem(name)}-{seed}-{short}"
        return Run(
            name=name, seed=seed, recipe=recipe, start=start, decided_by=decided_by, folder=folder
        )

    def runs(name: str, arm: Arm) -> Iterator[Run]:
        own = recipe_of(arm)
        first = start_recipe(experiment, arm)
        for seed in experiment.seeds:
            start = None if first is None else run("start", seed, first, None)
            yield run(name, seed, own, start)

    return {name: list(runs(name, arm)) for name, arm in experiment.arms.items()}


def in_order(arms: Mapping[str, Iterable[Run]]) -> list[Run]:
    """All fits and what they start from, each once, and no fit before its start."""
    ordered: dict[Path, Run] = {}
    for run in itertools.chain.from_iterable(arms.values()):
        for one in (run.start, run):
            if one is not None:
                ordered.setdefault(one.folder, one)
    return list(ordered.values())


def recipe_of(arm: Arm) -> Recipe:
    """What an arm fits."""
    return Recipe(guide=arm.guide, model=arm.model, training=arm.training)


def start_recipe(experiment: Experiment, arm: Arm) -> Recipe | None:
    """The fit that an arm starts from; arms of one model share it."""
    if experiment.start is None or not arm.start:
        return None
    settings = {f.name: getattr(experiment.start, f.name) for f in dataclasses.fields(Training)}
    return Recipe(guide=experiment.start.guide, model=arm.model, training=Training(**settings))


def train(
    run: Run,
    data: PatchDataset,
    *,
    validation: PatchDataset | None,
    code: OwnCode,
    device: str,
    progress: bool,
) -> None:
    """Make a fit and keep it.

    Args:
        run: Which; its start is complete.
        data: The patches to learn from, as the run's training wants them.
        validation: Patches to choose the best epoch by.
        code: The user's own.
        device: Where to fit.
        progress: Show a bar.
    """
    recipe, settings = run.recipe, run.recipe.training
    with seeded(run.seed):
        model = recipe.make_model(code, num_classes=data.num_classes)
    start = run.start
    posterior = fit(
        model,
        recipe.make("guide", code),
        data.augmented() if settings.augment else data,
        validation=validation,
        start=None if start is None else load(start.recipe, start.folder, code=code, device=device),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        kl_schedule=recipe.make("KL schedule", code),
        estimator=recipe.make("estimator", code),
        clip_norm=settings.clip_norm,
        patience=settings.patience,
        validation_samples=settings.validation_samples,
        precision=run.decided_by["precision"],
        device=device,
        seed=run.seed,
        progress=progress,
    )
    own = own_parts(describe(posterior))
    if own:  # for who wants to load the file outside of this folder
        posterior.provenance["code"] = {part: code.spelled(recipe.choices[part]) for part in own}
    history = run.folder / "history.csv"
    with atomic_path(history) as temporary:
        posterior.history.to_csv(temporary, index=False, lineterminator="\n")
    file = posterior.save(run.folder)
    kept = {
        "arm": run.name,
        "seed": run.seed,
        "start": None if start is None else start.folder.name,
        "num_classes": data.num_classes,
        "threads": torch.get_num_threads(),
        "key": run.key,
        "decided_by": run.decided_by,
        "files": fingerprint.of_files([file, history]),
    }
    with atomic_path(run.folder / ARM_FILE) as temporary:
        temporary.write_text(fingerprint.to_json(kept), encoding="utf-8")


def load(recipe: Recipe, folder: Path, *, code: OwnCode, device: str) -> Posterior:
    """A fit that was kept, also one with a prior or guide of the user's own.

    Raises:
        BayescrError: If it is not there, or not as it was.
    """
    file = folder / ARM_FILE
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        files = {name: fingerprint.of_file(folder / name) for name in kept["files"]}
        changed = fingerprint.differences(kept["files"], files)
    except (OSError, ValueError, KeyError) as error:
        raise BayescrError(
            f"'{folder}' holds no complete fit ({error}): delete it, and compare again"
        ) from error
    if changed:
        raise BayescrError(
            f"the fit in '{folder}' is not as it was made: {'; '.join(changed)}; delete it, and "
            "compare again"
        )
    own = own_parts(read_description(folder))
    return Posterior.load(folder, **{part: recipe.make(part, code) for part in own}, device=device)
