"""The exposures of an experiment: the user's folders, or frames simulated once and kept.

A simulated part is a folder ``frames/<part>-<hash>`` whose name tells its settings and the
simulator's code apart from others, and in which ``frames.json``, written last, lists the files.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

from bayescr._code import source_sha256
from bayescr._files import atomic_path
from bayescr._progress import track
from bayescr.data import PatchDataset, Scaling
from bayescr.data._fits import is_fits, opened, stem
from bayescr.errors import BayescrError
from bayescr.experiments import _fingerprint as fingerprint
from bayescr.experiments.config import Data, Simulated
from bayescr.simulation import find_instrument, simulate
from bayescr.simulation.sky import field_name

__all__ = ["PARTS", "Part", "fields_of", "find_parts"]

PARTS = ("train", "validation", "test", "shifted")
_LIST = "frames.json"
_MANY = 10**6  # seeds of an instrument's frames


@dataclass(frozen=True, kw_only=True)
class Part:
    """Train, validation, test or shifted exposures.

    Attributes:
        name: Which of them.
        folder: Where they are.
        series: What to simulate, arguments of `bayescr.simulation.simulate` and ``hits``; empty
            where the folder is the user's.
    """

    name: str
    folder: Path
    series: tuple[dict[str, Any], ...] = ()

    @property
    def is_there(self) -> bool:
        """Whether nothing is left to simulate."""
        return not self.series or (self.folder / _LIST).is_file()

    def make(self, *, show: bool) -> None:
        """Simulate what is missing; what an interrupted run left is made again."""
        if self.is_there:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        total = sum(series["frames"] for series in self.series)
        with track(f"simulate {self.name}", total, show=show) as advance:
            for series in self.series:
                simulate(
                    self.folder,
                    **_arguments(**series),
                    overwrite=True,
                    progress=lambda done: advance(1),
                )
        with atomic_path(self.folder / _LIST) as temporary:
            temporary.write_text(fingerprint.to_json(self._hashes()))

    def hashes(self) -> dict[str, str]:
        """File -> SHA-256.

        Raises:
            BayescrError: If simulated files are not those that were simulated.
        """
        now = self._hashes()
        if self.series:
            before = json.loads((self.folder / _LIST).read_text())
            changed = fingerprint.differences(before, now)
            if changed:
                raise BayescrError(
                    f"simulated frames in '{self.folder}' are not as they were made: "
                    f"{'; '.join(changed)}; delete the folder to have them made again"
                )
        return now

    def dataset(self, *, patch: int | None, scaling: Scaling) -> PatchDataset:
        """The exposures as patches in memory, or whole, each read when it is asked for.

        Where instruments are simulated, each of their fields is one of its own.

        Raises:
            BayescrError: If there are none, or one has no truth.
        """
        files = self.files()
        dataset = PatchDataset.from_directory(
            self.folder, patch=patch, scaling=scaling, in_memory=patch is not None
        )
        if any("instrument" in series for series in self.series):
            for file in files:
                name = stem(file)
                dataset.fields[name] = f"{_instrument(file)}, {dataset.fields[name]}"
        return dataset

    def files(self) -> list[Path]:
        """The FITS files.

        Raises:
            BayescrError: If there are none.
        """
        if not self.folder.is_dir():
            raise BayescrError(f"no {self.name} data: '{self.folder}' is not a folder")
        files = [path for path in self.folder.iterdir() if is_fits(path)]
        if not files:
            raise BayescrError(f"no {self.name} data: no FITS file in '{self.folder}'")
        return sorted(files)

    def _hashes(self) -> dict[str, str]:
        return fingerprint.of_files(self.files())


def find_parts(data: Data, *, beside: Path, output: Path) -> dict[str, Part]:
    """The parts that an experiment has, by name.

    Args:
        data: What it says of them.
        beside: What paths are relative to.
        output: Where simulated frames are kept.
    """
    if data.simulate is not None:
        return {
            name: Part(name=name, folder=_simulated_folder(output, name, series), series=series)
            for name, series in _series(data.simulate)
        }
    folders = {name: getattr(data, name) for name in PARTS}
    return {
        name: Part(name=name, folder=(beside / folder).resolve())
        for name, folder in folders.items()
        if folder is not None
    }


def fields_of(settings: Simulated) -> dict[str | None, tuple[str, ...]]:
    """Instrument -> the fields that it is pointed at; None: the default of `simulate`.

    Raises:
        BayescrError: For an instrument or field that is not known.
    """
    if not settings.instruments:
        return {None: tuple(map(field_name, settings.fields))}
    found: dict[str | None, tuple[str, ...]] = {}
    for name, fields in settings.instruments.items():
        instrument = find_instrument(name)
        found[instrument.name] = tuple(map(field_name, fields or instrument.fields))
    return found


def _series(settings: Simulated) -> Iterator[tuple[str, tuple[dict[str, Any], ...]]]:
    counts = {name: (fields_of(settings), getattr(settings, name)) for name in PARTS[:3]}
    if settings.shifted is not None:
        counts["shifted"] = ({None: (settings.shifted.field,)}, settings.shifted.frames)
    for index, (name, (seen, frames)) in enumerate(counts.items()):
        part = len(PARTS) * settings.seed + index
        if frames:
            common = {"frames": frames, "size": settings.size, "threshold": settings.threshold}
            if settings.undecided is not None:
                common["undecided"] = settings.undecided
            others = settings.other_hits if name == "train" else ()
            yield name, tuple(_series_of(seen, part, others, hits=settings.hits, **common))


def _series_of(
    seen: Mapping[str | None, tuple[str, ...]],
    part: int,
    others: Sequence[str],
    *,
    hits: float | None,
    **common: Any,
) -> Iterator[dict[str, Any]]:
    """A series of each field of each instrument, with its own hits and with those of others.

    No two parts, instruments or kinds of hits share a seed.
    """
    for number, (other, (instrument, fields)) in enumerate(product((None, *others), seen.items())):
        made = {**common, "seed": part + _MANY * number}
        if instrument is not None:
            made |= {"instrument": instrument} | ({} if hits is None else {"hits": hits})
        if other is not None:
            made["hits_of"] = find_instrument(other).name
        yield from ({"field": field, **made} for field in fields)


def _arguments(
    *, hits: float | None = None, hits_of: str | None = None, **series: Any
) -> dict[str, Any]:
    """Of `simulate`, for a series: with the flux and the hits that are asked for.

    Args:
        hits: To leave in a frame; a flux that leaves more stays.
        hits_of: Another instrument, whose hits are as many a pixel.
        series: The rest.
    """
    if hits is None and hits_of is None:
        return series
    instrument = find_instrument(series["instrument"])
    own = instrument.cosmic_rays
    low, high = instrument.exposure_times  # uniform in the logarithm
    mean = low if low == high else (high - low) / math.log(high / low)
    side = series["size"] * own.pixel_size * 1e-4  # [cm]
    own = replace(own, rate=max(own.rate, (hits or 0.0) / (side**2 * mean)))
    if hits_of is None:
        return {**series, "cosmic_rays": own}
    other = find_instrument(hits_of).cosmic_rays
    rate = own.rate * (own.pixel_size / other.pixel_size) ** 2
    return {**series, "cosmic_rays": replace(other, rate=rate)}


def _instrument(file: Path) -> str:
    with opened(file) as hdus:
        return str(hdus[0].header["INSTRUME"])


def _simulated_folder(output: Path, name: str, series: tuple[dict[str, Any], ...]) -> Path:
    key = fingerprint.of_json(
        {
            "series": series,
            "code": source_sha256("simulation"),
            "versions": {package: _version(package) for package in ("galsim", "numpy")},
        }
    )
    return output / "frames" / f"{name}-{key[: fingerprint.SHORT]}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
