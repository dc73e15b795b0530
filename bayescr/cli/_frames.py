"""What `label` and `inject` share: names of files, sections, gains, and a word on false events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bayescr.cli._options import check_output
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from astropy.io import fits

    from bayescr.labels import Noise

__all__ = [
    "check_targets",
    "given_noise",
    "object_name",
    "printable",
    "set_field",
    "span",
    "stem",
    "unique_stems",
    "warn_of_false",
]

_OBJECT_KEYWORDS = ("OBJECT", "TARGNAME")  # the second is Hubble's
_MOST_FALSE = 0.03  # of the events


def stem(path: Path) -> str:
    """The name of a FITS file without ``.fits`` and the like; any other name as it is."""
    from bayescr.data import _fits

    return _fits.stem(path) if _fits.is_fits(path) else path.name


def unique_stems(paths: Sequence[Path], kind: str) -> list[str]:
    """The stems of files.

    Raises:
        BayescrError: If two are the same.
    """
    stems = [stem(path) for path in paths]
    twice = next((one for one in stems if stems.count(one) > 1), None)
    if twice is not None:
        raise BayescrError(
            f"two {kind} are named '{twice}' and would share a file: each must be given once; "
            "rename one if they differ"
        )
    return stems


def check_targets(targets: Iterable[Path], sources: Iterable[Path], *, overwrite: bool) -> None:
    """Find out before the work whether all can be written, and none is a file that is read.

    Raises:
        BayescrError: If not, whatever may be overwritten.
    """
    read = {_identity(path) for path in sources if path.exists()}
    for target in targets:
        if target.exists() and _identity(target) in read:
            raise BayescrError(
                f"'{target}' is one of the files that are read: it would be replaced by what is "
                "made of it; choose another place"
            )
        check_output(target, overwrite=overwrite)


def _identity(path: Path) -> tuple[int, int]:
    """Equal for two names of one file, links of either kind."""
    status = path.stat()
    return status.st_dev, status.st_ino


def span(option: str, text: str | None) -> slice:
    """``"62:346"`` -> slice(62, 346); all where nothing is given.

    Raises:
        BayescrError: If it is no such text; the message names the option.
    """
    if text is None:
        return slice(None)
    start, _, stop = text.partition(":")
    if not (start.strip().isdecimal() and stop.strip().isdecimal() and int(start) < int(stop)):
        raise BayescrError(f"{option} are '{text}': expected first:last+1, as in 62:346")
    return slice(int(start), int(stop))


def given_noise(
    flats: list[Path] | None,
    biases: list[Path] | None,
    section: tuple[slice, slice],
    gain: float | None,
) -> Noise | None:
    """What was given, or what flats and biases show; None where neither is.

    Raises:
        BayescrError: If both are given, or one cannot be used.
    """
    from bayescr.data import read_frame
    from bayescr.labels import Noise, measure_noise
    from bayescr.labels._reading import cut

    if not (flats or biases):
        return None if gain is None else Noise(gain=gain)
    if gain is not None:
        raise BayescrError("--gain and --flat exclude one another: give one of them")
    return measure_noise(
        *(
            [cut(read_frame(path, unit="adu", gain=1.0), section, path) for path in paths or ()]
            for paths in (flats, biases)
        )
    )


def object_name(header: fits.Header) -> str:
    """What a header says that was looked at; empty where it does not."""
    names = (str(header.get(keyword) or "").strip() for keyword in _OBJECT_KEYWORDS)
    return next(filter(None, names), "")


def set_field(header: fits.Header, name: str) -> None:
    """Name the field, which splits keep together, in a header that does not."""
    if not str(header.get("FIELD") or "").strip():
        header["FIELD"] = (printable(name), "what was looked at")


def printable(text: str) -> str:
    """A text as a FITS header can hold it."""
    return text.encode("ascii", "backslashreplace").decode()


def warn_of_false(num_events: int, num_control: int, advice: str) -> None:
    """Say so where the sign-flipped control has more than 3% of the events."""
    if num_control > _MOST_FALSE * num_events:
        typer.echo(
            f"warning: {num_control} of {num_events} events may be false, more than "
            f"{_MOST_FALSE:.0%}: {advice}",
            err=True,
        )
