"""Turning the name of a prior, guide or schedule into the thing itself."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayescr.errors import BayescrError

__all__ = ["kebab", "resolve", "unknown_name"]


def kebab(name: str) -> str:
    """Spell a class name as the command line does: ``FanInNormal`` -> ``fan-in-normal``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name)
    return words.lower().replace("_", "-")


def unknown_name(kind: str, name: str, known: Mapping[str, Any] | list[str]) -> BayescrError:
    """The error for a name that is not in a family, with the nearest name that is."""
    names = sorted(known)
    close = difflib.get_close_matches(name.lower().replace("_", "-"), names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return BayescrError(f"unknown {kind} '{name}': {hint}known are {', '.join(names)}")


def resolve(name: str, family: Mapping[str, Any], *, kind: str) -> Any:
    """Find a member of a family by name, or a user's own by dotted path or file.

    Args:
        name: ``fan-in-normal`` (a name of the family), ``package.module:attribute`` or
            ``file.py:attribute`` (the user's own; this imports that code).
        family: The names that are always known.
        kind: What the family is, for the error message: ``"prior"``.

    Raises:
        BayescrError: If nothing has that name; the message suggests the nearest one.

    Example:
        >>> resolve("mean-field", {"mean-field": int}, kind="guide")
        <class 'int'>
    """
    if name in family:
        return family[name]
    if kebab(name) in family:
        return family[kebab(name)]
    source, colon, attribute = name.rpartition(":")
    if not colon:
        raise unknown_name(kind, name, family)
    try:
        module = (
            _module_from_file(Path(source))
            if source.endswith(".py")
            else (importlib.import_module(source))
        )
        return getattr(module, attribute)
    except Exception as error:  # importing the user's own code may raise anything
        raise BayescrError(
            f"cannot load {kind} '{name}': {error}; expected 'package.module:attribute' or "
            "'file.py:attribute'"
        ) from error


def _module_from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"there is no file '{path}'")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
