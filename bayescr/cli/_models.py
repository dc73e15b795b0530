"""The model of an exposure: the one asked for, by path or name, or the one its header asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from bayescr.inference import Posterior

__all__ = ["Wanted", "wanted"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which model, and why.

    Attributes:
        model: The file or folder of a posterior, or a name of `bayescr.pretrained.available`.
        is_path: Whether it is a file or folder.
        reason: What in a header asked for it; None: the user did.
    """

    model: str
    is_path: bool
    reason: str | None = None

    def tell(self, exposure: Path) -> None:
        """Say what was chosen and why, where the user did not choose."""
        if self.reason is not None:
            typer.echo(
                f"note: {exposure}: model '{self.model}', for {self.reason}; another one with "
                "--model",
                err=True,
            )

    def load(self, *, device: str, **own: str | None) -> Posterior:
        """The posterior; errors as of `load_posterior`."""
        from bayescr import pretrained
        from bayescr.cli._posteriors import load_posterior

        if self.is_path:
            return load_posterior(Path(self.model), **own, device=device)
        with pretrained.weights(self.model) as path:
            return load_posterior(path, **own, device=device)

    def cards(self) -> dict[str, tuple[Any, str]]:
        """What the header of the maps says of it."""
        cards = {"BCRMODEL": (Path(self.model).name, "posterior")}
        if self.reason is not None:
            cards["BCRWHY"] = (self.reason, "why this one")
        return cards


def wanted(model: str | None, header: Mapping[str, Any]) -> Wanted:
    """What ``--model`` means for an exposure: a path that exists, else a name, else its header.

    Args:
        model: As given; None: not at all.
        header: Of the exposure.

    Raises:
        BayescrError: If nothing has that path or name, or no model comes with this installation.
    """
    from bayescr import pretrained

    known = pretrained.available()
    if model is None:
        chosen = pretrained.choose(header)
        if not known:
            raise BayescrError(
                f"--model is missing: by the header ({chosen.reason}) it would be "
                f"'{chosen.model}', but this installation of bayescr comes without trained "
                "weights; build them, `bayescr models --build "
                f"recipes/{chosen.model}.toml -o DIR`, or give the folder that `bayescr train` "
                "wrote"
            )
        return Wanted(model=chosen.model, is_path=False, reason=chosen.reason)
    is_word = Path(model).name == model and not Path(model).suffix
    return Wanted(model=model, is_path=Path(model).exists() or not (known and is_word))
