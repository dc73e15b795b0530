"""``bayescr label``: exposures of one thing in, the same with their cosmic rays out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayescr._progress import track
from bayescr.cli._options import (
    Overwrite,
    Quiet,
    check_folder,
    check_output,
    shows_progress,
)
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from astropy.nddata import CCDData

    from bayescr.labels import Labels, Noise

__all__ = ["EXAMPLE", "label"]

EXAMPLE = (
    "Example:  bayescr label dark1.fits dark2.fits dark3.fits --kind darks --columns 62:346 "
    "--gain 1.8 -o labelled"
)

_KINDS = ("auto", "darks", "exposures", "spectra")
_KIND_KEYWORDS = ("IMAGETYP", "OBSTYPE", "OBJECT")
_GAIN_KEYWORDS = ("EGAIN", "CCDGAIN", "ATODGAIN")  # electrons per count; GAIN may be an index
_SECTION_KEYWORDS = ("DATASEC", "TRIMSEC", "BIASSEC")  # of the file, not of what was cut from it
_SUFFIX = re.compile(r"\.(fits?|fts)(\.(gz|fz))?$", re.IGNORECASE)
_MOST_FALSE = 0.03  # of the events


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
    ] = 6.0,
    grow_sigma: Annotated[float, typer.Option(help="What each of its pixels must exceed.")] = 3.0,
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
    targets = _targets(exposures, output, overwrite=overwrite)

    from bayescr.labels import write_labels

    if from_dq:
        found = _flagged(exposures, extension)
    else:
        section = (_span("rows", rows), _span("columns", columns))
        noise = _noise(flat, bias, section, gain)
        show = shows_progress(quiet=quiet)
        found = [[] for _ in exposures]
        for chip in _chips(exposures[0], extension):
            frames = [_read(path, chip, section, noise) for path in exposures]
            with track("label", len(frames), show=show) as advance:
                several = _search(
                    _kind(kind, frames),
                    frames,
                    splits=tuple(split or ()),
                    use_wcs=wcs,
                    thresholds={"seed_sigma": seed_sigma, "grow_sigma": grow_sigma},
                    progress=lambda done: advance(),
                )
            for chips, one in zip(found, several, strict=True):
                known = noise or _header_noise(one.frame)
                chips.append(dataclasses.replace(one, noise=known) if known else one)
    for chips, target in zip(found, targets, strict=True):
        write_labels(chips, target, overwrite=overwrite)
    _tell(targets, found, output, overwrite=overwrite)


def _targets(exposures: list[Path], folder: Path, *, overwrite: bool) -> list[Path]:
    stems = [_SUFFIX.sub("", path.name) for path in exposures]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise BayescrError(
            f"two exposures are named '{twice}' and would share a file: each must be given once; "
            "rename one if they differ"
        )
    check_folder(folder)
    targets = [folder / f"{stem}.fits" for stem in stems]
    for target in (*targets, folder / "labels.csv"):
        check_output(target, overwrite=overwrite)
    return targets


def _span(name: str, text: str | None) -> slice:
    """``"62:346"`` -> slice(62, 346); all where nothing is given."""
    if text is None:
        return slice(None)
    start, _, stop = text.partition(":")
    if not (start.strip().isdecimal() and stop.strip().isdecimal() and int(start) < int(stop)):
        raise BayescrError(f"{name} are '{text}': expected first:last+1, as in 62:346")
    return slice(int(start), int(stop))


def _chips(path: Path, extension: str | None) -> list[int | str | tuple[str, int]]:
    from bayescr.data import image_extensions

    return [extension] if extension is not None else list(image_extensions(path))


def _read(
    path: Path,
    extension: int | str | tuple[str, int] | None,
    section: tuple[slice, slice],
    noise: Noise | None,
) -> CCDData:
    """A frame's imaged section, in electrons where the gain is known."""
    from astropy import units as u

    from bayescr.data import read_frame

    frame = read_frame(path, extension=extension)
    known = noise or _header_noise(frame)
    if frame.unit == u.adu and known is not None:
        frame = read_frame(path, extension=extension, gain=known.gain)
    for name, span, side in zip(("rows", "columns"), section, frame.shape, strict=True):
        if span.stop is not None and span.stop > side:
            raise BayescrError(
                f"{name} are {span.start}:{span.stop} but '{path}' has {side}: expected a section "
                "within it"
            )
    if section != (slice(None), slice(None)):
        frame = frame[section]
        for keyword in _SECTION_KEYWORDS:
            frame.header.remove(keyword, ignore_missing=True)
    return frame


def _noise(
    flats: list[Path] | None,
    biases: list[Path] | None,
    section: tuple[slice, slice],
    gain: float | None,
) -> Noise | None:
    """What was given, or what flats and biases show; None where neither is."""
    from bayescr.data import read_frame
    from bayescr.labels import Noise, measure_noise

    if flats or biases:
        if gain is not None:
            raise BayescrError("--gain and --flat exclude one another: give one of them")
        frames = [[read_frame(path, unit="adu", gain=1.0)[section] for path in paths or ()]
                  for paths in (flats, biases)]  # fmt: skip
        return measure_noise(*frames)
    return None if gain is None else Noise(gain=gain)


def _header_noise(frame: CCDData) -> Noise | None:
    """Keywords that mean electrons per count wherever they occur; GAIN does not."""
    from bayescr._checks import is_number
    from bayescr.labels import Noise

    for keyword in _GAIN_KEYWORDS:
        value = frame.header.get(keyword)
        if is_number(value) and value > 0:
            return Noise(gain=float(value))
    return None


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


def _flagged(exposures: list[Path], extension: str | None) -> list[list[Labels]]:
    from bayescr.labels import labels_from_dq

    return [
        [labels_from_dq(path, extension=chip) for chip in _chips(path, extension)]
        for path in exposures
    ]


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
    if control > _MOST_FALSE * events:
        worst = table["control_events"].idxmax()
        typer.echo(
            f"warning: {control} of {events} events may be false, most of them in '{worst}' "
            f"({table['control_events'].max()}): more than {_MOST_FALSE:.0%}; look at it, leave it "
            "out, or raise --seed-sigma",
            err=True,
        )
