"""Tables of a TOML file as frozen dataclasses: checked, never coerced, with errors that say where.

A table becomes an instance of a `Settings`, its keys the fields. Types are checked against the
annotations, also of instances that were made in Python. Only two things look different there: an
array is a tuple, and ``{name = "low-rank", rank = 8}`` is a `Choice`.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bayescr.errors import BayescrError

__all__ = ["Choice", "Settings", "from_table", "known_keys", "to_table"]


class Settings:
    """Base of frozen dataclasses: checks the types of all fields, then calls `check`."""

    def __post_init__(self) -> None:
        for name, annotation in typing.get_type_hints(type(self)).items():
            value = getattr(self, name)
            if not _fits(value, annotation):
                raise BayescrError(f"{name} is {_shown(value)}: expected {_described(annotation)}")
        self.check()

    def check(self) -> None:
        """Raise a `BayescrError` for values that cannot be."""


@dataclass(frozen=True, kw_only=True)
class Choice(Settings):
    """A prior, guide, ... by name, with arguments if it is given any.

    Attributes:
        name: A member of the family, ``"file.py:attribute"`` or ``"package.module:attribute"``.
        arguments: Its keyword arguments.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise a `BayescrError` for arguments that have no place in a record."""
        for name, value in self.arguments.items():
            try:
                json.dumps(value)
            except TypeError:
                raise BayescrError(
                    f"argument {name} is {value!r}: expected a text, a number, true or false, or "
                    "arrays and tables of such"
                ) from None


S = TypeVar("S", bound=Settings)


def from_table(cls: type[S], table: Any, *, file: str, at: str = "") -> S:
    """The settings of a table.

    Args:
        cls: What it describes.
        table: As `tomllib` reads it; values that are `Settings` already stay as they are.
        file: Where it comes from, for the error message.
        at: Which table of the file, such as ``"data.simulate"``.

    Raises:
        BayescrError: For a key that is unknown or missing, or a value that cannot be.
    """
    annotations = typing.get_type_hints(cls)
    known_keys(table, list(annotations), file=file, at=at)
    for entry in dataclasses.fields(cls):  # type: ignore[arg-type]
        required = entry.default is entry.default_factory is dataclasses.MISSING
        if required and entry.name not in table:
            raise BayescrError(
                f"{_place(file, at)}: {entry.name} is missing: expected "
                f"{_described(annotations[entry.name])}"
            )
    values = {
        key: _read(annotations[key], value, file, f"{at}.{key}" if at else key)
        for key, value in table.items()
    }
    try:
        return cls(**values)
    except BayescrError as error:
        raise BayescrError(f"{_place(file, at)}: {error}") from None


def known_keys(table: Any, known: list[str], *, file: str, at: str) -> None:
    """Refuse what is no table, and keys that mean nothing.

    Raises:
        BayescrError: With the nearest key that does mean something.
    """
    if not isinstance(table, dict):
        raise BayescrError(f"'{file}': {at} is {_shown(table)}: expected a table, [{at}]")
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise BayescrError(
                f"{_place(file, at)}: unknown key '{key}': {hint}known are {', '.join(known)}"
            )


def _place(file: str, at: str) -> str:
    return f"'{file}' [{at}]" if at else f"'{file}'"


def to_table(settings: Any) -> Any:
    """The table that these settings came from with every default filled in; None: no such key."""
    if isinstance(settings, Choice):
        return (
            {"name": settings.name, **settings.arguments} if settings.arguments else (settings.name)
        )
    if isinstance(settings, Settings):
        entries = dataclasses.fields(settings)  # type: ignore[arg-type]
        return {entry.name: to_table(getattr(settings, entry.name)) for entry in entries}
    if isinstance(settings, Mapping):
        return {name: to_table(value) for name, value in settings.items()}
    return [to_table(value) for value in settings] if isinstance(settings, tuple) else settings


def _read(annotation: Any, value: Any, file: str, at: str) -> Any:
    """A value as Python keeps it; what does not fit is passed on, for the dataclass to refuse."""
    options = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    for option in options:
        origin, inner = typing.get_origin(option), typing.get_args(option)
        if option is Choice:
            return _choice(value, file, at)
        if isinstance(option, type) and issubclass(option, Settings):
            is_read = isinstance(value, option)
            return value if is_read else from_table(option, value, file=file, at=at)
        if origin is tuple and isinstance(value, list):
            return tuple(_read(inner[0], entry, file, at) for entry in value)
        if origin is Mapping and isinstance(value, dict):
            return {key: _read(inner[1], value[key], file, f"{at}.{key}") for key in value}
    return value


def _choice(value: Any, file: str, at: str) -> Any:
    if isinstance(value, str):
        return Choice(name=value)
    if isinstance(value, dict):
        arguments = dict(value)
        name = arguments.pop("name", None)
        if not isinstance(name, str):
            raise BayescrError(
                f"'{file}': {at} is {_shown(value)}: expected a name, or a table with its name "
                'and arguments, such as {name = "normal", scale = 0.5}'
            )
        try:
            return Choice(name=name, arguments=arguments)
        except BayescrError as error:
            raise BayescrError(f"'{file}': {at}: {error}") from None
    return value


def _fits(value: Any, annotation: Any) -> bool:
    if _is_union(annotation):
        return any(_fits(value, option) for option in typing.get_args(annotation))
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(entry, inner[0]) for entry in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(one, inner[1]) for one in value.values())
    if annotation is Any:
        return True
    if annotation is float:  # a whole number is a number
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, annotation) and (annotation is bool or not isinstance(value, bool))


_WORDS = {
    int: "a whole number", float: "a number", str: "a text", bool: "true or false",
    Choice: "a name or a table with its name and arguments", types.NoneType: "nothing",
}  # fmt: skip


def _described(annotation: Any) -> str:
    if _is_union(annotation):
        options = [o for o in typing.get_args(annotation) if o is not types.NoneType]
        return " or ".join(_described(option) for option in options)
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return f"an array, each of it {_described(inner[0])}"
    if origin is Mapping:
        return f"a table, each of it {_described(inner[1])}"
    return _WORDS.get(annotation, "a table")


def _shown(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)
