"""[card] of an experiment: what its file says of the model that it makes."""

from __future__ import annotations

from dataclasses import dataclass

from bayescr.errors import BayescrError
from bayescr.experiments._settings import Settings

__all__ = ["Card"]


@dataclass(frozen=True, kw_only=True)
class Card(Settings):
    """[card]: makes a recipe of an experiment, from which ``bayescr models --build`` makes a model.

    Attributes:
        name: Of the model: letters, digits and hyphens.
        arm: Which arm is the model.
        summary: What it is for, a sentence or two.
        suits: Frames that it is for, a line each.
        limits: What it cannot do, a line each; that it knows simulations alone is said unasked.
        licence: Of the weights, by its SPDX name.
    """

    name: str
    arm: str
    summary: str
    suits: tuple[str, ...]
    limits: tuple[str, ...] = ()
    licence: str = "BSD-3-Clause"

    def check(self) -> None:
        """Raise a `BayescrError` for values that cannot be."""
        if not self.name.replace("-", "").isalnum() or self.name != self.name.lower():
            raise BayescrError(
                f"name is '{self.name}': expected lower-case letters, digits and hyphens"
            )
