"""Packages that may or may not be installed: imported when needed, with reasons when that fails."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import asdict
from importlib import metadata
from typing import Any, ClassVar

from bayescr.errors import BayescrError

__all__ = ["Packaged", "unavailable"]


class Packaged:
    """An adapter of a package; a frozen dataclass of its settings derives from this."""

    package: ClassVar[str]  # as it is imported
    install: ClassVar[str]  # what gets it

    @property
    def provenance(self) -> dict[str, Any]:
        """Package, version (None where it is not installed) and settings."""
        settings = asdict(self)  # type: ignore[call-overload]  # a dataclass derives from this
        return {"package": self.package, "version": self._version(), "settings": settings}

    def _import(self, module: str | None = None) -> Any:
        """The package, or a module of it.

        Raises:
            BayescrError: If that fails, for whatever reason an import of another project may.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its import is its own affair
                return importlib.import_module(module or self.package)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name == self.package:
                reason = f"{self.package} is not installed: {self.install}"
            else:
                reason = f"{self.package} cannot be imported ({error}): {self.install}"
            raise BayescrError(reason) from error

    def _version(self) -> str | None:
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None


def unavailable(adapter: Any) -> str | None:
    """Why an adapter cannot score frames here, in one line; None where it can.

    A method of your own, which names no package, always can.
    """
    if not isinstance(adapter, Packaged):
        return None
    try:
        adapter._import()
    except BayescrError as error:
        return str(error)
    return None
