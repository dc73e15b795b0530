"""SHA-256 of whatever decides a result: files and settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bayescr.errors import BayescrError

__all__ = [
    "SHORT",
    "differences",
    "of_bytes",
    "of_file",
    "of_files",
    "of_json",
    "read",
    "to_json",
]

SHORT = 12  # digits that name a folder


def read(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        BayescrError: If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def of_bytes(data: bytes) -> str:
    """Of what was read."""
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """Of a file's bytes, of which not all are in memory at once.

    Raises:
        BayescrError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def of_files(paths: Iterable[Path]) -> dict[str, str]:
    """Of each file, by its name."""
    return {path.name: of_file(path) for path in sorted(paths)}


def of_json(value: Any) -> str:
    """Of a tree of settings; the order of keys does not matter."""
    return of_bytes(json.dumps(value, sort_keys=True).encode())


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What happened to named hashes: ``"a.fits: changed"``."""
    return [
        f"{name}: {'is missing' if name not in now else 'changed' if name in before else 'is new'}"
        for name in sorted(set(before) | set(now))
        if before.get(name) != now.get(name)
    ]


def to_json(value: Any) -> str:
    """For a file that people read."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _unreadable(path: Path, error: OSError) -> BayescrError:
    return BayescrError(f"cannot read '{path}': {error.strerror or error}")
