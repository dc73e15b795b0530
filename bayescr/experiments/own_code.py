"""Priors, guides, metrics of the user's own, and where their files are.

A comparison keeps a copy of every such file beside its results, so that it can be evaluated again
when the user's has changed or gone; the hash of the text is part of what names a fit.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """

    folder: Path
    copies: Mapping[str, str] = field(default_factory=dict)

    def make(
        self, choice: Choice, family: Mapping[str, Any], *, kind: str, method: str = "__call__"
    ) -> Any:
        """What a choice names, as `bayescr._names.make` finds it."""
        return make(
            self._located(choice.name),
            family,
            kind=kind,
            arguments=choice.arguments,
            method=method,
        )

    def resolve(self, name: str, *, kind: str) -> Any:
        """What a name of one's own stands for, uncalled."""
        return resolve(self._located(name), {}, kind=kind)

    def path(self, file: str) -> Path:
        """Where a file that the experiment names is."""
        return self.folder / self.copies.get(file, file)

    def describe(self, choice: Choice) -> dict[str, Any]:
        """Name, arguments and source of a choice; the folder of a file says nothing about it."""
        source, colon, attribute = choice.name.rpartition(":")
        described: dict[str, Any] = {"name": choice.name, "arguments": dict(choice.arguments)}
        if source.endswith(".py"):
            described["name"] = f"{Path(source).name}:{attribute}"
            described["source"] = fingerprint.of_file(self.path(source))
        elif colon:
            described["source"] = _source_of_module(source)
        return described

    def keep(self, files: list[str], output: Path) -> dict[str, str]:
        """Copy files below ``output``; returns the copies by the names of the files."""
        copies = {}
        for file in files:
            short = fingerprint.of_file(self.path(file))[: fingerprint.SHORT]
            copies[file] = f"code/{short}/{Path(file).name}"
            if not (output / copies[file]).is_file():
                with atomic_path(output / copies[file]) as temporary:
                    temporary.write_bytes(self.path(file).read_bytes())
        return copies

    def _located(self, name: str) -> str:
        source, _, attribute = name.rpartition(":")
        return f"{self.path(source)}:{attribute}" if source.endswith(".py") else name


def files_of(experiment: Experiment) -> list[str]:
    """The user's files that an experiment names."""
    names = [*experiment.evaluation.metrics, *(c.name for c in experiment.classical.values())]
    for arm in experiment.arms.values():
        choices = (arm.guide, arm.model.prior, arm.model.likelihood, arm.training.kl_schedule)
        names += [choice.name for choice in choices]
    if experiment.start is not None:
        names += [experiment.start.guide.name, experiment.start.kl_schedule.name]
    sources = (name.rpartition(":")[0] for name in names)
    return sorted({source for source in sources if source.endswith(".py")})


def _source_of_module(name: str) -> str | None:
    try:
        return fingerprint.of_json(inspect.getsource(importlib.import_module(name)))
    except (ImportError, OSError, TypeError):  # `make` says what is wrong, or it is written in C
        return None
