"""Turning the name of a prior, guide or schedule into the thing itself."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bayescr._calls import check_call
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
    if name.endswith(".py"):
        raise BayescrError(f"{kind} '{name}' is a file: say what in it, '{name}:attribute'")
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

    An argument may be a member again, however deep in tables and arrays: a table with its name
    and arguments, ``{"name": "low-rank", "rank": 8}``, or, where the default of the argument is
    a member or a table of members, the name alone. ``"none"`` is None there. Arrays are tuples.

    Args:
        name: As in `resolve`.
        family: As in `resolve`.
        kind: As in `resolve`.
        arguments: Keyword arguments.
        method: What the thing, and each within it, must be able to do; by default, be called.

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

        def member(name: str, arguments: Mapping[str, Any] | None = None) -> Any:
            return make(name, family, kind=kind, arguments=arguments, method=method)

        defaults = _defaults(found)
        built = {
            key: _built(value, member, by_name=_has_member(defaults.get(key), family))
            for key, value in arguments.items()
        }
        found = _given(found, built, name, kind)
    elif is_member or (inspect.isclass(found) and _needs_no_argument(found)):
        found = found()
    if not hasattr(found, method):
        wanted = "something to call" if method == "__call__" else f"something with .{method}()"
        raise BayescrError(f"{kind} '{name}' is of type {type(found).__name__}: expected {wanted}")
    if method == "__call__":
        check_call(found, kind, name=name)
    return found


def _built(value: Any, member: Callable[..., Any], *, by_name: bool) -> Any:
    """An argument with its members made; ``by_name``: a text is the name of one."""
    if isinstance(value, str):
        if not by_name:
            return value
        return None if value == "none" else member(value)
    if isinstance(value, Mapping):
        if isinstance(value.get("name"), str):
            rest = {key: one for key, one in value.items() if key != "name"}
            return None if value["name"] == "none" and not rest else member(value["name"], rest)
        return {key: _built(one, member, by_name=by_name) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_built(one, member, by_name=by_name) for one in value)
    return value


def _has_member(default: Any, family: Mapping[str, Any]) -> bool:
    if isinstance(default, Mapping):
        return any(_has_member(one, family) for one in default.values())
    if isinstance(default, tuple):
        return any(_has_member(one, family) for one in default)
    return any(type(default) is member for member in family.values())


def _defaults(found: Any) -> dict[str, Any]:
    """The defaults of what is called to make a thing, those that a dataclass makes included."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return {}
    made = {
        field.name: field.default_factory()
        for field in (dataclasses.fields(found) if dataclasses.is_dataclass(found) else ())
        if field.default_factory is not dataclasses.MISSING
    }
    return {parameter.name: parameter.default for parameter in parameters} | made


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
