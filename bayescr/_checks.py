"""Settings that are out of range, or no numbers at all: found when they are given."""

from __future__ import annotations

import math
from typing import Any

from bayescr.errors import BayescrError

__all__ = ["check_count", "check_positive", "check_share", "is_number"]


def check_positive(owner: Any, *names: str, **values: Any) -> None:
    """Refuse settings that are no finite numbers above 0.

    Args:
        owner: What has the settings: a thing, or its name.
        names: Attributes of the thing.
        values: Settings by name, where they are no attributes.

    Raises:
        BayescrError: For the first that is none.
    """
    for name, value in _settings(owner, names, values):
        if not (is_number(value) and value > 0):
            raise _error(owner, name, value, "a number above 0")


def check_share(owner: Any, *names: str, **values: Any) -> None:
    """Refuse settings that are no numbers between 0 and 1, neither of which is one.

    Args:
        owner: As in `check_positive`.
        names: As in `check_positive`.
        values: As in `check_positive`.

    Raises:
        BayescrError: For the first that is none.
    """
    for name, value in _settings(owner, names, values):
        if not (is_number(value) and 0 < value < 1):
            raise _error(owner, name, value, "a number between 0 and 1")


def check_count(owner: Any, *names: str, least: int = 1, **values: Any) -> None:
    """Refuse settings that are no whole numbers, or too small.

    Args:
        owner: As in `check_positive`.
        names: As in `check_positive`.
        least: The smallest that is allowed.
        values: As in `check_positive`.

    Raises:
        BayescrError: For the first that is none.
    """
    for name, value in _settings(owner, names, values):
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not (is_whole and value >= least):
            raise _error(owner, name, value, f"a whole number from {least} up")


def is_number(value: object) -> bool:
    """Whether a setting is a finite number."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value)  # type: ignore[arg-type]


def _settings(owner: Any, names: tuple[str, ...], values: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, getattr(owner, name)) for name in names] + list(values.items())


def _error(owner: Any, name: str, value: object, expected: str) -> BayescrError:
    whose = owner if isinstance(owner, str) else type(owner).__name__
    return BayescrError(f"{whose} {name} is {value!r}: expected {expected}".lstrip())
