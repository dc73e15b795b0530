"""``bayescr label``: exposures of one thing in, the same with their cosmic rays out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayescr._progress import track
from bayescr.cli._frames import (
    check_targets,
    given_noise,
    object_name,
    set_field,
    span,
    stem,
    unique_stems,
    warn_of_false,
)
from bayescr.cli._options import Overwrite, Quiet, check_folder, shows_progress
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from astropy.nddata import CCDData

    from bayescr.labels import Labels
    from bayescr.labels._reading import Section

__all__ = ["EXAMPLE", "label"]

EXAMPLE = (
    "Example:  bayescr label dark1.fits dark2.fits dark3.fits --kind darks --columns 62:346 "
    "--gain 1.8 -o labelled"
)

_KINDS = ("auto", "darks", "exposures", "spectra")
_KIND_KEYWORDS = ("IMAGETYP", "OBSTYPE", "OBJECT")
_SEED_SIGMA, _GROW_SIGMA = 6.0, 3.0


def label(
    exposures: Annotated[
        list[Path],
        typer.Argument(
            help="FITS files: three or more exposures of one field, of one slit, or in the dark.",
            metavar="EXPOSURE",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the FITS files and labels.csv.")
    ],
    kind: Annotated[
        str,
        typer.Option(help="darks, exposures, spectra, or auto: darks if the headers say so."),
    ] = "auto",
    from_dq: Annotated[
        bool,
        typer.Option("--from-dq", help="Take Hubble's DQ flags instead; one exposure will do."),
    ] = False,
    columns: Annotated[str | None, typer.Option(help="Imaged columns, as in 62:346.")] = None,
    rows: Annotated[str | None, typer.Option(help="Imaged rows, likewise.")] = None,
    extension: Annotated[
        str | None, typer.Option(help="1, SCI or SCI,2. Default: every SCI, else the first image.")
    ] = None,
    split: Annotated[
        list[int] | None,
        typer.Option(help="Of darks: imaged column at which another amplifier begins; repeatable."),
    ] = None,
    gain: Annotated[float | None, typer.Option(help="Electrons per count.")] = None,
    flat: Annotated[
        list[Path] | None, typer.Option(help="Or: two or more flats to measure it; repeatable.")
    ] = None,
    bias: Annotated[list[Path] | None, typer.Option(help="And as many biases; repeatable.")] = None,
    seed_sigma: Annotated[
        float, typer.Option(help="What an event's brightest pixel must exceed.")
    ] = _SEED_SIGMA,
    grow_sigma: Annotated[
        float, typer.Option(help="What each of its pixels must exceed.")
    ] = _GROW_SIGMA,
    wcs: Annotated[bool, typer.Option(help="Whether to align by the headers' WCS first.")] = True,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Find the cosmic rays of exposures by one another: SCI, DQ, CRMASK, CRVALID, CRCONF, CRCHARGE.

    What cannot be decided is 0 in CRVALID. labels.csv counts, for every exposure, the events and
    those that the same search finds where there are none, with the residual's sign flipped.
    """
    if kind not in _KINDS:
        from bayescr._names import unknown_name

        raise unknown_name("--kind", kind, list(_KINDS))
    section = (span("--rows", rows), span("--columns", columns))
    stems = unique_stems(exposures, "exposures")
    check_folder(output)
    targets = [output / f"{name}.fits" for name in stems]
    sources = [*exposures, *(flat or ()), *(bias or ())]
    check_targets([*targets, output / "labels.csv"], sources, overwrite=overwrite)

    from bayescr.labels import write_labels
    from bayescr.labels._frames import exposure_time
    from bayescr.labels._reading import read_exposure

    if from_dq:
        given = {
            "--kind": kind != "auto",
            "--gain": gain is not None,
            "--flat": flat,
            "--bias": bias,
            "--split": split,
            "--seed-sigma": seed_sigma != _SEED_SIGMA,
            "--grow-sigma": grow_sigma != _GROW_SIGMA,
            "--no-wcs": not wcs,
        }
        _check_none_given([option for option, value in given.items() if value])
        found = [_flagged(path, extension, section) for path in exposures]
    else:
        noise = given_noise(flat, bias, section, gain)
        show = shows_progress(quiet=quiet)
        found = [[] for _ in exposures]
        for chip in _chips(exposures[0], extension):
            read = [
                read_exposure(path, extension=chip, section=section, noise=noise)
                for path in exposures
            ]
            frames = [one.frame for one in read]
            this_kind = _kind(kind, frames)
            if this_kind == "darks":
                for frame, path in zip(frames, exposures, strict=True):
                    exposure_time(frame, f"'{path}'")
            _name_field(frames, exposures)
            with track("label", len(frames), show=show) as advance:
                several = _search(
                    this_kind,
                    frames,
                    splits=tuple(split or ()),
                    use_wcs=wcs,
                    thresholds={"seed_sigma": seed_sigma, "grow_sigma": grow_sigma},
                    progress=lambda done: advance(),
                )
            for chips, one, exposure in zip(found, several, read, strict=True):
                chips.append(dataclasses.replace(one, noise=exposure.noise))
    for chips, target in zip(found, targets, strict=True):
        write_labels(chips, target, overwrite=overwrite)
    _tell(targets, found, output, overwrite=overwrite)


def _check_none_given(options: list[str]) -> None:
    if options:
        raise BayescrError(
            f"--from-dq takes the flags as they are: leave {', '.join(options)} out, or --from-dq"
        )


def _chips(path: Path, extension: str | None) -> list[int | str | tuple[str, int]]:
    from bayescr.data import image_extensions

    return [extension] if extension is not None else list(image_extensions(path))


def _name_field(frames: list[CCDData], paths: list[Path]) -> None:
    """One field for all: they saw the same."""
    names = {object_name(frame.header) for frame in frames}
    common = names.pop() if len(names) == 1 else ""
    for frame in frames:
        set_field(frame.header, common or stem(paths[0]))


def _kind(kind: str, frames: list[CCDData]) -> str:
    if kind != "auto":
        return kind
    dark = [
        any("dark" in str(frame.header.get(keyword, "")).lower() for keyword in _KIND_KEYWORDS)
        for frame in frames
    ]
    if any(dark) and not all(dark):
        raise BayescrError(
            f"{sum(dark)} of {len(dark)} exposures are darks by their headers: give darks or "
            "exposures of a field, or say which with --kind"
        )
    return "darks" if all(dark) else "exposures"


def _search(
    kind: str,
    frames: list[CCDData],
    *,
    splits: tuple[int, ...],
    use_wcs: bool,
    thresholds: dict[str, float],
    progress: Callable[[int], object],
) -> list[Labels]:
    from bayescr import labels

    if kind == "darks":
        return labels.label_darks(frames, splits=splits, progress=progress, **thresholds)
    if splits:
        raise BayescrError(f"--split is for darks but these are {kind}: leave it out")
    if kind == "spectra":
        return labels.label_spectra(frames, progress=progress, **thresholds)
    return labels.label_exposures(frames, use_wcs=use_wcs, progress=progress, **thresholds)


def _flagged(path: Path, extension: str | None, section: Section) -> list[Labels]:
    from bayescr.labels import labels_from_dq

    found = [
        labels_from_dq(path, extension=chip, section=section) for chip in _chips(path, extension)
    ]
    for one in found:
        set_field(one.frame.header, object_name(one.frame.header) or stem(path))
    return found


def _tell(targets: list[Path], found: list[list[Labels]], folder: Path, *, overwrite: bool) -> None:
    """Write the table, print it, and warn of too many false events."""
    from bayescr._files import atomic_path
    from bayescr.labels import label_table

    names = {
        target.stem if len(chips) == 1 else f"{target.stem},{number}": one
        for target, chips in zip(targets, found, strict=True)
        for number, one in enumerate(chips, start=1)
    }
    table = label_table(names)
    with atomic_path(folder / "labels.csv", overwrite=overwrite) as path:
        table.to_csv(path, float_format="%.6g", lineterminator="\n")
    shown = table[["events", "control_events", "flagged_pixels", "valid_fraction", "sigma"]]
    typer.echo(shown.to_string(float_format="%.4g"))
    events, control = int(table["events"].sum()), int(table["control_events"].sum())
    typer.echo(f"{events} events, {control} in the sign-flipped control: {folder}")
    worst = table["control_events"].idxmax()
    warn_of_false(
        events,
        control,
        f"most of them in '{worst}' ({table['control_events'].max()}); look at it, leave it out, "
        "cut what is not imaged, such as overscan, off with --columns or --rows, or raise "
        "--seed-sigma",
    )
