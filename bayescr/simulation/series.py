"""Series of exposures in files, made by one process or several: the same bytes either way."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from astropy.io import fits

from bayescr._checks import check_count
from bayescr._files import write_fits
from bayescr._planes import plane_hdus
from bayescr._seeds import child_seed
from bayescr.errors import BayescrError
from bayescr.simulation.exposures import SimulatedExposure, check_seed, simulate_exposure
from bayescr.simulation.instruments import Instrument, find_instrument
from bayescr.simulation.sky import field_name

__all__ = ["PLANES", "frame_seed", "plan_series", "simulate", "write_exposure"]

PLANES = {
    "hot": "HOT",
    "warm": "WARM",
    "dead": "DEAD",
    "bad_column": "BADCOL",
    "saturated": "SATURATED",
    "bleed": "BLEED",
    "trail": "TRAIL",
}
"""Kind of defect -> name of its plane in a file."""


def write_exposure(
    exposure: SimulatedExposure, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write an exposure as FITS, with a plane for all that is true about it.

    SCI is the frame (float32, electrons), DQ what a pipeline knows (int16), CRMASK the truth
    (uint8) and CRCHARGE the cosmic rays' electrons (float32); CRVALID (uint8) is there where some
    of the truth is undecided, 0 there. HOT, WARM, DEAD, BADCOL, SATURATED,
    BLEED and TRAIL (uint8) are all that is no cosmic ray, known or not.
    The primary header says how the frame was made (INSTRUME, FIELD, SEED, EXPTIME, FILTER, ...);
    SCI carries the WCS. No date is written: the same exposure gives the same bytes.

    Args:
        exposure: What to write.
        path: The file; ``.fits.gz`` compresses it.
        overwrite: Whether an existing file may be replaced.
    """
    wcs = exposure.frame.wcs
    science = fits.Header() if wcs is None else wcs.to_header()
    science["BUNIT"] = "ELECTRONS"
    planes = {
        "SCI": exposure.frame.data,
        "DQ": exposure.dq,
        "CRMASK": exposure.cosmic_rays,
        "CRCHARGE": exposure.charge,
        "CRVALID": None if exposure.valid.all() else exposure.valid,
        **{name: exposure.defects[kind] for kind, name in PLANES.items()},
    }
    primary = fits.PrimaryHDU(header=exposure.frame.header)
    hdus = fits.HDUList([primary, *plane_hdus(planes, science=science)])
    write_fits(hdus, path, overwrite=overwrite)


def simulate(
    folder: str | os.PathLike[str],
    field: str,
    *,
    frames: int,
    instrument: str | Instrument = "hst-acs-wfc",
    size: int | tuple[int, int] = 512,
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> list[Path]:
    """Simulate exposures into ``folder/<field>_<instrument>_<seed>_<index>.fits``.

    Frame k depends on ``seed`` and k alone, not on how many frames are asked for, nor on how many
    processes make them. A file appears when it is complete; interrupted, a series leaves whole
    files only.

    Args:
        folder: Made when missing.
        field: As for ``simulate_exposure``.
        frames: How many.
        instrument: As for ``simulate_exposure``.
        size: As for ``simulate_exposure``.
        seed: Of the series.
        workers: Processes. With more than one, a script must keep what it runs under
            ``if __name__ == "__main__":``, since each process imports it.
        overwrite: Whether existing files may be replaced.
        progress: Called with the number of frames finished, after each.
        **options: Further arguments of ``simulate_exposure``.

    Returns:
        The paths, in order.

    Raises:
        BayescrError: If an argument cannot be used, or a file exists and may not be replaced.
    """
    name = field_name(field)
    check_count("", frames=frames, workers=workers)
    paths = plan_series(
        folder, name, frames=frames, instrument=instrument, seed=seed, overwrite=overwrite
    )
    make = partial(
        _make, name, instrument=instrument, size=size, overwrite=overwrite, options=options
    )
    tasks = [(path, frame_seed(seed, index)) for index, path in enumerate(paths)]
    for done, _ in enumerate(_run(make, tasks, min(workers, frames)), start=1):
        if progress is not None:
            progress(done)
    return paths


def plan_series(
    folder: str | os.PathLike[str],
    field: str,
    *,
    frames: int,
    instrument: str | Instrument,
    seed: int,
    overwrite: bool,
) -> list[Path]:
    """The paths of a series, none of which may exist unless they may be replaced."""
    stem = f"{field_name(field)}_{find_instrument(instrument).name}_{seed}"
    paths = [Path(folder) / f"{stem}_{index:04d}.fits" for index in range(frames)]
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise BayescrError(
            f"'{existing[0]}' exists already: choose another folder or seed, or allow overwriting"
        )
    return paths


def frame_seed(seed: int, index: int) -> int:
    """The seed of frame ``index`` of a series."""
    check_seed(seed)
    return child_seed(seed, index)


def _make(
    field: str,
    task: tuple[Path, int],
    *,
    instrument: str | Instrument,
    size: int | tuple[int, int],
    overwrite: bool,
    options: dict[str, Any],
) -> None:
    """Simulate and write one frame."""
    path, seed = task
    exposure = simulate_exposure(field, instrument=instrument, size=size, seed=seed, **options)
    write_exposure(exposure, path, overwrite=overwrite)


def _run(
    make: Callable[[tuple[Path, int]], None], tasks: list[tuple[Path, int]], workers: int
) -> Iterator[None]:
    """Do all tasks, and say each time when one is done."""
    if workers == 1:
        yield from map(make, tasks)
        return
    # Fresh processes: forks of one that has threads, as torch's, may hang.
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_ignore_interrupts
    )
    try:
        for future in as_completed([pool.submit(make, task) for task in tasks]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # waits for the frames that are being made


def _ignore_interrupts() -> None:
    """Ctrl-C goes to all processes of a terminal: the first one tells the others to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
