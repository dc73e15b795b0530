"""Options that several commands share, and what they share before the work starts."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from bayescr.data import PatchDataset

__all__ = [
    "Device",
    "OwnGuide",
    "OwnLikelihood",
    "OwnPrior",
    "Overwrite",
    "Precision",
    "Quiet",
    "Samples",
    "Seed",
    "check_folder",
    "check_output",
    "chosen",
    "read_data",
    "shows_progress",
]

Seed = Annotated[int, typer.Option(min=0, help="Of all random numbers: same seed, same result.")]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1, ..., or auto: a GPU if there is one.")
]
Precision = Annotated[str, typer.Option(help="Of the convolutions: float32, bfloat16 or auto.")]
Samples = Annotated[int, typer.Option(min=1, help="Posterior draws behind each prediction.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bar.")]
OwnPrior = Annotated[
    str | None,
    typer.Option("--prior", help="The prior it was trained with, if that is your own code."),
]
OwnLikelihood = Annotated[
    str | None, typer.Option("--likelihood", help="The likelihood, if that is your own code.")
]
OwnGuide = Annotated[
    str | None, typer.Option("--guide", help="The guide, if that is your own code.")
]

_EXAMPLES = {
    "guide": '{name = "low-rank", rank = 8}',
    "prior": '{name = "normal", scale = 0.1}',
    "likelihood": '{name = "my_likelihood.py:Flipped", rate = 0.02}',
    "KL schedule": '{name = "linear", warmup = 0.5}',
    "estimator": '{name = "my_estimator.py:Mine", draws = 2}',
}


def chosen(text: str, family: Mapping[str, Any], *, kind: str) -> Any:
    """What an option names, made: ``low-rank``, ``mine.py:Guide`` or either with arguments.

    Arguments come as a TOML table, the way an experiment's file has them:
    ``{name = "low-rank", rank = 8}``.

    Raises:
        BayescrError: If it cannot be read or made.
    """
    from bayescr._names import make

    if text.lstrip().startswith("{"):
        table = _table(text, kind)
        return make(table.pop("name"), family, kind=kind, arguments=table)
    if "(" in text and ":" not in text:
        raise _unreadable(text, kind, "that is Python")
    return make(text, family, kind=kind)


def _table(text: str, kind: str) -> dict[str, Any]:
    try:
        read = tomllib.loads(f"it = {text}")
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(text, kind, str(error)) from error
    table: dict[str, Any] = read.pop("it")
    if read or not isinstance(table.get("name"), str):
        raise _unreadable(text, kind, "it has no name")
    return table


def _unreadable(text: str, kind: str, reason: str) -> BayescrError:
    return BayescrError(
        f'cannot read {kind} "{text}" ({reason}): expected a name, or in single quotes a table '
        f"with its arguments, such as '{_EXAMPLES[kind]}'"
    )


def read_data(path: Path, *, split: str, **settings: Any) -> PatchDataset:
    """The frames of a folder; of an index, a .csv or .parquet file, those of one split.

    Args:
        path: The folder or file.
        split: Which, if it is an index.
        **settings: Of `PatchDataset.from_directory` and `from_index`.
    """
    from bayescr.data import PatchDataset
    from bayescr.data.index import is_index

    if is_index(path) and not path.is_dir():
        return PatchDataset.from_index(path, split=split, **settings)
    return PatchDataset.from_directory(path, **settings)


def shows_progress(*, quiet: bool) -> bool:
    """Whether to draw bars: for eyes only, so that logs and pipes stay clean."""
    return not quiet and sys.stderr.isatty()


def check_output(path: Path, *, overwrite: bool) -> None:
    """Find out before the work, and without touching the disk, whether a file can be written.

    Raises:
        BayescrError: If it exists and may not be replaced, or its folder cannot be written to.
    """
    if path.is_dir():
        raise BayescrError(f"cannot write '{path}': it is a folder; give a file name")
    if path.exists() and not overwrite:
        raise BayescrError(f"'{path}' exists already: choose another name or give --overwrite")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """The same for files in a folder, which may be missing.

    Raises:
        BayescrError: If the folder cannot be made or written to.
    """
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir():
        raise BayescrError(f"cannot write in '{folder}': '{nearest}' is a file, not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise BayescrError(
            f"cannot write in '{folder}': no permission in '{nearest}'; choose another folder"
        )
