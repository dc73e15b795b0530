"""Reading an experiment from its TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayescr.errors import BayescrError
from bayescr.experiments._settings import Settings, from_table, known_keys
from bayescr.experiments.config import Arm, Experiment, Model, Training

__all__ = ["parse_experiment", "read_experiment", "read_source"]


def read_experiment(path: str | Path) -> Experiment:
    """Read an experiment from a TOML file.

    Raises:
        BayescrError: If there is no such file, it is not TOML, or it says something that cannot
            be; the message names file, table and key.
    """
    return parse_experiment(read_source(path), file=str(path))


def read_source(path: str | Path) -> bytes:
    """What an experiment's file says; errors as of `read_experiment`."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error


def parse_experiment(source: bytes, *, file: str) -> Experiment:
    """The experiment that this means; errors as of `read_experiment`."""
    try:
        table = tomllib.loads(source.decode())
    except ValueError as error:
        raise _unreadable(file, str(error)) from error
    return _assemble(table, file=file)


def _unreadable(file: str | Path, reason: str) -> BayescrError:
    return BayescrError(f"cannot read experiment '{file}': {reason}; expected a TOML file")


def _assemble(table: dict[str, Any], *, file: str) -> Experiment:
    """Lay the keys of [model] and [training] under those of every arm."""
    known_keys(table, [*_SHARED, *_names(Experiment)], file=file, at="")
    shared = {at: table.pop(at, {}) for at in _SHARED}
    for at, cls in _SHARED.items():
        from_table(cls, shared[at], file=file, at=at)
    if isinstance(table.get("start"), dict):
        table["start"] = {**shared["training"], **table["start"]}
    if isinstance(table.get("arms"), dict):
        table["arms"] = {
            name: _arm(arm, shared, file=file, at=f"arms.{name}")
            for name, arm in table["arms"].items()
        }
    return from_table(Experiment, table, file=file)


def _arm(table: Any, shared: Mapping[str, dict[str, Any]], *, file: str, at: str) -> Arm:
    known = ["guide", "start", *(key for cls in _SHARED.values() for key in _names(cls))]
    known_keys(table, known, file=file, at=at)
    parts: dict[str, Any] = {key: table[key] for key in ("guide", "start") if key in table}
    for name, cls in _SHARED.items():
        own = {key: table[key] for key in table if key in _names(cls)}
        parts[name] = from_table(cls, {**shared[name], **own}, file=file, at=at)
    return from_table(Arm, parts, file=file, at=at)


_SHARED: dict[str, type[Settings]] = {"model": Model, "training": Training}


def _names(cls: type[Settings]) -> list[str]:
    return [entry.name for entry in dataclasses.fields(cls)]  # type: ignore[arg-type]
