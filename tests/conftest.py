"""Shapes are checked while the tests run: jaxtyping's annotations, through beartype."""

from __future__ import annotations

from jaxtyping import install_import_hook

install_import_hook(
    ["bayescr.models.segmenter", "bayescr.inference.predictive"], "beartype.beartype"
)
