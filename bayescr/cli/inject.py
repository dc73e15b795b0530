"""``bayescr inject``: real tracks into real or simulated skies, with exact truth."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from bayescr._progress import track
from bayescr.cli._options import (
    Overwrite,
    Quiet,
    Seed,
    check_folder,
    check_output,
    shows_progress,
)
from bayescr.cli._own_hits import WAYS, find_own_hits
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from astropy.nddata import CCDData

    from bayescr.injection import TrackCatalogue

__all__ = ["EXAMPLE", "SeveralFiles", "inject"]

EXAMPLE = (
    "Example:  bayescr inject --sky sky/*.fits --gain 1.8 --tracks darks/*.fits --track-gain 1.2 "
    "--number 250 --part test -o test-frames"
)

_PARTS = ("all", "train", "test")


class SeveralFiles(TyperCommand):
    """Lets an option of files take as many as follow it, as a shell's ``*`` gives them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before every file."""
        greedy = {"--sky", "--tracks", "--flat", "--bias"}
        repeated: list[str] = []
        option, count = "", 0
        for argument in args:
            if argument.startswith("-"):
                option, count = argument, 0
            elif option in greedy:
                count += 1
                repeated += [option] * (count > 1)
            repeated.append(argument)
        return super().parse_args(ctx, repeated)


def inject(
    sky: Annotated[list[Path], typer.Option(help="FITS files.", metavar="FRAME...")],
    tracks: Annotated[
        list[Path],
        typer.Option(
            help="Catalogues of tracks, exposures that `bayescr label` labelled, or three or more "
            "dark frames of one detector.",
            metavar="FILE...",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the FITS files.")],
    rate: Annotated[
        float | None,
        typer.Option(help="Tracks per cm^2 and s.  [default: that of the tracks' frames]"),
    ] = None,
    number: Annotated[int | None, typer.Option(help="Or: tracks in each frame.")] = None,
    copies: Annotated[int, typer.Option(min=1, help="Of each sky, with other tracks.")] = 1,
    part: Annotated[
        str, typer.Option(help="Of the tracks: all, or train or test, which share none.")
    ] = "all",
    train_share: Annotated[float, typer.Option(help="Of the tracks that are for training.")] = 0.8,
    threshold: Annotated[
        float, typer.Option(help="A pixel is a hit above so many sigma of its noise without it.")
    ] = 2.0,
    undecided: Annotated[
        float, typer.Option(help="From so many sigma to the threshold it is not valid.")
    ] = 0.7,
    own_hits: Annotated[
        str,
        typer.Option(
            help="How the skies' own hits are found: file (their CRMASK), exposures (three or more "
            "skies of one field), astroscrappy, or none. auto: the first of these that can be."
        ),
    ] = "auto",
    gain: Annotated[
        float | None, typer.Option(help="Of skies in counts: electrons per count.")
    ] = None,
    flat: Annotated[
        list[Path] | None, typer.Option(help="Or: flats to measure it from.", metavar="FRAME...")
    ] = None,
    bias: Annotated[
        list[Path] | None, typer.Option(help="Biases to measure it with.", metavar="FRAME...")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Imaged columns of the skies, as in 0:1024.")
    ] = None,
    extension: Annotated[str | None, typer.Option(help="Of the skies: 1, SCI or SCI,2.")] = None,
    saturation: Annotated[
        float | None, typer.Option(help="Level that no pixel exceeds, in the unit of the skies.")
    ] = None,
    track_columns: Annotated[str | None, typer.Option(help="Imaged columns of the darks.")] = None,
    track_gain: Annotated[
        float | None, typer.Option(help="Of darks in counts: electrons per count.")
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(help="Of the tracks' detector, in um: a rate needs it.")
    ] = None,
    smallest: Annotated[int, typer.Option(min=1, help="Pixels that a track must cover.")] = 2,
    save_tracks: Annotated[
        Path | None, typer.Option(help="FITS file for the tracks, a catalogue.")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Paint real cosmic rays into skies: SCI, DQ, CRMASK, CRVALID and CRCHARGE.

    Tracks are placed at whole pixels, turned and flipped at random. Copy k of a sky depends on the
    seed, the name of its file and k alone.
    """
    _check_choice("own-hits", own_hits, WAYS)
    _check_choice("part", part, _PARTS)
    if gain is not None and (flat or bias):
        raise BayescrError("--gain and --flat exclude one another: give one of them")
    check_folder(output)
    targets = _targets(sky, copies, output, overwrite=overwrite)
    if save_tracks is not None:
        check_output(save_tracks, overwrite=overwrite)

    from bayescr import injection

    source = injection.read_tracks(
        tracks,
        smallest=smallest,
        columns=_columns(track_columns),
        gain=track_gain,
        pixel_size=pixel_size,
    )
    catalogue = _part(source.catalogue, part, train_share)
    if flat or bias:
        gain = _measured_gain(flat, bias, columns)
    frames = [_read_sky(path, gain=gain, columns=columns, extension=extension) for path in sky]
    way, own = find_own_hits(own_hits, sky, frames)
    if saturation is not None:
        saturation *= gain or 1.0
    if source.num_events:
        typer.echo(
            f"darks: {source.num_events} events, {source.num_control} in the sign-flipped control"
        )
    with track("inject", len(sky) * copies, show=shows_progress(quiet=quiet)) as advance:
        for path, frame, hits in zip(sky, frames, own, strict=True):
            for copy, target in enumerate(targets[path]):
                painted = injection.inject(
                    frame,
                    catalogue,
                    number=number,
                    rate=rate,
                    seed=_seed(seed, path, copy),
                    own_hits=hits,
                    threshold=threshold,
                    undecided=undecided,
                    saturation=saturation,
                )
                cards = {"SKY": path.name, "CATALOG": catalogue.name, "OWNHITS": way}
                injection.write_injected(painted, target, overwrite=overwrite, cards=cards)
                advance()
    if save_tracks is not None:
        injection.write_catalogue(catalogue, save_tracks, overwrite=overwrite)
    typer.echo(
        f"{len(sky) * copies} frame(s), {len(catalogue)} tracks of {catalogue.name} to choose "
        f"from, own hits: {way}: {output}"
    )


def _targets(
    skies: list[Path], copies: int, folder: Path, *, overwrite: bool
) -> dict[Path, list[Path]]:
    """Where every copy of every sky goes."""
    stems = [path.name.partition(".fit")[0] for path in skies]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise BayescrError(f"two skies are named '{twice}': their copies would be, too; rename one")
    targets = {
        path: [folder / f"{stem}_{copy:04d}.fits" for copy in range(copies)]
        for path, stem in zip(skies, stems, strict=True)
    }
    for several in targets.values():
        for target in several:
            check_output(target, overwrite=overwrite)
    return targets


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        from bayescr._names import unknown_name

        raise unknown_name(f"--{name}", value, list(known))


def _columns(text: str | None) -> slice | None:
    """``"62:346"`` -> slice(62, 346)."""
    if text is None:
        return None
    start, colon, stop = text.partition(":")
    if not (colon and start.strip().isdecimal() and stop.strip().isdecimal()):
        raise BayescrError(f"columns are '{text}': expected first:last+1, as in 62:346")
    return slice(int(start), int(stop))


def _part(catalogue: TrackCatalogue, part: str, train_share: float) -> TrackCatalogue:
    if part == "all":
        return catalogue
    if not 0 < train_share < 1:
        raise BayescrError(f"train-share is {train_share}: expected a number between 0 and 1")
    return catalogue.split(train_share, 1.0 - train_share)[_PARTS.index(part) - 1]


def _measured_gain(
    flats: list[Path] | None, biases: list[Path] | None, columns: str | None
) -> float | None:
    from bayescr.data import read_frame
    from bayescr.injection import imaged
    from bayescr.labels import measure_noise

    read = [
        [imaged(read_frame(path, unit="adu", gain=1.0), _columns(columns)) for path in paths or ()]
        for paths in (flats, biases)
    ]
    return measure_noise(*read).gain


def _read_sky(
    path: Path, *, gain: float | None, columns: str | None, extension: str | None
) -> CCDData:
    from astropy import units as u

    from bayescr.data import read_frame
    from bayescr.injection import imaged

    frame = read_frame(path, extension=extension, gain=gain)
    if frame.unit != u.electron:
        raise BayescrError(
            f"'{path}' is in '{frame.unit}' but tracks are in electrons: give its --gain, or "
            "--flat and --bias frames to measure that"
        )
    return imaged(frame, _columns(columns))


def _seed(seed: int, path: Path, copy: int) -> int:
    import numpy as np

    place = (zlib.crc32(path.name.encode()), copy)
    child = np.random.SeedSequence(seed, spawn_key=place)
    return int(child.generate_state(1, np.uint64)[0] >> np.uint64(1))  # FITS integers are signed
