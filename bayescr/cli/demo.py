"""The demonstration: simulate, train four guides, predict, compare, in a few minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bayescr._progress import track
from bayescr._random import seeded
from bayescr.data import PatchDataset, read_frame
from bayescr.errors import BayescrError
from bayescr.evaluation import Report, evaluate
from bayescr.inference import Posterior, annealing, fit, guides
from bayescr.inference.products import write_products
from bayescr.models import BayesianSegmenter, UNet, likelihoods, priors
from bayescr.simulation import INSTRUMENTS, simulate

__all__ = ["DemoSettings", "run_demo"]


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Sizes of the demonstration; frames are counted per field.

    A MAP fit of ``map_epochs`` is the start of every guide, MAP itself included, which all train
    on for ``guide_epochs``: the rows of the table have cost the same.
    """

    size: int = 256
    train: int = 20
    validation: int = 3
    test: int = 6
    width: int = 12
    patch: int = 64
    map_epochs: int = 30
    guide_epochs: int = 20
    num_samples: int = 16
    num_bootstrap: int = 500


def run_demo(
    output: Path,
    *,
    seed: int = 0,
    settings: DemoSettings | None = None,
    device: str = "cpu",
    show_progress: bool = True,
) -> Report:
    """Simulate frames, train MAP, mean-field, low-rank and MC-dropout, and compare them.

    Args:
        output: Folder for everything: ``frames/``, ``mean-field/``, ``report/``, a predicted
            FITS file and its picture.
        seed: The same seed on the same machine gives the same report.
        settings: Sizes; the defaults take a few minutes on two cores.
        device: Where to train and predict.
        show_progress: Show progress bars and what happens.

    Raises:
        BayescrError: If ``output`` holds the frames of a demonstration of another size or seed.
    """
    settings = settings or DemoSettings()
    console = Console(stderr=True, quiet=not show_progress)

    console.print("[bold]1/4[/] simulating exposures of three fields with cosmic-ray tracks")
    folders = {}
    for index, (part, count) in enumerate(
        {"train": settings.train, "validation": settings.validation, "test": settings.test}.items()
    ):
        folders[part] = output / "frames" / part  # no two parts or seeds share a seed
        _simulate(folders[part], count, settings.size, 3 * seed + index, show=show_progress)
    train = PatchDataset.from_directory(folders["train"], patch=settings.patch, augment=True)
    validation = PatchDataset.from_directory(folders["validation"], patch=settings.patch)
    whole = PatchDataset.from_directory(folders["validation"], patch=None, in_memory=False)
    test = PatchDataset.from_directory(folders["test"], patch=None, in_memory=False)

    console.print("[bold]2/4[/] training four guides of one model")
    with seeded(seed):
        net = UNet(width=settings.width, depth=2)
    model = BayesianSegmenter(net, prior=priors.FanInNormal(), likelihood=likelihoods.Bernoulli())
    start = fit(
        model, guides.MAP(), train, validation=validation, epochs=settings.map_epochs,
        learning_rate=1e-2, device=device, seed=seed, progress=show_progress,
    )  # fmt: skip
    rows: dict[str, guides.GuideFactory] = {
        "MAP": guides.MAP(),
        "mean-field": guides.MeanField(),
        "low-rank": guides.LowRank(),
        "MC-dropout": guides.MCDropout(),
    }
    posteriors = {
        name: fit(
            model, guide, train, validation=validation, start=start, epochs=settings.guide_epochs,
            learning_rate=5e-3, kl_schedule=annealing.linear(warmup=0.3), device=device, seed=seed,
            progress=show_progress,
        )
        for name, guide in rows.items()
    }  # fmt: skip

    console.print("[bold]3/4[/] predicting held-out exposures and comparing with the truth")
    with _steps("evaluate", len(test), show=show_progress) as progress:
        report = evaluate(
            posteriors, test, validation=whole, num_samples=settings.num_samples,
            num_bootstrap=settings.num_bootstrap, seed=seed, progress=progress,
        )  # fmt: skip
    report.save(output / "report")

    console.print("[bold]4/4[/] writing one posterior and one predicted exposure")
    posteriors["mean-field"].save(output / "mean-field")
    _predict_one(posteriors["mean-field"], folders["test"], output, settings.num_samples, seed)
    return report


def _simulate(folder: Path, count: int, size: int, seed: int, *, show: bool) -> None:
    written: set[Path] = set()
    fields = INSTRUMENTS["hst-acs-wfc"].fields
    with track(f"simulate {folder.name}", count * len(fields), show=show) as advance:
        for field in fields:
            written |= set(
                simulate(
                    folder, field, frames=count, size=size, seed=seed, overwrite=True,
                    progress=lambda done: advance(1),
                )
            )  # fmt: skip
    others = sorted(set(folder.glob("*.fits*")) - written)
    if others:
        raise BayescrError(
            f"'{others[0]}' is not a frame of this demonstration, which would train on it too: "
            "choose another --output"
        )


def _predict_one(
    posterior: Posterior, folder: Path, output: Path, num_samples: int, seed: int
) -> None:
    """The first held-out cluster exposure, as FITS maps and as a picture."""
    path = sorted(folder.glob("globular-cluster*.fits"))[0]
    prediction = posterior.predict(read_frame(path), num_samples=num_samples, seed=seed)
    write_products(path, {1: prediction}, output / "predicted.fits", overwrite=True)
    prediction.plot().savefig(output / "predicted.png", dpi=110)


@contextmanager
def _steps(name: str, total: int, *, show: bool) -> Iterator[Callable[[int, int], None]]:
    with track(name, total, show=show) as advance:
        yield lambda done, of: advance(1)
