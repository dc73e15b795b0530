"""An index: a table with a row for every image, which says what it is and which part it is in.

    path           the file; in a file of an index relative to its folder, in memory absolute
    extension      the image in it: "SCI,2", "1", ...
    exposure       name of the exposure; all its chips and patches share it
    instrument     INSTRUME
    filter         FILTER, or FILTER1 and FILTER2 where they filter
    exposure_time  EXPTIME [s]
    field          FIELD: what was looked at; exposures of one field show the same sky. Of simulated
                   images, whose FIELD is a kind: that, the instrument and the seed of the sky
    kind           of simulated images: FIELD, by which reports group them; else empty
    sky            SKY: the exposure that other tracks were painted into; empty: it is its own
    split          "train", "validation", "test" or a name of yours; empty: in none
    format         a name in `bayescr.data.formats.FORMATS`
    mask           the file with the truth, for pairs whose masks do not lie beside them

An index is a pandas table, to be filtered and changed as one. Its file is CSV or Parquet.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayescr._files import atomic_path
from bayescr.data._fits import find, opened
from bayescr.data._stored import Chip
from bayescr.data.formats import find_format, image_files, named_format
from bayescr.data.formats.image import field_of, sky_of
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "chips_of", "is_index", "make_index", "read_index", "write_index"]

PathLike = str | os.PathLike[str]

COLUMNS = (
    "path", "extension", "exposure", "instrument", "filter", "exposure_time", "field", "kind",
    "sky", "split", "format", "mask",
)  # fmt: skip
_SUFFIXES = (".csv", ".parquet")
_OPTIONAL = ("kind", "sky", "mask")  # in a table in memory
_IDENTITY = ("extension", "exposure", "format")  # without these a row is no image


def make_index(folder: PathLike, *, format: str | None = None) -> pd.DataFrame:
    """Look at the headers of all images with truth in a folder and below.

    Args:
        folder: The folder; a file is an index of its own images.
        format: Of the files; default: what each looks like.

    Returns:
        The index, nothing in any split yet; `assign_splits` does that.

    Raises:
        BayescrError: If there is no image, or one cannot be read or has no truth.

    Example:
        >>> index = assign_splits(make_index("frames"), seed=0)  # doctest: +SKIP
        >>> write_index(index, "frames/index.csv")  # doctest: +SKIP
    """
    rows: list[dict[str, Any]] = []
    for path in image_files(folder, format=format):
        rows += _rows(path, format or find_format(path))
    return _table(rows)


def write_index(index: pd.DataFrame, path: PathLike, *, overwrite: bool = False) -> None:
    """Write an index; its paths become relative to the folder of the file.

    Args:
        index: The index.
        path: The file, .csv or .parquet.
        overwrite: Whether an existing file may be replaced.

    Raises:
        BayescrError: If the suffix is another one, a column is missing or the file exists.
    """
    target = Path(path).absolute()
    _check_suffix(target)
    relative = checked(index)
    for column in ("path", "mask"):
        relative[column] = [
            Path(os.path.relpath(one, target.parent)).as_posix() if one else ""
            for one in relative[column]
        ]
    with atomic_path(target, overwrite=overwrite) as temporary:
        if target.suffix == ".csv":
            relative.to_csv(temporary, index=False)
        else:
            relative.to_parquet(temporary, index=False)


def read_index(path: PathLike) -> pd.DataFrame:
    """Read an index; only the column ``path`` must be there, files say what others leave out.

    Args:
        path: The file, .csv or .parquet. An extension may be spelled as for `read_frame`: ``SCI``,
            ``1``; where it is left out, the row stands for all images of its file.

    Raises:
        BayescrError: If it cannot be read, has no row or no column ``path``, a path is empty, or
            a file that has to be looked at cannot be read or has no such image.
    """
    import pandas as pd

    source = Path(path).absolute()
    _check_suffix(source)
    if not source.is_file():
        raise BayescrError(f"cannot read '{source}': there is no such file; check the name")
    try:
        if source.suffix == ".csv":
            index = pd.read_csv(source, dtype=str, keep_default_na=False)
        else:
            index = pd.read_parquet(source)
    except (ValueError, OSError) as error:
        raise BayescrError(
            f"cannot read '{source}' as an index: {str(error).splitlines()[0]}"
        ) from error
    _check_columns(index, ("path",), f"'{source}'")
    index = _filled(index)
    _check_paths(index, f"'{source}'")
    for column in {"path", "mask"} & set(index):
        index[column] = [
            os.path.normpath(source.parent / one) if one else "" for one in index[column]
        ]
    return _table(_completed(index.to_dict("records"), stated=set(map(str, index))), source)


def checked(index: pd.DataFrame) -> pd.DataFrame:
    """A copy of an index in which nothing is missing: what was not said is empty.

    Raises:
        BayescrError: If it lacks a column, a row or a path.
    """
    _check_columns(index, [name for name in COLUMNS if name not in _OPTIONAL], "the index")
    filled = _filled(index.assign(**{name: "" for name in _OPTIONAL if name not in index}))
    _check_paths(filled, "the index")
    return filled


def is_index(path: PathLike) -> bool:
    """Whether a path is the file of an index, by its name."""
    return Path(path).suffix in _SUFFIXES


def chips_of(index: pd.DataFrame) -> list[Chip]:
    """The images of an index; their headers are read.

    Raises:
        BayescrError: If a file cannot be read or has no such image.
    """
    chips = []
    files: dict[tuple[str, str], dict[str, Any]] = {}
    for row in checked(index).to_dict("records"):
        path, kind = Path(row["path"]), row["format"]
        key = (row["path"], kind)
        if key not in files:
            files[key] = {entry.extension: entry for entry in named_format(kind).entries(path)}
        entry = files[key].get(row["extension"])
        if entry is None:
            raise _no_image(row["extension"], files[key], path)
        mask = Path(row["mask"]) if row["mask"] else None
        chips.append(
            Chip(
                path,
                entry.extension,
                row["exposure"],
                row["kind"] or row["field"] or None,
                entry.shape,
                kind,
                mask,
                row["sky"] or None,
            )
        )
    return chips


def _rows(path: Path, kind: str) -> list[dict[str, Any]]:
    """What the headers of a file say of each of its images."""
    rows = []
    for entry in named_format(kind).entries(path):
        field, field_kind = field_of(entry.header)
        row = {
            "path": str(path.absolute()),
            "extension": entry.extension,
            "exposure": entry.exposure,
            "instrument": str(entry.header.get("INSTRUME", "")),
            "filter": _filter(entry.header),
            "exposure_time": _seconds(entry.header.get("EXPTIME")),
            "field": field,
            "kind": field_kind,
            "sky": sky_of(entry.header) or "",
            "split": "",
            "format": kind,
            "mask": "",
        }
        rows.append(row)
    return rows


def _completed(rows: Iterable[Any], *, stated: set[str]) -> list[dict[str, Any]]:
    """Rows with what they lack; a row without an extension is all of its file."""
    completed = []
    for row in rows:
        if set(COLUMNS) <= stated and all(row[name] for name in _IDENTITY):
            completed.append(row)
            continue
        given = {name: value for name, value in row.items() if name in stated and value != ""}
        path = Path(given["path"])
        kind = given.get("format") or ("pairs" if given.get("mask") else find_format(path))
        if "field" in given:
            given.setdefault("kind", "")  # a field of the user's own is what reports group by
        images = {image["extension"]: image for image in _rows(path, kind)}
        if "extension" in given:
            given["extension"] = _spelled(given["extension"], list(images), path)
            images = {given["extension"]: images[given["extension"]]}
        completed += [{**image, **given} for image in images.values()]
    return completed


def _spelled(extension: str, images: list[str], path: Path) -> str:
    """The extension of an image as its format spells it: ``SCI`` or ``1`` is ``SCI,1``."""
    if extension not in images and path.suffix != ".npy":
        with opened(path) as hdus:
            named = find(hdus, extension, path=path)
            same = [image for image in images if find(hdus, image, path=path) is named]
        extension = same[0] if same else extension
    if extension not in images:
        raise _no_image(extension, images, path)
    return extension


def _no_image(extension: str, images: Iterable[str], path: Path) -> BayescrError:
    return BayescrError(
        f"no image '{extension}' in '{path}': expected one of {', '.join(map(repr, images))}; make "
        "the index again"
    )


def _table(rows: list[dict[str, Any]], source: Path | None = None) -> pd.DataFrame:
    import pandas as pd

    index = pd.DataFrame(rows, columns=list(dict.fromkeys((*COLUMNS, *(rows[0] if rows else ())))))
    try:
        index["exposure_time"] = pd.to_numeric(index["exposure_time"].replace("", None))
    except (ValueError, TypeError) as error:
        raise BayescrError(f"exposure_time in '{source}' is no number: {error}") from error
    return index.astype({"exposure_time": float})


def _filter(header: Any) -> str:
    """FILTER, or those of FILTER1 and FILTER2 that are not clear."""
    if "FILTER" in header:
        return str(header["FILTER"])
    names = [str(header.get(keyword, "")) for keyword in ("FILTER1", "FILTER2")]
    return "+".join(name for name in names if name and not name.upper().startswith("CLEAR"))


def _seconds(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _check_suffix(path: Path) -> None:
    if path.suffix not in _SUFFIXES:
        raise BayescrError(f"'{path}' is no name of an index: expected one in .csv or .parquet")
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise BayescrError(
            f"'{path}' needs pyarrow, which is not installed: `pip install pyarrow`, or use .csv"
        )


def _filled(index: pd.DataFrame) -> pd.DataFrame:
    """A copy whose text is text."""
    names = [name for name in COLUMNS if name in index and name != "exposure_time"]
    return index.assign(**{name: index[name].fillna("").astype(str) for name in names})


def _check_columns(index: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    missing = [column for column in columns if column not in index]
    if missing:
        raise BayescrError(
            f"{name} has no column '{missing[0]}': expected {', '.join(COLUMNS)}, as make_index "
            "makes them"
        )


def _check_paths(index: pd.DataFrame, name: str) -> None:
    if not len(index):
        raise BayescrError(f"{name} has no row: expected one for each image, as make_index makes")
    for number, path in enumerate(index["path"], start=1):
        if not path.strip():
            raise BayescrError(f"row {number} of {name} has no path: name its file, or drop it")
