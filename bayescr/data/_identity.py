"""Whether images are the same under other names: by the bytes of their files, by their pixels."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bayescr.data.formats import named_format
from bayescr.errors import BayescrError

__all__ = ["same_bytes", "same_pixels"]

_PIECE = 2**16  # bytes compared before a file is read as a whole


class _Image(Protocol):
    @property
    def path(self) -> Path: ...
    @property
    def extension(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def mask(self) -> Path | None: ...


def same_bytes(images: Sequence[_Image]) -> Callable[[Any], Hashable]:
    """A function that is equal for two images if they are the same image of equal files.

    Only files that agree in size and in three pieces are read as a whole.
    """
    paths = {image.path for image in images}
    pieces = {path: _pieces(path) for path in paths}
    count = Counter(pieces.values())
    digests = {
        path: _digest(path) if count[piece] > 1 else path.as_posix()
        for path, piece in pieces.items()
    }
    return lambda image: (digests[image.path], image.extension)


def same_pixels(images: Sequence[_Image]) -> Callable[[Any], Hashable]:
    """A function that is equal for two images if all their pixels are, whatever is beside them."""

    @functools.cache
    def identity(image: Any) -> Hashable:
        frame = named_format(image.format).read(image.path, image.extension, mask=image.mask).frame
        digest = hashlib.sha256(np.ascontiguousarray(frame.data, np.float32).tobytes())
        return frame.data.shape, digest.hexdigest()

    return identity


def _pieces(path: Path) -> tuple[int, str]:
    """Size of a file and a digest of its beginning, middle and end."""
    if not path.is_file():
        raise BayescrError(f"'{path}' of the index is not there: make the index again")
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for start in (0, size // 2, max(0, size - _PIECE)):
            file.seek(start)
            digest.update(file.read(_PIECE))
    return size, digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
