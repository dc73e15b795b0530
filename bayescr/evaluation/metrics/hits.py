"""Hits: of the cosmic rays, how many are found; of what is found, how much is a cosmic ray.

Pixels of one track stand or fall together, and a long track counts as many pixels as a hundred
small hits. So count connected pieces, pixels that touch by a side or a corner, among the valid
pixels:

    hit        piece of the truth;        found if at least half of its pixels are flagged
    detection  piece of the flagged;      true if at least half of its pixels are of the truth
    recall = found hits / hits            purity = true detections / detections

by number of pixels of the piece and by its peak significance, the brightest pixel over the noise
of the sky. Two hits that touch count as one. Both counts add up over frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.ndimage import label
from scipy.special import logit as _logit

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array, valid_pixels, valid_values

__all__ = ["HitTable", "count_hits", "hit_table"]

_SIZES = np.array([1, 2, 5, 10, 30])
_PEAKS = np.array([-np.inf, 5.0, 10.0, 30.0, 100.0])
_NAMES = {
    "size": ("1", "2-4", "5-9", "10-29", "30 and more"),
    "peak S/N": ("below 5", "5-10", "10-30", "30-100", "100 and more"),
}
_COLUMNS = ("hits", "found", "flagged", "true")
_TOUCHING = np.ones((3, 3), int)


@dataclass(frozen=True, kw_only=True, eq=False)
class HitTable:
    """Hits and detections by size and by peak significance.

    Attributes:
        total: (2, 5, 4) int64: by size and by peak; the bins; hits, hits found, detections,
            true detections. Totals of several frames add up. By peak all are 0 where no image
            came with the truth.
    """

    total: Array

    @property
    def recall(self) -> float:
        """Fraction of the hits that are found; NaN without a hit."""
        hits, found = self.total[0].sum(axis=0)[:2]
        return float(found / hits) if hits else float("nan")

    @property
    def purity(self) -> float:
        """Fraction of the detections that are true; NaN without a detection."""
        flagged, true = self.total[0].sum(axis=0)[2:]
        return float(true / flagged) if flagged else float("nan")

    def table(self) -> pd.DataFrame:
        """One row a bin: by, bin, hits, found, recall, flagged, true, purity.

        The rows by peak are there where an image was.
        """
        rows = [
            {"by": by, "bin": name, **dict(zip(_COLUMNS, map(int, counts), strict=True))}
            for by, names, block in zip(_NAMES, _NAMES.values(), self.total, strict=True)
            if by == "size" or block.any()
            for name, counts in zip(names, block, strict=True)
        ]
        table = pd.DataFrame(rows)
        table.insert(4, "recall", table["found"] / table["hits"].where(table["hits"] > 0))
        table["purity"] = table["true"] / table["flagged"].where(table["flagged"] > 0)
        return table


def hit_table(
    logit: ArrayLike,
    target: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    significance: ArrayLike | None = None,
    threshold: float = 0.5,
    overlap: float = 0.5,
) -> HitTable:
    """Count hits and detections of a frame.

    Args:
        logit: log p - log(1 - p), (H, W) or (C, H, W); pieces do not reach across classes.
        target: Label, bool or 0/1, same shape.
        valid: Bool, True where the pixel counts; broadcasts to the shape of ``logit``. A hit that
            invalid pixels cut in two counts as two.
        significance: (H, W) the image above its sky, in units of the noise of the sky.
        threshold: Probability above which a pixel is flagged.
        overlap: Fraction of its pixels that must agree for a piece to be found or true.

    Raises:
        BayescrError: On NaN or a label other than 0 and 1 in a valid pixel, or on shapes, a
            threshold or an overlap that do not fit.

    Example:
        >>> truth = np.array([[1, 1, 0, 0], [0, 0, 0, 1]])
        >>> hits = hit_table(np.where([[1, 0, 0, 0], [0, 0, 0, 0]], 3.0, -3.0), truth)
        >>> hits.recall, hits.purity
        (0.5, 1.0)
    """
    valid_pixels(logit, target, valid=valid)
    z = np.asarray(logit)
    if z.ndim not in (2, 3):
        raise BayescrError(f"logit has shape {z.shape}: expected (H, W) or (C, H, W) to find hits")
    if not 0.0 <= threshold <= 1.0:
        raise BayescrError(f"threshold is {threshold}: expected a probability from 0 to 1")
    use = np.broadcast_to(True if valid is None else np.asarray(valid), z.shape)
    frame = (-1, *z.shape[-2:])
    image = None
    if significance is not None:
        image = np.asarray(significance)
        if image.shape != z.shape[-2:]:
            raise BayescrError(
                f"significance has shape {image.shape}: expected (H, W) = {z.shape[-2:]}"
            )
        valid_values(np.broadcast_to(image, z.shape), valid=use, name="significance")
    total = count_hits(
        ((z > _logit(threshold)) & use).reshape(frame),
        ((np.asarray(target) == 1) & use).reshape(frame),
        significance=image,
        overlap=overlap,
    )
    return HitTable(total=total)


def count_hits(
    flagged: Array, truth: Array, *, significance: Array | None = None, overlap: float = 0.5
) -> Array:
    """The total of :class:`HitTable` for masks in which invalid pixels are False.

    Args:
        flagged: (C, H, W) bool.
        truth: (C, H, W) bool.
        significance: (H, W) the image in units of the noise of its sky, or None.
        overlap: Fraction of a piece that must agree, above 0, up to 1.

    Raises:
        BayescrError: If the overlap is not a fraction.
    """
    if not 0.0 < overlap <= 1.0:
        raise BayescrError(f"overlap is {overlap}: expected a fraction above 0, up to 1 (0.5)")
    return sum(
        (
            np.concatenate(
                [
                    _pieces(true, found, significance, overlap),
                    _pieces(found, true, significance, overlap),
                ],
                axis=2,
            )
            for found, true in zip(flagged, truth, strict=True)
        ),
        start=np.zeros((2, 5, 4), np.int64),
    )


def _pieces(mask: Array, other: Array, significance: Array | None, overlap: float) -> Array:
    """(2, 5, 2): pieces of the mask, and those that the other mask covers enough of."""
    labels, number = label(mask, structure=_TOUCHING)
    piece = labels[mask] - 1  # from here on only the pixels of pieces are looked at
    size = np.bincount(piece, minlength=number)
    covered = np.bincount(piece[other[mask]], minlength=number) / size >= overlap
    by_size = _histogram(np.searchsorted(_SIZES, size, side="right") - 1, covered)
    if significance is None:
        return np.stack([by_size, np.zeros_like(by_size)])
    peak = np.full(number, -np.inf)
    np.maximum.at(peak, piece, significance[mask])
    return np.stack([by_size, _histogram(np.searchsorted(_PEAKS, peak, side="right") - 1, covered)])


def _histogram(place: Array, covered: Array) -> Array:
    counts = [np.bincount(chosen, minlength=_SIZES.size) for chosen in (place, place[covered])]
    return np.stack(counts, axis=1)
