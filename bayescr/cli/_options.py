"""Options that several commands share, and what they share before the work starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bayescr.errors import BayescrError

__all__ = [
    "Device",
    "Overwrite",
    "Precision",
    "Quiet",
    "Samples",
    "Seed",
    "check_folder",
    "check_output",
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
