"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["atomic_path", "write_fits"]


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it there only if the block succeeds.

    The temporary name ends in the name of the target, so that writers which look at the
    suffix (``.fits.gz``) behave as they would have.

    Args:
        path: The file to write. Its folder is made when missing.
        overwrite: Whether an existing file may be replaced.

    Raises:
        BayescrError: If the target exists and may not be replaced, is a folder, or its folder
            cannot be written to.
    """
    target = Path(path)
    if target.is_dir():
        raise BayescrError(f"cannot write '{target}': it is a folder; give a file name")
    if target.exists() and not overwrite:
        raise BayescrError(f"'{target}' exists already; choose another name or allow overwriting")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=target.parent))
    except OSError as error:
        raise BayescrError(
            f"cannot write '{target}': {error.strerror or error}; choose a folder you may write to"
        ) from error
    temporary = folder / target.name
    try:
        yield temporary
        temporary.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_fits(
    hdus: fits.HDUList,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    output_verify: str = "exception",
) -> None:
    """Write FITS atomically; ``.gz`` compresses, without the time: same data, same bytes.

    Args:
        hdus: What to write.
        path: The file.
        overwrite: Whether an existing file may be replaced.
        output_verify: As in `astropy.io.fits.HDUList.writeto`.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        if temporary.suffix != ".gz":
            hdus.writeto(temporary, output_verify=output_verify)
            return
        with (
            temporary.open("wb") as file,
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream,
        ):
            hdus.writeto(stream, output_verify=output_verify)
