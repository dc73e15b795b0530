"""Every guide at the same compute: what it predicts, where it was trained for and elsewhere.

    python -m benchmarks guides --output bench-output        # hours; goes on where it was stopped

Compute is counted in passes over the training frames. A row is a network that was trained for
`START` epochs as MAP and went on for `EPOCHS` with its guide, MAP itself included; the seeds of a
row differ in initial weights and in the order of patches. Rows that cost something else say so:
the ensemble of all MAP networks costs as many trainings, and "ensemble, equal compute" shares one
training between its members, which all begin from scratch.

The frames are simulated: three fields as ACS/WFC sees them to train, to choose epochs and
temperatures by (validation) and to compare on (test), and the same fields under each `SHIFTS`,
which no network has seen. What could be chosen (scales, temperatures, rates) was chosen on the
validation frames with seeds of their own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bayescr._files import atomic_path
from bayescr._random import seeded
from bayescr.data import PatchDataset
from bayescr.evaluation import METRICS, evaluate
from bayescr.inference import Posterior, annealing, fit, gradients, guides
from bayescr.models import BayesianSegmenter, UNet, priors
from bayescr.simulation import F606W, INSTRUMENTS, CosmicRays, Detector, simulate
from benchmarks.common import Settings

REFERENCE, ENSEMBLE = "MAP, temperature-scaled", "MAP, ensemble of 5"
COLUMNS = (
    "NLL", "Brier skill", "ECE (flagged)", "AUGRC", "error AUROC (mutual information)",
)  # fmt: skip

SHIFTS: dict[str, dict[str, Any]] = {
    "wide PSF": {"band": replace(F606W, name="wide", wavelength=1500.0)},
    "double sky": {"band": replace(F606W, name="bright", sky=2.0 * F606W.sky)},
    "thick silicon": {
        "cosmic_rays": CosmicRays(thickness=250.0, diffusion=7.0, worm_fraction=0.8, rate=0.5)
    },
    "other detector": {
        "detector": Detector(
            pixel_scale=0.1, read_noise=15.0, dark_current=0.1, hot_fraction=0.01, hot_flagged=0.5
        ),
        "cosmic_rays": CosmicRays(thickness=100.0, pixel_size=24.0, worm_fraction=0.4),
    },
}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A row of the table.

    Attributes:
        guide: What is trained.
        prior: Under which prior.
        kl_weight: At the end of the schedule: the temperature of the posterior.
        estimator: Of the gradient.
        learning_rate: Adam's, at its highest.
        from_scratch: Trained for all epochs without the common start.
        epochs: Share of the epochs that each member gets.
    """

    guide: guides.GuideFactory
    prior: Any = priors.FanInNormal()
    kl_weight: float = 1.0
    estimator: Any = None
    learning_rate: float = 5e-3
    from_scratch: bool = False
    epochs: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is simulated and trained.

    Attributes:
        side: Of a frame [pixel].
        train: Frames of each field, as are `validation`, `test` and `shifted`.
        width: Of the U-Net.
        start: Epochs as MAP that all rows share.
        epochs: Epochs with the guide.
        seeds: Networks of each row.
        ensemble: Networks of the MAP row, which are an ensemble besides.
    """

    side: int = 256
    train: int = 3
    validation: int = 3
    test: int = 16
    shifted: int = 6
    width: int = 12
    start: int = 60
    epochs: int = 40
    seeds: int = 5
    ensemble: int = 5


ARMS: dict[str, Arm] = {
    "MAP": Arm(guide=guides.MAP()),
    "mean-field": Arm(guide=guides.MeanField()),
    "mean-field, T 0.3": Arm(guide=guides.MeanField(), kl_weight=0.3),
    "mean-field, T 0.3, flipout": Arm(
        guide=guides.MeanField(), kl_weight=0.3, estimator=gradients.Flipout()
    ),
    "mean-field, ARD, T 0.3": Arm(guide=guides.MeanField(), prior=priors.ARD(), kl_weight=0.3),
    "mean-field, horseshoe, T 0.3": Arm(
        guide=guides.MeanField(), prior=priors.Horseshoe(), kl_weight=0.3
    ),
    "mean-field, empirical prior": Arm(guide=guides.MeanField(), prior=priors.Empirical()),
    "mean-field on up1 and head, T 0.3": Arm(
        guide=guides.Partial(guide=guides.MeanField(), on=("up1.*", "head.*")), kl_weight=0.3
    ),
    "low-rank, T 0.3": Arm(guide=guides.LowRank(rank=4), kl_weight=0.3),
    "low-rank across layers, T 0.3": Arm(
        guide=guides.LowRank(rank=4, across_layers=True), kl_weight=0.3
    ),
    "radial, T 0.3": Arm(guide=guides.Radial(), kl_weight=0.3),
    "rank-1": Arm(guide=guides.Rank1()),
    "rank-1, T 0.3": Arm(guide=guides.Rank1(), kl_weight=0.3),
    "full-rank head": Arm(guide=guides.FullRank(on="head.*")),
    "flow head": Arm(guide=guides.Flow(on="head.*")),
    "MC-dropout": Arm(guide=guides.MCDropout(p=0.02)),
    "concrete dropout": Arm(guide=guides.ConcreteDropout(init_p=0.02)),
    "SWAG": Arm(guide=guides.SWAG(collect_from=0.5, held_rate=0.5)),
    "Laplace head": Arm(guide=guides.Laplace(on="head.*")),
    "Laplace diagonal, T 0.1": Arm(
        guide=guides.Laplace(on="*", structure="diagonal"), kl_weight=0.1
    ),
    "ensemble, equal compute": Arm(
        guide=guides.Ensemble(guide=guides.MAP(), members=5), from_scratch=True, epochs=0.2
    ),
}


QUICK = ["MAP", "mean-field", "SWAG"]  # the rows that show that it runs


class Frames:
    """Simulated frames in a folder, made when they are first asked for."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.folder, self.size = folder, size

    def train(self) -> PatchDataset:
        return PatchDataset.from_directory(
            self._made("train", self.size.train, 0), patch=64, augment=True
        )

    def validation(self, *, patch: int | None) -> PatchDataset:
        folder = self._made("validation", self.size.validation, 1)
        return PatchDataset.from_directory(folder, patch=patch)

    def test(self) -> PatchDataset:
        folder = self._made("test", self.size.test, 2)
        return PatchDataset.from_directory(folder, patch=None)

    def shifted(self, name: str) -> PatchDataset:
        folder = self._made(name.replace(" ", "-"), self.size.shifted, 3, **SHIFTS[name])
        return PatchDataset.from_directory(folder, patch=None)

    def _made(self, part: str, frames: int, seed: int, **options: Any) -> Path:
        folder = self.folder / part
        done = folder / "complete"
        if not done.exists():
            for field in INSTRUMENTS["hst-acs-wfc"].fields:
                simulate(
                    folder, field, frames=frames, size=self.size.side, seed=seed, overwrite=True,
                    **options,
                )  # fmt: skip
            done.touch()
        return folder


class Trained:
    """Posteriors in a folder, trained when they are first asked for."""

    def __init__(self, folder: Path, frames: Frames, size: Size) -> None:
        self.folder, self.size = folder, size
        self.train = frames.train()
        self.validation = frames.validation(patch=64)

    def start(self, seed: int) -> Posterior:
        arm = Arm(guide=guides.MAP(), learning_rate=1e-2)
        return self._kept(f"start-{seed}", lambda: self.fit(arm, seed, epochs=self.size.start))

    def arm(self, name: str, arm: Arm, seed: int) -> Posterior:
        def train() -> Posterior:
            if arm.from_scratch:
                epochs = round(arm.epochs * (self.size.start + self.size.epochs))
                return self.fit(replace(arm, learning_rate=1e-2), seed, epochs=epochs)
            epochs = round(arm.epochs * self.size.epochs)
            return self.fit(arm, seed, epochs=epochs, start=self.start(seed))

        return self._kept(f"{name}-{seed}", train)

    def all_of(self, name: str) -> list[Posterior]:
        seeds = self.size.ensemble if name == "MAP" else self.size.seeds
        return [self.arm(name, ARMS[name], seed) for seed in range(seeds)]

    def fit(self, arm: Arm, seed: int, *, epochs: int, start: Posterior | None = None) -> Posterior:
        with seeded(seed):
            net = UNet(width=self.size.width, depth=2)
        return fit(
            BayesianSegmenter(net, prior=arm.prior), arm.guide, self.train,
            validation=self.validation, start=start, epochs=epochs, batch_size=8,
            learning_rate=arm.learning_rate, estimator=arm.estimator,
            kl_schedule=annealing.linear(warmup=0.3, final=arm.kl_weight), seed=seed,
        )  # fmt: skip

    def _kept(self, name: str, make: Callable[[], Posterior]) -> Posterior:
        path = self.folder / name.replace(" ", "-").replace(",", "")
        if not path.exists():
            make().save(path)
        return Posterior.load(path)


def run(settings: Settings) -> dict[str, Any]:
    quick = Size(
        side=64, train=1, validation=1, test=1, shifted=1, width=2, start=2, epochs=4, seeds=1,
        ensemble=2,
    )  # fmt: skip
    size = quick if settings.quick else Size()
    folder = settings.output / ("guides-quick" if settings.quick else "guides")
    frames = Frames(folder / "frames", size)
    trained = Trained(folder / "posteriors", frames, size)
    arms, shifts = (QUICK, list(SHIFTS)[:1]) if settings.quick else (list(ARMS), list(SHIFTS))
    rows = {name: trained.all_of(name) for name in arms}
    sets = {"simulated": frames.test(), **{name: frames.shifted(name) for name in shifts}}
    tables = {}
    for name, data in sets.items():
        report = evaluate(
            rows, data, validation=frames.validation(patch=None),
            metrics=[metric for metric in METRICS if metric.name in COLUMNS],
            num_samples=4 if settings.quick else 8, num_bootstrap=50 if settings.quick else 1000,
            pair_seeds=True,
        )  # fmt: skip
        report.save(folder / "reports" / name.replace(" ", "-"))
        tables[name] = summary(report)
    tables["cost"] = costs(rows, trained, frames.test(), rounds=settings.rounds)
    text = "\n\n".join(f"### {name}\n\n{markdown(table)}" for name, table in tables.items())
    with atomic_path(folder / "results.md") as temporary:
        temporary.write_text(text + "\n")
    print(text)
    return {
        "sizes": {key: getattr(size, key) for key in Size.__dataclass_fields__},
        "arms": {name: repr(arm) for name, arm in ARMS.items()},
        "tables": {name: json.loads(table.to_json()) for name, table in tables.items()},
    }


def summary(report: Any) -> pd.DataFrame:
    """The columns of a report, and what each row gains on temperature-scaled MAP.

    A gain is the difference in NLL or AUGRC, above 0 where the row is better, with its interval
    over exposures; a share is of the gain of the ensemble of all MAP networks.
    """
    table = report.table[report.table["field"] == "all"].set_index("predictor")
    found = table[list(COLUMNS)].copy()
    differences = report.differences
    chosen = (differences["field"] == "all") & (differences["reference"] == REFERENCE)
    of_metric = differences[chosen].set_index(["metric", "predictor"])
    for metric in ("NLL", "AUGRC"):
        paired = of_metric.loc[metric].reindex(found.index)
        found[f"{metric} gain"] = -paired["difference"]
        found[f"{metric} gain, low"] = -paired["high"]
        found[f"{metric} gain, high"] = -paired["low"]
        ensemble = next(row for row in found.index if row.startswith("MAP, ensemble of"))
        found[f"{metric} share"] = found[f"{metric} gain"] / found.loc[ensemble, f"{metric} gain"]
    return found


def costs(
    rows: dict[str, list[Posterior]], trained: Trained, data: PatchDataset, *, rounds: int
) -> pd.DataFrame:
    """Processor seconds of an epoch, of what comes once besides, and of a frame by 8 draws.

    An epoch is a tenth of what a fit of fourteen takes beyond one of four; the rest comes once.
    """
    records = []
    for name, members in rows.items():
        arm, posterior = replace(ARMS[name], from_scratch=False), members[0]
        start = None if ARMS[name].from_scratch else trained.start(0)
        four, fourteen = (
            least_seconds(lambda n=n, a=arm, s=start: trained.fit(a, 0, epochs=n, start=s), rounds)
            for n in (4, 14)
        )
        epoch = (fourteen - four) / 10.0
        numbers = sum(parameter.numel() for parameter in posterior.guide.parameters())
        seconds = least_seconds(lambda p=posterior: p.predict(data.frame(0), num_samples=8), rounds)
        records.append(
            {
                "predictor": name, "parameters": numbers, "epoch [s]": epoch,
                "once [s]": max(four - 4.0 * epoch, 0.0),
                "prediction [s]": seconds,
            }
        )  # fmt: skip
    return pd.DataFrame(records).set_index("predictor")


def least_seconds(work: Callable[[], object], rounds: int) -> float:
    """The least processor time of some runs: what else the machine does hardly adds to it."""
    took = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def markdown(table: pd.DataFrame) -> str:
    return str(table.to_markdown(floatfmt=".4g"))
