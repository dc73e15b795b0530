"""``bayescr simulate``: exposures with known cosmic rays, as FITS files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayescr._progress import track
from bayescr.cli._options import Overwrite, Quiet, Seed, check_folder, shows_progress
from bayescr.errors import BayescrError

__all__ = ["EXAMPLE", "simulate"]

EXAMPLE = (
    "Example:  bayescr simulate --field gc --frames 8 --size 512 --seed 0 -o frames   |   "
    "bayescr simulate --instrument thin-ground-ccd --field open-cluster --workers 2 -o ground"
)


def simulate(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the FITS files.")],
    field: Annotated[
        list[str],
        typer.Option(
            help="extragalactic (ex), globular-cluster (gc), resolved-galaxy (rg), open-cluster, "
            "star-field, spectrum or dark; may be given several times."
        ),
    ],
    instrument: Annotated[
        str,
        typer.Option(
            help="hst-acs-wfc, hst-wfc3-uvis, thick-ground-ccd, thin-ground-ccd or lsst-itl."
        ),
    ] = "hst-acs-wfc",
    frames: Annotated[int, typer.Option(help="Exposures of each field.")] = 8,
    size: Annotated[str, typer.Option(help="Side in pixels, or HEIGHTxWIDTH.")] = "512",
    exposure_time: Annotated[
        float | None, typer.Option(help="In seconds; default: drawn as usual for the instrument.")
    ] = None,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(help="Processes; the frames do not depend on it.")] = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Simulate exposures with SCI, DQ, the truth CRMASK and a plane for each kind of defect.

    Frame k depends on the seed and k alone, not on how many frames are asked for.
    """
    shape = _parse_size(size)
    check_folder(output)

    from bayescr import simulation
    from bayescr.simulation.instruments import find_instrument
    from bayescr.simulation.series import plan_series
    from bayescr.simulation.sky import field_name

    camera = find_instrument(instrument)
    names = list(dict.fromkeys(field_name(name) for name in field))
    for name in names:  # before any is made
        plan_series(output, name, frames=frames, instrument=camera, seed=seed, overwrite=overwrite)
    show = shows_progress(quiet=quiet)
    with track("simulate", len(names) * max(frames, 1), show=show) as advance:
        for name in names:
            simulation.simulate(
                output,
                name,
                frames=frames,
                instrument=camera,
                size=shape,
                seed=seed,
                exposure_time=exposure_time,
                workers=workers,
                overwrite=overwrite,
                progress=lambda done: advance(),
            )
    typer.echo(
        f"{frames * len(names)} frame(s) of {shape[0]} x {shape[1]} pixels, {camera.name}, "
        f"{', '.join(names)}: {output}"
    )


def _parse_size(text: str) -> tuple[int, int]:
    """``"512"`` -> (512, 512), ``"2048x4096"`` -> (2048, 4096)."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise BayescrError(f"size is '{text}': expected pixels, as in 512 or 2048x4096")
    return int(sides[0]), int(sides[-1])
