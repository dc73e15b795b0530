"""Networks, priors, likelihoods and guides as JSON, by name and settings, and back.

    Partial(guide=LowRank(rank=8), on="head.*")
    {"name": "partial", "guide": {"name": "low-rank", "rank": 8, ...}, "on": "head.*"}

Only members of bayescr's own families and Pyro's autoguides are ever made from a name. Of anything
else, which is the user's own, no more is kept than its repr: ``{"name": None, "repr": "mine.f"}``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyro.infer import autoguide

from bayescr.errors import BayescrError
from bayescr.inference import guides
from bayescr.inference._pyro import guide_name
from bayescr.models import UNet, likelihoods, priors

__all__ = ["from_json", "own", "to_json"]

_FAMILIES: dict[str, Mapping[str, Any]] = {
    "net": {"unet": UNet},
    "prior": priors.FAMILY,
    "likelihood": likelihoods.FAMILY,
    "guide": {**guides.FAMILY, "stored-draws": guides.StoredDraws},
}
_AUTOGUIDES = {
    name: member
    for name, member in vars(autoguide).items()
    if isinstance(member, type) and issubclass(member, autoguide.AutoGuide)
}


def to_json(thing: Any, kind: str) -> dict[str, Any]:
    """What a ``"net"``, ``"prior"``, ``"likelihood"`` or ``"guide"`` is, inner ones included."""
    for name, member in _FAMILIES[kind].items():
        if type(thing) is member:
            settings = {key: _value_to_json(one, kind) for key, one in _settings(thing).items()}
            return {"name": name, **settings}
    arguments = thing.keywords if isinstance(thing, functools.partial) else {}
    name = guide_name(thing)
    if _AUTOGUIDES.get(name) is getattr(thing, "func", thing) and _is_json(arguments):
        return {"name": f"autoguide:{name}", **arguments}
    return {"name": None, "repr": _said(thing)}


def from_json(described: Mapping[str, Any], kind: str, *, file: Path) -> Any:
    """The thing again; arrays are tuples.

    Raises:
        BayescrError: If it has a name that is in no family.
    """
    settings = {key: _value(one, kind, file) for key, one in described.items() if key != "name"}
    name = described["name"]
    if kind == "guide" and name.removeprefix("autoguide:") in _AUTOGUIDES:
        return functools.partial(_AUTOGUIDES[name.removeprefix("autoguide:")], **settings)
    if name not in _FAMILIES[kind]:
        raise BayescrError(f"'{file}' names a {kind} '{name}' that this bayescr does not have")
    return _FAMILIES[kind][name](**settings)


def own(described: Any) -> str | None:
    """What the user's own is in a description, however deep in it; None: nothing is."""
    if isinstance(described, list):
        described = dict(enumerate(described))
    if not isinstance(described, dict):
        return None
    if described.keys() == {"name", "repr"} and described["name"] is None:
        return " ".join(str(described["repr"]).split())  # that of a network has several lines
    found = (own(one) for one in described.values())
    return next((said for said in found if said is not None), None)


def _settings(thing: Any) -> Mapping[str, Any]:
    """``config`` of a module, the fields of a dataclass."""
    config = getattr(thing, "config", None)
    if config is not None:
        return config
    return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}


def _value_to_json(value: Any, kind: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _value_to_json(one, kind) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_value_to_json(one, kind) for one in value]
    return value if _is_json(value) else to_json(value, kind)


def _value(value: Any, kind: str, file: Path) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("name"), str):
            return from_json(value, kind, file=file)
        return {key: _value(one, kind, file) for key, one in value.items()}
    if isinstance(value, list):
        return tuple(_value(one, kind, file) for one in value)
    return value


def _said(thing: Any) -> str:
    """The repr of a thing, without the address in memory that a function's has."""
    if hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(thing))


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True
