"""Fields: what an exposure is of.

A field is a function ``(canvas, rng)`` that paints sources onto a ``Canvas``. Counts and sizes are
drawn around typical values, so that two exposures of a field differ in crowding and depth as two
pointings do. They are meant to look right and to exercise the eye, not to be measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayescr._names import kebab, unknown_name
from bayescr.simulation.canvas import Canvas
from bayescr.simulation.galaxies import extragalactic, resolved_galaxy
from bayescr.simulation.spectrum import spectrum
from bayescr.simulation.stars import globular_cluster, open_cluster, star_field

__all__ = ["ALIASES", "FIELDS", "WITHOUT_SKY", "dark", "field_name"]


def dark(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint nothing: the shutter is closed."""


FIELDS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "extragalactic": extragalactic,
    "globular-cluster": globular_cluster,
    "resolved-galaxy": resolved_galaxy,
    "open-cluster": open_cluster,
    "star-field": star_field,
    "spectrum": spectrum,
    "dark": dark,
}
ALIASES = {"ex": "extragalactic", "gc": "globular-cluster", "rg": "resolved-galaxy"}
WITHOUT_SKY = ("spectrum", "dark")  # no image of the sky: no background, no coordinates


def field_name(name: str) -> str:
    """The full name of a field, given it or its alias (``gc``).

    Raises:
        BayescrError: If there is no such field; the message suggests the nearest one.
    """
    full = ALIASES.get(name, kebab(name))
    if full not in FIELDS:
        raise unknown_name("field", name, [*FIELDS, *ALIASES])
    return full
