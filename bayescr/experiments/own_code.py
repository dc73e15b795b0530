"""Priors, guides, metrics of the user's own, and where their files are.

A comparison first copies every such file to its results and from then on looks at the copies alone:
what is trained is what was hashed, and it can be evaluated again when the user's file has changed
or gone. The hash of the text is part of what names a fit. A module of an installed package, named
``package.module:attribute``, is not copied; its text counts as it was when first looked at. A name
may stand among the arguments, too: ``{name = "ensemble", guide = "mine.py:Guide"}``.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bayescr._files import atomic_path
from bayescr._names import make, resolve
from bayescr.experiments import _fingerprint as fingerprint
from bayescr.experiments._settings import Choice
from bayescr.experiments.config import Experiment

__all__ = ["OwnCode", "files_of"]


@dataclass(frozen=True, kw_only=True)
class OwnCode:
    """Turns names into things, ``file.py:attribute`` relative to a folder.

    Attributes:
        folder: What the names of files are relative to.
        copies: File as the experiment names it -> its copy below ``folder``.
        modules: Module -> hash of its source, of those that were looked at.
    """

    folder: Path
    copies: Mapping[str, str] = field(default_factory=dict)
    modules: dict[str, str | None] = field(default_factory=dict, repr=False, compare=False)

    def make(
        self, choice: Choice, family: Mapping[str, Any], *, kind: str, method: str = "__call__"
    ) -> Any:
        """What a choice names, as `bayescr._names.make` finds it."""
        return make(
            self._located(choice.name),
            family,
            kind=kind,
            arguments=_texts(self._located, choice.arguments),
            method=method,
        )

    def resolve(self, name: str, *, kind: str) -> Any:
        """What a name of one's own stands for, uncalled."""
        return resolve(self._located(name), {}, kind=kind)

    def path(self, file: str) -> Path:
        """Where a file that the experiment names is."""
        return self.folder / self.copies.get(file, file)

    def describe(self, choice: Choice) -> dict[str, Any]:
        """Name, arguments and sources of a choice; the folder of a file says nothing about it."""
        described = self._described(choice.name)
        if isinstance(described, str):
            described = {"name": described}
        arguments = {key: _in_order(value) for key, value in choice.arguments.items()}
        return {**described, "arguments": _texts(self._described, arguments)}

    def spelled(self, choice: Choice) -> str:
        """A choice as an option of the command line names it, where its files are at hand."""

        def short(name: str) -> str:
            source, attribute = _parted(name)
            return f"{Path(source).name}:{attribute}" if source.endswith(".py") else name

        table = _texts(short, {"name": choice.name, **choice.arguments})
        return _toml(table) if choice.arguments else table["name"]

    def copied(self, files: list[str], output: Path) -> OwnCode:
        """The same code through copies of its files below ``output``, made where missing.

        Raises:
            BayescrError: If a file cannot be read.
        """
        copies = {}
        for file in files:
            text = fingerprint.read(self.path(file))  # once: it may change at any time
            short = fingerprint.of_bytes(text)[: fingerprint.SHORT]
            copies[file] = f"code/{short}/{Path(file).name}"
            copy = output / copies[file]
            if not copy.is_file() or copy.read_bytes() != text:
                with atomic_path(copy) as temporary:
                    temporary.write_bytes(text)
        return replace(self, folder=output, copies=copies)

    def _located(self, name: str) -> str:
        source, attribute = _parted(name)
        return f"{self.path(source)}:{attribute}" if source.endswith(".py") else name

    def _described(self, name: str) -> str | dict[str, Any]:
        """A name of one's own with the hash of its source; any other text as it is."""
        source, attribute = _parted(name)
        if source.endswith(".py"):
            short = f"{Path(source).name}:{attribute}"
            return {"name": short, "source": fingerprint.of_file(self.path(source))}
        if not source:
            return name
        if source not in self.modules:  # later it may say what was never imported
            self.modules[source] = _source_of_module(source)
        return {"name": name, "source": self.modules[source]}


def files_of(experiment: Experiment) -> list[str]:
    """The user's files that an experiment names."""
    names = list(experiment.evaluation.metrics)
    choices = [*experiment.classical.values()]
    choices += [one for each in experiment.evaluation.recalibrate.values() for one in each]
    for arm in experiment.arms.values():
        choices += [arm.guide, arm.model.prior, arm.model.likelihood]
        choices += [arm.training.kl_schedule, arm.training.estimator]
    if experiment.start is not None:
        start = experiment.start
        choices += [start.guide, start.kl_schedule, start.estimator]
    for choice in choices:
        _texts(names.append, [choice.name, choice.arguments])
    sources = (_parted(name)[0] for name in names)
    return sorted({source for source in sources if source.endswith(".py")})


_OWN = re.compile(r"(?s)(.+\.py|[^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")


def _parted(name: str) -> tuple[str, str]:
    """``"file.py:attribute"`` -> its two parts; two empty texts for what is no such name."""
    match = _OWN.fullmatch(name)
    return (match[1], match[2]) if match else ("", "")


def _texts(act: Callable[[str], Any], value: Any) -> Any:
    """A tree of arguments with something done to every text in it, but not to keys."""
    if isinstance(value, str):
        return act(value)
    if isinstance(value, Mapping):
        return {key: _texts(act, one) for key, one in value.items()}
    return [_texts(act, one) for one in value] if isinstance(value, list | tuple) else value


def _in_order(value: Any) -> Any:
    """A tree of arguments whose tables are lists of pairs: the first pattern that fits counts.

    Except in a table of a member's own arguments, which has no order.
    """
    if isinstance(value, Mapping):
        ordered = {key: _in_order(one) for key, one in value.items()}
        return ordered if isinstance(value.get("name"), str) else list(ordered.items())
    return [_in_order(one) for one in value] if isinstance(value, list | tuple) else value


def _toml(value: Any) -> str:
    """A table, an array, ... on one line of TOML."""
    if isinstance(value, Mapping):
        entries = (
            f"{key if _BARE.fullmatch(key) else json.dumps(key)} = {_toml(one)}"
            for key, one in value.items()
        )
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def _source_of_module(name: str) -> str | None:
    try:
        return fingerprint.of_json(inspect.getsource(importlib.import_module(name)))
    except (ImportError, OSError, TypeError):  # `make` says what is wrong, or it is written in C
        return None
