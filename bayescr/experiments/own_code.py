"""Priors, guides, metrics of the user's own, and where their files are.

A comparison first copies every such file to its results and from then on looks at the copies alone:
what is trained is what was hashed, and it can be evaluated again when the user's file has changed
or gone. The hash of the text is part of what names a fit. A module of an installed package, named
``package.module:attribute``, is not copied; its text counts as it was when first looked at.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
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
            if source not in self.modules:  # later it may say what was never imported
                self.modules[source] = _source_of_module(source)
            described["source"] = self.modules[source]
        return described

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
        source, _, attribute = name.rpartition(":")
        return f"{self.path(source)}:{attribute}" if source.endswith(".py") else name


def files_of(experiment: Experiment) -> list[str]:
    """The user's files that an experiment names."""
    names = [*experiment.evaluation.metrics, *(c.name for c in experiment.classical.values())]
    names += [one.name for each in experiment.evaluation.recalibrate.values() for one in each]
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
