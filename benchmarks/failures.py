"""What a finder still gets wrong: missed and false pixels by connected region.

At a threshold on the logit, a missed pixel is a hit below it, a false one no hit and not below it;
pixels that do not count are neither. Regions are connected by sides and corners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation, find_objects, label
from scipy.special import log_expit

from bayescr.evaluation import ScoredFrame

TOUCHING = np.ones((3, 3), bool)
SIZES = {"1 pixel": (1, 1), "2-3": (2, 3), "> 3": (4, np.inf)}
FAINT = (2.0, 3.0)  # sigma
APART = 20  # pixels between two failures that are shown

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Failure:
    """A region of wrong pixels.

    Attributes:
        frame: Where it is.
        row: Of its middle.
        column: Likewise.
        pixels: In it.
        cost: Sum over them of -log of the probability that was given to the truth [nat].
    """

    frame: ScoredFrame
    row: int
    column: int
    pixels: int
    cost: float


def worst(frames: Sequence[ScoredFrame], *, missed: bool, number: int) -> list[Failure]:
    """The costliest regions at p = 1/2; of those at one place of several frames, the costliest."""
    found = []
    for frame in frames:
        wrong, sign = _wrong(frame, threshold=0.0)[0 if missed else 1], 1.0 if missed else -1.0
        cost = np.where(wrong, -log_expit(sign * frame.logit[0]), 0.0)
        regions, _ = label(wrong, TOUCHING)
        for index, box in enumerate(find_objects(regions), start=1):
            inside = regions[box] == index
            middle = [(one.start + one.stop) // 2 for one in box]
            found.append(
                Failure(
                    frame=frame, row=middle[0], column=middle[1], pixels=int(inside.sum()),
                    cost=float(cost[box][inside].sum()),
                )
            )  # fmt: skip
    found.sort(key=lambda one: (-one.cost, one.frame.exposure, one.row, one.column))
    kept: list[Failure] = []
    for one in found:
        if len(kept) < number and all(_are_apart(one, other) for other in kept):
            kept.append(one)
    return kept


def threshold_at(frames: Sequence[ScoredFrame], fpr: float) -> float:
    """The logit that this share of the pixels without a hit exceeds."""
    negatives = np.concatenate([frame.z[~frame.y] for frame in frames])
    return float(np.quantile(negatives, 1.0 - fpr))


def missed_kinds(
    frames: Sequence[ScoredFrame], strength: Sequence[Array], *, threshold: float
) -> dict[str, float]:
    """What missed pixels are: shares of them, by the size of their region and by their strength.

    Args:
        frames: As scored.
        strength: (H, W) of each, what hits left in units of the noise without them.
        threshold: Logit from which a pixel is flagged.
    """
    sizes, faint, all_faint, whole, hits = [], 0, 0, 0, 0
    for frame, sigma in zip(frames, strength, strict=True):
        missed, _ = _wrong(frame, threshold=threshold)
        is_hit, is_faint = (
            frame.target[0] & frame.valid[0],
            (sigma >= FAINT[0]) & (sigma < FAINT[1]),
        )
        sizes += _sizes(missed)
        faint += np.count_nonzero(missed & is_faint)
        all_faint += np.count_nonzero(is_hit & is_faint)
        hits += np.count_nonzero(is_hit)
        regions, count = label(frame.target[0], TOUCHING)
        seen = np.zeros(count + 1, bool)
        seen[np.unique(regions[is_hit & ~missed])] = True
        whole += np.count_nonzero(missed & ~seen[regions])
    total = sum(sizes)
    return {
        "missed, of all hit pixels": _share(total, hits),
        "regions": len(sizes),
        **_by_size(sizes),
        "of hits missed as a whole": _share(whole, total),
        "at 2-3 sigma": _share(faint, total),
        "all hit pixels at 2-3 sigma": _share(all_faint, hits),
    }


def false_kinds(frames: Sequence[ScoredFrame], *, threshold: float) -> dict[str, float]:
    """What false pixels are: shares of them, by the size of their region and where they lie."""
    sizes, beside, negatives = [], 0, 0
    for frame in frames:
        _, false = _wrong(frame, threshold=threshold)
        sizes += _sizes(false)
        beside += np.count_nonzero(false & binary_dilation(frame.target[0], TOUCHING))
        negatives += np.count_nonzero(frame.valid[0] & ~frame.target[0])
    total = sum(sizes)
    return {
        "false, of all other pixels": _share(total, negatives),
        "regions": len(sizes),
        **_by_size(sizes),
        "beside a hit": _share(beside, total),
    }


def _wrong(frame: ScoredFrame, *, threshold: float) -> tuple[Array, Array]:
    """Missed and false pixels, (H, W) bool each."""
    target, valid, flagged = frame.target[0], frame.valid[0], frame.logit[0] >= threshold
    return target & valid & ~flagged, ~target & valid & flagged


def _sizes(wrong: Array) -> list[int]:
    return np.bincount(label(wrong, TOUCHING)[0].ravel())[1:].tolist()


def _by_size(sizes: Sequence[int]) -> dict[str, float]:
    """Share of the pixels in regions of so many."""
    return {
        f"in regions of {name}": _share(sum(n for n in sizes if low <= n <= high), sum(sizes))
        for name, (low, high) in SIZES.items()
    }


def _are_apart(one: Failure, other: Failure) -> bool:
    return max(abs(one.row - other.row), abs(one.column - other.column)) > APART


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
