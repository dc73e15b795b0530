"""Parts of an index for training, validation and test, and what leaks from one into another.

A network that has seen an exposure, or the sky in it, is judged too well on it. Splits are made by
exposure, never by patch; by field where a field was exposed several times. Copies of one sky, into
which other tracks were painted, stay together always.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bayescr._names import unknown_name
from bayescr.data._identity import same_bytes, same_pixels
from bayescr.data._splitting import joined, split_names
from bayescr.data._wcs import footprint, footprints_overlap, near
from bayescr.data.index import checked
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["assign_splits", "check_splits", "leaks"]

_BY = ("exposure", "field")
_LISTED = 5  # files named in an error message


def assign_splits(
    index: pd.DataFrame,
    *,
    train: float = 0.8,
    validation: float = 0.1,
    test: float = 0.1,
    by: str = "exposure",
    seed: int = 0,
) -> pd.DataFrame:
    """An index with every image in a part.

    Args:
        index: The index; it is not changed.
        train: Share of the exposures, or fields, to learn from; copies of one sky count as one.
        validation: Share to choose by; 0: none.
        test: Share to judge by; 0: none.
        by: ``"exposure"``: each field is spread over the parts alike; or ``"field"``: no field
            is in two, for exposures that show the same sky. Simulated kinds of field are spread
            alike by either.
        seed: What goes where.

    Raises:
        BayescrError: If ``by`` is neither, a share is negative, they exceed 1, or there are fewer
            exposures (fields) than parts, or a field is not known.

    Example:
        >>> index = assign_splits(make_index("frames"), by="field", seed=1)  # doctest: +SKIP
    """
    _check_by(by)
    index = checked(index)
    shares = {"train": train, "validation": validation, "test": test}
    wanted = {name: share for name, share in shares.items() if share != 0}
    keys = _keys(index, by)
    alike = index["kind"].where((index["kind"] != "") | (by == "field"), index["field"])
    groups = dict(zip(keys, alike, strict=True))
    parts = split_names(list(dict.fromkeys(keys)), list(wanted.values()), groups=groups, seed=seed)
    split_of = {key: name for name, part in zip(wanted, parts, strict=True) for key in part}
    return index.assign(split=[split_of.get(key, "") for key in keys])


def check_splits(index: pd.DataFrame, *, by: str = "exposure") -> list[str]:
    """What the splits of an index share that they should not, a line each; all files are read.

    Lines that begin with ``leak:`` are errors: one exposure or sky in two splits, one file or its
    pixels under two names, and with ``by="field"`` a field. Those that begin with ``warning:`` are
    for you to judge: images in two splits whose WCS place them on the same sky.

    Raises:
        BayescrError: If a file cannot be read ``by`` is not known, or a field by which it goes.
    """
    found = [f"leak: {leak}" for leak in leaks(index, by=by, pixels=True)]
    return found + [f"warning: {overlap}" for overlap in _same_sky(_images(index))]


def leaks(index: pd.DataFrame, *, by: str = "exposure", pixels: bool = False) -> list[str]:
    """What makes a test worthless: the errors among `check_splits`.

    Args:
        index: The index.
        by: As in `assign_splits`.
        pixels: Whether to look for equal pixels in files that differ, which reads all.
    """
    _check_by(by)
    images = _images(index)
    found = list(_shared(images, "exposure"))
    painted = {image.sky for image in images if image.sky}
    skies = [image._replace(sky=image.sky or image.exposure) for image in images]
    found += _shared([image for image in skies if image.sky in painted], "sky")
    if by == "field":
        _check_fields((image.path, image.field) for image in images)
        found += _shared(images, "field")
    bytes_of = same_bytes(images)
    found += _told(_twins(images, bytes_of), "bytes")
    if pixels:
        twins = _twins(images, same_pixels(images))
        found += _told([(a, b) for a, b in twins if bytes_of(a) != bytes_of(b)], "pixels")
    return found


class Image(NamedTuple):
    """A row of an index, as far as leaks are concerned."""

    path: Path
    extension: str
    exposure: str
    field: str
    split: str
    format: str
    mask: Path | None
    sky: str

    def __str__(self) -> str:
        return f"'{self.path}' [{self.extension}]"


def _images(index: pd.DataFrame) -> list[Image]:
    """Those that are in a split."""
    return [
        Image(
            path=Path(row["path"]),
            extension=row["extension"],
            exposure=row["exposure"],
            field=row["field"],
            split=row["split"],
            format=row["format"],
            mask=Path(row["mask"]) if row["mask"] else None,
            sky=row["sky"],
        )
        for row in checked(index).to_dict("records")
        if row["split"]
    ]


def _shared(images: list[Image], kind: str) -> Iterator[str]:
    """Exposures, skies or fields that are in several splits."""
    splits: dict[str, set[str]] = {}
    for image in images:
        splits.setdefault(getattr(image, kind), set()).add(image.split)
    for name, several in splits.items():
        if len(several) > 1:
            yield f"{kind} '{name}' is in the splits {' and '.join(map(repr, sorted(several)))}"


def _twins(images: list[Image], identity: Any) -> list[tuple[Image, Image]]:
    """Images of equal identity in two splits, one pair for each two; exposures are told before."""
    firsts: dict[Hashable, dict[str, Image]] = {}
    for image in images:
        firsts.setdefault(identity(image), {}).setdefault(image.split, image)
    pairs = (
        pair for group in firsts.values() for pair in itertools.combinations(group.values(), 2)
    )
    return [(one, other) for one, other in pairs if one.exposure != other.exposure]


def _told(twins: list[tuple[Image, Image]], what: str) -> list[str]:
    return [
        f"{one} in '{one.split}' and {other} in '{other.split}' hold the same {what}"
        for one, other in twins
    ]


def _same_sky(images: list[Image]) -> Iterator[str]:
    """A line for each two splits: how many pairs of images overlap on the sky, and one of them."""
    found = {image: footprint(image.path, image.extension) for image in images if _has_sky(image)}
    placed = {image: corners for image, corners in found.items() if corners is not None}
    overlapping: dict[tuple[str, ...], list[tuple[Image, Image]]] = {}
    names = list(placed)
    for i, j in zip(*near(list(placed.values())), strict=True):
        one, other = names[i], names[j]
        if one.split != other.split and footprints_overlap(placed[one], placed[other]):
            key = tuple(sorted((one.split, other.split)))
            overlapping.setdefault(key, []).append((one, other))
    for (first, second), pairs in overlapping.items():
        one, other = pairs[0]
        yield (
            f"{len(pairs)} pair(s) of images in '{first}' and '{second}' show the same sky, such "
            f"as {one} and {other}: split by field if that is not meant"
        )


def _has_sky(image: Image) -> bool:
    return image.format != "deepcr"  # its files have no header


def _keys(index: pd.DataFrame, by: str) -> list[Hashable]:
    """What each image must stay together with: its exposure, the sky in it, by field that, too."""
    skies = index["sky"].where(index["sky"] != "", index["exposure"])
    links: list[tuple[Hashable, ...]] = list(zip(index["exposure"], skies, strict=True))
    if by == "field":
        _check_fields(zip(index["path"], index["field"], strict=True))
        fields = (("field", name) for name in index["field"])  # no name of an exposure
        links = [(*link, field) for link, field in zip(links, fields, strict=True)]
    return joined(links)


def _check_fields(images: Iterable[tuple[Any, str]]) -> None:
    lost = list(dict.fromkeys(str(path) for path, field in images if not field))
    if lost:
        more = f" and {len(lost) - _LISTED} more" if len(lost) > _LISTED else ""
        raise BayescrError(
            f"no field is known of {', '.join(map(repr, lost[:_LISTED]))}{more}: fill the column "
            "field (the header's FIELD), or split by='exposure'"
        )


def _check_by(by: str) -> None:
    if by not in _BY:
        raise unknown_name("way to split, by", by, list(_BY))
