"""``bayescr evaluate``: posteriors and frames with truth in, a report out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayescr._progress import track
from bayescr.cli._options import (
    Device,
    Overwrite,
    Quiet,
    Samples,
    Seed,
    check_output,
    read_data,
    shows_progress,
)
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from bayescr.data import PatchDataset
    from bayescr.inference import Posterior

__all__ = ["EXAMPLE", "evaluate"]

EXAMPLE = (
    "Example:  bayescr evaluate --data held-out --validation validation --model map "
    "--model MF=runs/mean-field --classical astroscrappy -o report"
)


def evaluate(
    data: Annotated[
        Path,
        typer.Option(
            help="Folder of FITS files with SCI, DQ and CRMASK, or an index, .csv or .parquet: its "
            "split test."
        ),
    ],
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            help="Posterior: its folder or file, or NAME=PATH to name its row; may be given "
            "several times. Several of one NAME are one row: the same arm from several seeds.",
            metavar="[NAME=]PATH",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")],
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Folder of other frames, or an index with a split validation, to fit the "
            "temperature of MAP rows on."
        ),
    ] = None,
    shifted: Annotated[
        Path | None,
        typer.Option(help="Folder of frames of another kind: does the uncertainty tell?"),
    ] = None,
    classical: Annotated[
        list[str] | None,
        typer.Option(help="A classical row: astroscrappy, lacosmic, deepcr or cosmic-conn."),
    ] = None,
    prior: Annotated[
        list[str] | None,
        typer.Option(
            help="Prior of a posterior that was trained with your own code: of all such rows, or "
            "of NAME's; may be given several times.",
            metavar="[NAME=]TEXT",
        ),
    ] = None,
    likelihood: Annotated[
        list[str] | None, typer.Option(help="Likelihood, the same way.", metavar="[NAME=]TEXT")
    ] = None,
    guide: Annotated[
        list[str] | None, typer.Option(help="Guide, the same way.", metavar="[NAME=]TEXT")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Row that the others are compared with (default: MAP's).")
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Resamples of the exposures behind the intervals; 0: none.")
    ] = 1000,
    samples: Samples = 16,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Compare posteriors on whole frames: prints the table, writes the report.

    Rows are named after the posteriors' folders unless you name them.
    """
    check_output(output / "manifest.json", overwrite=overwrite)
    paths = _named(model)

    from bayescr import evaluation
    from bayescr._names import resolve
    from bayescr.cli._posteriors import load_posterior
    from bayescr.evaluation.classical import FAMILY

    both = sorted(set(paths) & set(classical or ()))
    if both:
        raise BayescrError(f"a model and a classical method are named '{both[0]}': rename one")
    methods = {name: resolve(name, FAMILY, kind="method")() for name in classical or ()}
    code = _own(paths, prior=prior, likelihood=likelihood, guide=guide)
    posteriors = {
        name: [load_posterior(path, device=device, **code[path]) for path in several]
        for name, several in paths.items()
    }
    scaling = next(iter(posteriors.values()))[0].scaling

    def read(path: Path, split: str) -> PatchDataset:
        return read_data(path, split=split, patch=None, scaling=scaling, in_memory=False)

    dataset = read(data, "test")
    validation_data = None if validation is None else read(validation, "validation")
    shifted_data = None if shifted is None else read(shifted, "test")
    for name, several in posteriors.items():
        for posterior in several:
            _warn_of_training_data(name, posterior, dataset)
    total = len(dataset) + len(shifted_data or ())
    with track("evaluate", total, show=shows_progress(quiet=quiet)) as advance:
        report = evaluation.evaluate(
            {**posteriors, **methods},
            dataset,
            validation=validation_data,
            shifted=shifted_data,
            reference=reference,
            num_samples=samples,
            num_bootstrap=bootstrap,
            seed=seed,
            progress=lambda done, total: advance(),
        )
    report.save(output)
    typer.echo(str(report))
    typer.echo(f"report: {output}: open report.html; report.md has every field")


def _named(models: Sequence[str]) -> dict[str, list[Path]]:
    """Name of the row -> posteriors; names not given are folders' and made unique."""
    given = [_split(text) for text in models]
    taken = Counter(name.casefold() for name, _ in given if name)
    first: dict[str, str] = {}
    for name, _ in given:
        if name and first.setdefault(name.casefold(), name) != name:
            raise BayescrError(
                f"rows '{first[name.casefold()]}' and '{name}' differ in case alone: give each a "
                "name of its own"
            )
    named: dict[str, list[Path]] = {}
    for name, path in given:
        named.setdefault(name or _unique(_folder_name(path), taken), []).append(path)
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


def _own(
    rows: Mapping[str, Sequence[Path]], **given: Sequence[str] | None
) -> dict[Path, dict[str, str]]:
    """Path -> the parts that are the user's own as the options name them.

    An option without a row's name counts for all posteriors that need it.
    """
    from bayescr.cli._posteriors import own_code

    needed = {path: own_code(path)[0] for several in rows.values() for path in several}
    chosen: dict[Path, dict[str, str]] = {path: {} for path in needed}
    for part, texts in given.items():
        for text in sorted(texts or (), key=lambda text: _row_of(text, rows) is not None):
            row = _row_of(text, rows)
            paths = [path for path in needed if part in needed[path]] if row is None else rows[row]
            if not paths:
                raise BayescrError(
                    f"--{part} '{text}' is for posteriors that were trained with your own code: "
                    "none of these was; leave it out"
                )
            for path in paths:  # those with the name of a row come last, and count
                chosen[path][part] = text if row is None else text.partition("=")[2]
    return chosen


def _row_of(text: str, rows: Mapping[str, Any]) -> str | None:
    """The row that ``NAME=TEXT`` is for; None: any. A table has equals signs, too."""
    name, equals, _ = text.partition("=")
    return name if equals and name in rows else None


def _warn_of_training_data(name: str, posterior: Posterior, dataset: PatchDataset) -> None:
    seen = set(posterior.provenance.get("train_exposures", ()))
    shared = seen & set(dataset.exposures)
    if shared:
        typer.echo(
            f"warning: {len(shared)} of the exposures have the names of exposures that '{name}' "
            f"was trained on, such as '{min(shared)}': scores on training data are too good",
            err=True,
        )
