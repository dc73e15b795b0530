"""Trained posteriors that come with the package: what there is, what suits a frame, their cards.

The weights lie beside this file as safetensors, with their cards as Markdown; ``SHA256SUMS`` says
which bytes they must have (``sha256sum --check`` reads it). `Posterior.from_pretrained` loads one,
``bayescr predict`` chooses one by the header of a frame, ``bayescr models`` shows what there is.
They are made by ``bayescr models --build`` from the recipes of the source tree.
"""

from bayescr.pretrained.card import FORMAT, ModelCard, Score, to_markdown
from bayescr.pretrained.catalogue import SUMS, add, available, weights
from bayescr.pretrained.rules import FALLBACK, RULES, Chosen, Rule, choose

__all__ = [
    "FALLBACK",
    "FORMAT",
    "RULES",
    "SUMS",
    "Chosen",
    "ModelCard",
    "Rule",
    "Score",
    "add",
    "available",
    "choose",
    "to_markdown",
    "weights",
]
