"""``bayescr inject``: real tracks into real or simulated skies, with exact truth."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from bayescr._checks import check_count, check_positive, check_share, is_number
from bayescr._progress import track
from bayescr.cli._frames import (
    check_targets,
    given_noise,
    object_name,
    printable,
    set_field,
    span,
    stem,
    unique_stems,
    warn_of_false,
)
from bayescr.cli._options import Overwrite, Quiet, Seed, check_folder, shows_progress
from bayescr.cli._own_hits import WAYS, OwnHits, find_own_hits
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from bayescr.injection import TrackCatalogue, TrackSource
    from bayescr.labels import Noise
    from bayescr.labels._reading import Exposure, Section

__all__ = ["EXAMPLE", "SeveralFiles", "inject"]

EXAMPLE = (
    "Example:  bayescr inject --sky sky/*.fits --gain 1.8 --tracks darks/*.fits --track-gain 1.2 "
    "--number 250 --part test -o test-frames"
)

_PARTS = ("all", "train", "test")
_RUBBISH = 0.5  # of the events that may be false


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
    _check_numbers(
        {
            "--rate": rate,
            "--threshold": threshold,
            "--saturation": saturation,
            "--gain": gain,
            "--track-gain": track_gain,
            "--pixel-size": pixel_size,
        }
    )
    if number is not None:
        check_count("", **{"--number": number}, least=0)
    if rate is not None and number is not None:
        raise BayescrError("--rate and --number exclude one another: give one of them")
    if not (is_number(undecided) and 0 <= undecided <= threshold):
        raise BayescrError(
            f"--undecided is {undecided}: expected a number from 0 to the --threshold, "
            f"{threshold:g}"
        )
    if part != "all":
        check_share("", **{"--train-share": train_share})
    section = (slice(None), span("--columns", columns))
    track_section = None if track_columns is None else span("--track-columns", track_columns)
    targets = _targets(sky, copies, output)
    written = [target for several in targets for target in several]
    read = [*sky, *tracks, *(flat or ()), *(bias or ())]
    check_targets(written, read, overwrite=overwrite)
    if save_tracks is not None:
        _check_catalogue_name(save_tracks, written)
        check_targets([save_tracks], read, overwrite=overwrite)

    from bayescr import injection

    if number is None and pixel_size is None and not all(map(injection.is_catalogue, tracks)):
        raise BayescrError(
            "a rate of tracks needs the size of the pixels they are from: give --pixel-size in um, "
            "or the --number of tracks in each frame"
        )
    noise = given_noise(flat, bias, section, gain)
    skies = [
        _read_sky(path, extension, section, noise, needs_time=number is None) for path in sky
    ]  # fmt: skip
    source = injection.read_tracks(
        tracks,
        smallest=smallest,
        columns=track_section,
        gain=track_gain,
        pixel_size=pixel_size,
    )
    if source.num_control > _RUBBISH * source.num_events:
        raise BayescrError(
            f"{source.num_control} of {source.num_events} events of the darks may be false, more "
            f"than {_RUBBISH:.0%}: expected dark frames of one detector and temperature; are there "
            "columns that are not imaged (--track-columns)?"
        )
    catalogue = _part(source.catalogue, part, train_share)
    if number is None:
        catalogue.pixel_area  # noqa: B018 - tells now that it is not known
    frames = [one.frame for one in skies]
    own = find_own_hits(own_hits, sky, frames, extension=extension, section=section)
    _tell_controls(source, own)
    with track("inject", len(sky) * copies, show=shows_progress(quiet=quiet)) as advance:
        for path, one, hits, several in zip(sky, skies, own.masks, targets, strict=True):
            for copy, target in enumerate(several):
                painted = injection.inject(
                    one.frame,
                    catalogue,
                    number=number,
                    rate=rate,
                    seed=_seed(seed, path, copy, part),
                    own_hits=hits,
                    threshold=threshold,
                    undecided=undecided,
                    saturation=None if saturation is None else saturation * one.factor,
                )
                cards = {
                    "SKY": printable(path.name),
                    "CATALOG": printable(catalogue.name),
                    "OWNHITS": own.way,
                }
                injection.write_injected(painted, target, overwrite=overwrite, cards=cards)
                advance()
    if save_tracks is not None:
        injection.write_catalogue(catalogue, save_tracks, overwrite=overwrite)
    typer.echo(
        f"{len(sky) * copies} frame(s), {len(catalogue)} tracks of {catalogue.name} to choose "
        f"from, own hits: {own.way}: {output}"
    )


def _targets(skies: list[Path], copies: int, folder: Path) -> list[list[Path]]:
    """Where every copy of every sky goes."""
    check_folder(folder)
    return [
        [folder / f"{name}_{copy:04d}.fits" for copy in range(copies)]
        for name in unique_stems(skies, "skies")
    ]


def _check_catalogue_name(path: Path, taken: list[Path]) -> None:
    if not path.name.endswith((".fits", ".fits.gz")):
        raise BayescrError(f"--save-tracks is '{path}': expected a name in .fits or .fits.gz")
    if path.resolve() in {other.resolve() for other in taken}:
        raise BayescrError(f"--save-tracks is '{path}', the name of a frame: choose another")


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        from bayescr._names import unknown_name

        raise unknown_name(f"--{name}", value, list(known))


def _check_numbers(positive: dict[str, float | None]) -> None:
    for option, value in positive.items():
        if value is not None:
            check_positive("", **{option: value})


def _part(catalogue: TrackCatalogue, part: str, train_share: float) -> TrackCatalogue:
    if part == "all":
        return catalogue
    return catalogue.split(train_share, 1.0 - train_share)[_PARTS.index(part) - 1]


def _read_sky(
    path: Path, extension: str | None, section: Section, noise: Noise | None, *, needs_time: bool
) -> Exposure:
    """A sky in electrons, its header as that of an injected frame has to be."""
    from astropy import units as u

    from bayescr.labels._frames import exposure_time
    from bayescr.labels._reading import read_exposure

    sky = read_exposure(path, extension=extension, section=section, noise=noise)
    if sky.frame.unit != u.electron:
        raise BayescrError(
            f"'{path}' is in '{sky.frame.unit}' but tracks are in electrons: give its --gain, or "
            "--flat and --bias frames to measure that"
        )
    if needs_time:
        exposure_time(sky.frame, f"'{path}'")
    header = sky.frame.header
    if sky.noise.gain is not None:
        header["GAIN"] = (sky.noise.gain, "[electron / count]")
    if sky.noise.read_noise is not None:
        header["READNSE"] = (sky.noise.read_noise, "[electron]")
    set_field(header, object_name(header) or stem(path))
    return sky


def _tell_controls(source: TrackSource, own: OwnHits) -> None:
    """What sign-flipped searches found, of darks and of skies."""
    for name, one, advice in (
        (
            "darks",
            source,
            "look at them, cut what is not imaged, such as overscan, off with --track-columns, or "
            "label them first with a higher --seed-sigma",
        ),
        (
            "own hits",
            own,
            "the skies may not be of one field; see --own-hits, or cut what is not imaged off with "
            "--columns",
        ),
    ):
        if one.num_events or one.num_control:
            typer.echo(
                f"{name}: {one.num_events} events, {one.num_control} in the sign-flipped control"
            )
            warn_of_false(one.num_events, one.num_control, f"{name}; {advice}")


def _seed(seed: int, path: Path, copy: int, part: str) -> int:
    """Of a copy: training and test frames of one sky share no place."""
    from bayescr._seeds import child_seed

    return child_seed(seed, zlib.crc32(path.name.encode()), copy, _PARTS.index(part))
