"""``bayescr evaluate``: posteriors and frames with truth in, a report out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayescr._progress import track
from bayescr.cli._options import (
    Device,
    Overwrite,
    Quiet,
    Samples,
    Seed,
    check_output,
    shows_progress,
)
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from bayescr.data import PatchDataset
    from bayescr.inference import Posterior

__all__ = ["EXAMPLE", "evaluate"]

EXAMPLE = (
    "Example:  bayescr evaluate --data held-out --model map --model MF=runs/mean-field -o report"
)


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of FITS files with SCI, DQ and CRMASK.")],
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            help="Posterior: its folder or file, or NAME=PATH to name its row; may be given "
            "several times.",
            metavar="[NAME=]PATH",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")],
    samples: Samples = 16,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Compare posteriors on whole frames: prints the table, writes the report.

    Rows are named after the posteriors' folders unless you name them.
    """
    check_output(output / "report.csv", overwrite=overwrite)
    paths = _named(model)

    from bayescr import evaluation
    from bayescr.data import PatchDataset
    from bayescr.inference import Posterior

    posteriors = {name: Posterior.load(path, device=device) for name, path in paths.items()}
    scaling = next(iter(posteriors.values())).scaling
    dataset = PatchDataset.from_directory(data, patch=None, scaling=scaling)
    for name, posterior in posteriors.items():
        _warn_of_training_data(name, posterior, dataset)
    with track("evaluate", len(dataset), show=shows_progress(quiet=quiet)) as advance:
        report = evaluation.evaluate(
            posteriors,
            dataset,
            num_samples=samples,
            seed=seed,
            progress=lambda done, total: advance(),
        )
    report.save(output)
    typer.echo(report.to_markdown())
    typer.echo(f"report: {output}")


def _named(models: Sequence[str]) -> dict[str, Path]:
    """Name of the row -> posterior; names not given are folders' and made unique."""
    given = [_split(text) for text in models]
    taken = Counter(name.casefold() for name, _ in given if name)
    named = {}
    for name, path in given:
        if name and taken[name.casefold()] > 1:
            raise BayescrError(f"two models are named '{name}': give each a name of its own")
        named[name or _unique(_folder_name(path), taken)] = path
    return named


def _split(text: str) -> tuple[str, Path]:
    """``"NAME=PATH"`` -> (NAME, PATH); a path that exists is a path, whatever is in it."""
    name, equals, path = text.partition("=")
    return ("", Path(text)) if not equals or Path(text).exists() else (name, Path(path))


def _folder_name(path: Path) -> str:
    """``runs/map``, ``runs/map/posterior.safetensors`` and ``runs/map.safetensors`` -> ``map``."""
    path = path.resolve()
    if path.suffix != ".safetensors":
        return path.name
    return path.parent.name if path.stem == "posterior" else path.stem


def _unique(name: str, taken: Counter[str]) -> str:
    """The name, or with the first number that nobody has; now it is taken."""
    candidate, number = name, 1
    while taken[candidate.casefold()]:
        number += 1
        candidate = f"{name}-{number}"
    taken[candidate.casefold()] = 1
    return candidate


def _warn_of_training_data(name: str, posterior: Posterior, dataset: PatchDataset) -> None:
    seen = set(posterior.provenance.get("train_exposures", ()))
    shared = seen & set(dataset.exposures)
    if shared:
        typer.echo(
            f"warning: {len(shared)} of the exposures have the names of exposures that '{name}' "
            f"was trained on, such as '{min(shared)}': scores on training data are too good",
            err=True,
        )
