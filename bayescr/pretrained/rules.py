"""Which model suits a frame, by what its header says: a table, and the first rule that fits.

Above the atmosphere stars are a pixel or two wide, hits come at all angles, and protons are many;
on the ground stars are wider than hits, and most of these are muons and the electrons of the rock.
The header says which by the names of telescope and instrument; plate scale and seeing do not tell
(a sharp image of a coarse camera looks like Hubble's) and are not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["FALLBACK", "RULES", "Chosen", "Rule", "choose"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A keyword with one of some values asks for a model.

    Attributes:
        model: Its name.
        keyword: Of the header, primary or extension.
        values: What the value may begin with, whatever the case.
    """

    model: str
    keyword: str
    values: tuple[str, ...]

    def fits(self, header: Mapping[str, Any]) -> bool:
        """Whether a header has the keyword with such a value."""
        return str(header.get(self.keyword, "")).strip().upper().startswith(self.values)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The model for a frame.

    Attributes:
        model: Its name.
        reason: What in the header spoke for it.
    """

    model: str
    reason: str


RULES = (
    Rule(model="space", keyword="TELESCOP", values=("HST",)),
    # Drizzled and cut products do not always keep the telescope; INSTRUME of a simulated frame
    # begins with it.
    Rule(model="space", keyword="INSTRUME", values=("ACS", "WFC3", "WFPC2", "HST")),
)
FALLBACK = "ground"


def choose(header: Mapping[str, Any]) -> Chosen:
    """The model for a frame with this header: that of the first of `RULES` that fits.

    Args:
        header: Of the frame; `read_frame` merges the primary header and the extension's.

    Example:
        >>> choose({"TELESCOP": "HST", "INSTRUME": "WFC3"})
        Chosen(model='space', reason="TELESCOP is 'HST'")
        >>> choose({"TELESCOP": "Nickel 1m"})
        Chosen(model='ground', reason="TELESCOP is 'Nickel 1m'")
    """
    for rule in RULES:
        if rule.fits(header):
            return Chosen(model=rule.model, reason=_said(header, rule.keyword))
    for keyword in dict.fromkeys(rule.keyword for rule in RULES):
        if str(header.get(keyword, "")).strip():
            return Chosen(model=FALLBACK, reason=_said(header, keyword))
    return Chosen(model=FALLBACK, reason="the header names no telescope")


def _said(header: Mapping[str, Any], keyword: str) -> str:
    return f"{keyword} is '{str(header[keyword]).strip()}'"
