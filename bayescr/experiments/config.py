"""What an experiment is: its TOML file, one to one, as frozen dataclasses.

    title = "Two guides of one network"
    seeds = [0, 1]
    [data]
    train = "frames/train"
    test = "frames/test"
    [training]
    epochs = 20
    [arms.MAP]
    guide = "map"
    [arms."low rank"]
    guide = { name = "low-rank", rank = 8 }
    epochs = 30                      # an arm may set any key of [model] and [training]

Paths are relative to the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayescr._names import unknown_name
from bayescr.errors import BayescrError
from bayescr.evaluation.records import file_stem
from bayescr.experiments._settings import Choice, Settings
from bayescr.experiments.card import Card

__all__ = [
    "Arm",
    "Data",
    "Evaluation",
    "Experiment",
    "Model",
    "Shifted",
    "Simulated",
    "Start",
    "Training",
]


@dataclass(frozen=True, kw_only=True)
class Shifted(Settings):
    """Simulated exposures of another field than the network is trained for."""

    field: str
    frames: int = 4

    def check(self) -> None:
        """Raise a `BayescrError` for values that cannot be."""
        _at_least(1, frames=self.frames)


@dataclass(frozen=True, kw_only=True)
class Simulated(Settings):
    """Frames to simulate; ``train``, ``validation`` and ``test`` count exposures of each field.

    Attributes:
        fields: Names of fields, as `bayescr simulate` takes them, for its default instrument.
        instruments: Instead: name of an instrument -> the fields that it is pointed at, ``[]`` for
            those that suit it. Each has its own optics, noise, hits and range of exposure times.
        hits: Cosmic rays in a frame of the instrument's mean exposure time, at least: a lower flux
            is raised to as many, for little is learnt where there are none. Default: its own flux.
        other_hits: Instruments whose hits fall in further exposures to learn from, as many again
            for each of them, and as many hits a pixel as by the instrument's own flux: what a hit
            looks like is then known from more than one thickness of silicon.
        size: Side of the frames [pixel].
        train: To learn from.
        validation: To choose the best epoch by and to recalibrate on; 0: none.
        test: To compare on.
        seed: Of the frames, whatever the seeds of the fits.
        shifted: To recognise as different.
        threshold: Of the truth, as in `bayescr.simulation.simulate_exposure`.
        undecided: Likewise; default: every pixel is decided.
    """

    fields: tuple[str, ...] = ("ex", "gc", "rg")
    instruments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hits: float | None = None
    other_hits: tuple[str, ...] = ()
    size: int = 256
    train: int = 20
    validation: int = 3
    test: int = 6
    seed: int = 0
    shifted: Shifted | None = None
    threshold: float = 3.0
    undecided: float | None = None

    def check(self) -> None:
        """Raise a `BayescrError` for values that cannot be."""
        _filled(fields=self.fields)
        if not self.threshold > 0:
            raise BayescrError(f"threshold is {self.threshold}: expected a number above 0")
        if self.undecided is not None and not 0 <= self.undecided < self.threshold:
            raise BayescrError(
                f"undecided is {self.undecided}: expected a number from 0 to below threshold, "
                f"{self.threshold}"
            )
        if self.hits is not None and not (self.hits > 0 and self.instruments):
            raise BayescrError(f"hits is {self.hits}: expected a number above 0, and instruments")
        if self.other_hits and not self.instruments:
            raise BayescrError(
                f"other_hits is {list(self.other_hits)}: expected instruments, too, in whose "
                "exposures they fall"
            )
        _at_least(1, size=self.size, train=self.train, test=self.test)
        _at_least(0, validation=self.validation, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Data(Settings):
    """Folders of FITS files with SCI, DQ and CRMASK, or what to simulate instead.

    Attributes:
        train: To learn from.
        validation: To choose the best epoch by and to recalibrate on.
        test: To compare on.
        shifted: Of another instrument, say, to recognise as different.
        simulate: Instead of folders.
        softening: Of the `Scaling` from pixels to network input.
    """

    train: str | None = None
    validation: str | None = None
    test: str | None = None
    shifted: str | None = None
    simulate: Simulated | None = None
    softening: float = 3.0

    def check(self) -> None:
        """Raise a `BayescrError` for values that cannot be."""
        given = [p for p in ("train", "validation", "test", "shifted") if getattr(self, p)]
        if self.simulate is None:
            for part in ("train", "test"):
                if part not in given:
                    raise BayescrError(
                        f"{part} is missing: expected a folder of FITS files, or the table "
                        "[data.simulate] for all parts"
                    )
        elif given:
            raise BayescrError(
                f"{given[0]} is {getattr(self, given[0])!r} and simulate is given too: expected "
                "folders or [data.simulate], not both"
            )


@dataclass(frozen=True, kw_only=True)
class Model(Settings):
    """The network and what is believed about its weights before the data.

    Attributes:
        width: Of `UNet`.
        depth: Of `UNet`.
        norm: Of `UNet`.
        upsampling: Of `UNet`.
        prior: A name of `bayescr.models.priors`, or your own.
        likelihood: A name of `bayescr.models.likelihoods`, or your own.
        random: Patterns of the weights that are random, such as ``["head.*"]``; default: all.
    """

    width: int = 32
    depth: int = 2
    norm: str = "none"
    upsampling: str = "transposed"
    prior: Choice = field(default_factory=lambda: Choice(name="fan-in-normal"))
    likelihood: Choice = field(default_factory=lambda: Choice(name="bernoulli"))
    random: tuple[str, ...] | None = None

    def check(self) -> None:
        """Raise a `BayescrError` for values that cannot be."""
        _at_least(1, width=self.width, depth=self.depth)


@dataclass(frozen=True, kw_only=True)
class Training(Settings):
    """Arguments of `bayescr.inference.fit`, and how frames are cut for it.

    Attributes:
        patch: Side of the training patches [pixel].
        augment: Whether patches are flipped and turned at random.
        epochs: Of `fit`, as are the others.
        batch_size: Patches a step.
        learning_rate: Adam's, at its highest.
        kl_schedule: A name of `bayescr.inference.annealing`, or your own.
        estimator: Of the gradient: a name of `bayescr.inference.gradients`, or your own.
        clip_norm: Largest norm of the gradient of the loss per pixel.
        patience: Epochs without improvement after which to stop; default: never.
        validation_samples: Posterior draws behind the validation NLL.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
    """

    patch: int = 64
    augment: bool = True
    epochs: int = 20
    batch_size: int = 16
    learning_rate: float = 3e-3
    kl_schedule: Choice = field(default_factory=lambda: Choice(name="linear"))
    estimator: Choice = field(default_factory=lambda: Choice(name="weight-draws"))
    clip_norm: float = 1.0
    patience: int | None = None
    validation_samples: int = 4
    precision: str = "auto"

    def check(self) -> None:
        """Raise a `BayescrError` for values that cannot be."""
        _at_least(1, patch=self.patch, epochs=self.epochs, batch_size=self.batch_size)
        _at_least(1, validation_samples=self.validation_samples)
        if self.patience is not None:
            _at_least(1, patience=self.patience)
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise BayescrError(f"{name} is {getattr(self, name)}: expected a number above 0")


@dataclass(frozen=True, kw_only=True)
class Start(Training):
    """A fit that arms of the same model share as their start: guide, and keys of [training]."""

    guide: Choice = field(default_factory=lambda: Choice(name="map"))


@dataclass(frozen=True, kw_only=True)
class Arm(Settings):
    """A row of the comparison: a guide, and what it does differently.

    Attributes:
        guide: A name of `bayescr.inference.guides`, or your own.
        model: [model] with this arm's own keys.
        training: [training] with this arm's own keys.
        start: Whether it begins at the common start, if the experiment has one.
    """

    guide: Choice
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    start: bool = True


@dataclass(frozen=True, kw_only=True)
class Evaluation(Settings):
    """Arguments of `bayescr.evaluation.evaluate`.

    Attributes:
        num_samples: Posterior draws behind each prediction.
        num_bootstrap: Resamplings of the exposures behind the intervals.
        level: Of the intervals.
        seed: Of the draws and resamplings.
        reference: The row that others are compared with.
        recalibrate: Arm or classical method -> calibrators to fit on the validation exposures, a
            row each: ``"temperature"``, ``"platt"``, ``"beta"``, ``"isotonic"`` or your own. A
            deterministic arm under its temperature is there unasked.
        metrics: Your own, ``"file.py:attribute"``, besides the standard ones.
        sites: Weights whose draws go into the ArviZ data; default: the head's.
    """

    num_samples: int = 16
    num_bootstrap: int = 1000
    level: float = 0.95
    seed: int = 0
    reference: str | None = None
    recalibrate: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    sites: tuple[str, ...] | None = None

    def check(self) -> None:
        """Raise a `BayescrError` for values that cannot be."""
        _at_least(1, num_samples=self.num_samples)
        _at_least(0, num_bootstrap=self.num_bootstrap, seed=self.seed)
        if not 0.0 < self.level < 1.0:
            raise BayescrError(f"level is {self.level}: expected a fraction between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Experiment(Settings):
    """A comparison of arms on the same data.

    Attributes:
        title: What it is about.
        data: What to train and compare on.
        arms: Name of the row -> what is trained.
        seeds: Every arm is trained once with each.
        start: The common start of the arms.
        classical: Names of methods that are not trained here -> their arguments.
        evaluation: How they are compared.
        card: What makes a model of an arm, `bayescr.experiments.build`.
    """

    title: str
    data: Data
    arms: Mapping[str, Arm]
    seeds: tuple[int, ...] = (0,)
    start: Start | None = None
    classical: Mapping[str, Choice] = field(default_factory=dict)
    evaluation: Evaluation = field(default_factory=Evaluation)
    card: Card | None = None

    def check(self) -> None:
        """Raise a `BayescrError` for values that cannot be."""
        _filled(title=self.title, seeds=self.seeds, arms=self.arms)
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise BayescrError(
                f"seeds are {list(self.seeds)}: expected different whole numbers from 0 up"
            )
        if self.card is not None and self.card.arm not in self.arms:
            raise unknown_name("arm of the card", self.card.arm, list(self.arms))
        if self.card is not None and len(self.seeds) > 1:
            raise BayescrError(
                f"seeds are {list(self.seeds)} and there is a card: expected the one of the model"
            )
        stems: dict[str, str] = {}
        for name in (*self.arms, *self.classical):
            if not name.strip():
                raise BayescrError("a row has no name: expected letters or digits")
            if name in self.arms and name in self.classical:
                raise BayescrError(
                    f"'{name}' is both an arm and a classical method: expected names of their own"
                )
            other = stems.setdefault(file_stem(name).lower(), name)  # some disks ignore case
            if other != name:
                raise BayescrError(
                    f"arms '{other}' and '{name}' would share the folder '{file_stem(name)}': "
                    "expected names that differ in letters or digits"
                )


def _at_least(smallest: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < smallest:
            raise BayescrError(f"{name} is {number}: expected a whole number from {smallest} up")


def _filled(**collections: Any) -> None:
    for name, collection in collections.items():
        if not collection:
            raise BayescrError(f"{name} is empty: expected something")
