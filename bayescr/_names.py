"""Turning the name of a prior, guide or schedule into the thing itself."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayescr.errors import BayescrError

__all__ = ["kebab", "make", "resolve", "unknown_name"]


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


def make(
    name: str,
    family: Mapping[str, Any],
    *,
    kind: str,
    arguments: Mapping[str, Any] | None = None,
    method: str = "__call__",
) -> Any:
    """Find a prior, guide, ... by name, and call what has to be called to have the thing itself.

    A member of the family, and a class whose arguments all have defaults, is called; anything
    else is used as it is. With ``arguments``, what they complete is called with them; what they do
    not, such as a function ``(name, parameter, scale)``, keeps them for its call.

    Args:
        name: As in `resolve`.
        family: As in `resolve`.
        kind: As in `resolve`.
        arguments: Keyword arguments.
        method: What the thing must be able to do; by default, be called.

    Raises:
        BayescrError: If nothing has that name, it does not take the arguments, or the result
            lacks the method.

    Example:
        >>> make("builtins:round", {}, kind="KL schedule", arguments={"ndigits": 1})(0.26)
        0.3
    """
    found = resolve(name, family, kind=kind)
    is_member = any(found is member for member in family.values())
    if arguments:
        found = _given(found, arguments, name, kind)
    elif is_member or (inspect.isclass(found) and _needs_no_argument(found)):
        found = found()
    if not hasattr(found, method):
        wanted = "something to call" if method == "__call__" else f"something with .{method}()"
        raise BayescrError(f"{kind} '{name}' is of type {type(found).__name__}: expected {wanted}")
    return found


def _given(found: Any, arguments: Mapping[str, Any], name: str, kind: str) -> Any:
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return found(**arguments)  # written in C: it says itself what it does not take
    try:
        signature.bind_partial(**arguments)
    except TypeError:
        known = [p.name for p in signature.parameters.values() if p.kind in _BY_NAME]
        unknown = next(argument for argument in arguments if argument not in known)
        error = unknown_name("argument", unknown, known)
        raise BayescrError(f"{kind} '{name}': {error}") from None
    try:
        signature.bind(**arguments)
    except TypeError:
        return functools.partial(found, **arguments)
    try:
        return found(**arguments)
    except TypeError as error:
        raise BayescrError(f"{kind} '{name}' does not take {dict(arguments)}: {error}") from error


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _needs_no_argument(cls: type) -> bool:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(cls).parameters.values()
    return all(p.kind in variadic or p.default is not p.empty for p in parameters)


def _module_from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"there is no file '{path}'")
    module = importlib.util.module_from_spec(spec)
    is_taken = path.stem in sys.modules
    sys.modules.setdefault(path.stem, module)  # where a dataclass looks up string annotations
    try:
        spec.loader.exec_module(module)
    finally:
        if not is_taken:
            sys.modules.pop(path.stem, None)
    return module
