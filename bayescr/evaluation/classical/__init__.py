"""Other people's cosmic-ray finders as rows of a report: one adapter a file, none a dependency.

An adapter is a frozen dataclass of settings with

    name             what the row is called
    is_probability   True: the score is a logit to be taken at its word; False: it only ranks
    provenance       package, version and settings, JSON-able
    score(frame)     (H, W) float32, without NaN: above 0 exactly where the package, called with
                     these settings, flags the pixel; larger = more surely a cosmic ray. On the
                     scale of a logit: reports take all scores above 700 for equal

Your own method needs no more than these four. Packages are imported by the first ``score``;
`unavailable` tells whether that will work.
"""

from collections.abc import Callable
from typing import Any

from bayescr.evaluation.classical._packages import unavailable
from bayescr.evaluation.classical.astroscrappy import Astroscrappy
from bayescr.evaluation.classical.cosmic_conn import CosmicCoNN
from bayescr.evaluation.classical.deepcr import DeepCR
from bayescr.evaluation.classical.lacosmic import LACosmic

__all__ = ["FAMILY", "Astroscrappy", "CosmicCoNN", "DeepCR", "LACosmic", "unavailable"]

FAMILY: dict[str, Callable[..., Any]] = {
    "astroscrappy": Astroscrappy,
    "lacosmic": LACosmic,
    "deepcr": DeepCR,
    "cosmic-conn": CosmicCoNN,
}
