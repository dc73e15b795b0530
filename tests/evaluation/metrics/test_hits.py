"""Hits against a flood fill, pixel by pixel."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bayescr.errors import BayescrError
from bayescr.evaluation.metrics import HitTable, hit_table

fixed = settings(derandomize=True, deadline=None, max_examples=300)

SIZES = {"1": (1, 1), "2-4": (2, 4), "5-9": (5, 9), "10-29": (10, 29), "30 and more": (30, 10**9)}
PEAKS = {
    "below 5": (-math.inf, 5.0),
    "5-10": (5.0, 10.0),
    "10-30": (10.0, 30.0),
    "30-100": (30.0, 100.0),
    "100 and more": (100.0, math.inf),
}

shape = (2, 5, 7)
masks = arrays(bool, shape, elements=st.booleans())
# Probabilities on either side of both thresholds of the test, and certain ones.
logits = arrays(float, shape, elements=st.sampled_from([-math.inf, -3.0, -1.0, 0.0, 2.0, math.inf]))
images = arrays(float, shape[1:], elements=st.sampled_from([-2.0, 4.9, 5.0, 12.0, 99.0, 100.0]))


def pieces(mask):
    """Connected sets of pixels (row, column) of one class, by flood fill."""
    left = {(i, j) for i, j in np.argwhere(mask).tolist()}
    while left:
        piece, front = set(), [left.pop()]
        while front:
            i, j = front.pop()
            piece.add((i, j))
            near = {(i + a, j + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & left
            left -= near
            front += near
        yield piece


def brute(flagged, truth, image, overlap):
    """(by, bin) -> [hits, found, flagged, true]."""
    counts = {("size", name): [0] * 4 for name in SIZES}
    counts |= {("peak S/N", name): [0] * 4 for name in PEAKS}
    for of_class, other_of_class in zip(truth, flagged, strict=True):
        for first, mask, other in ((0, of_class, other_of_class), (2, other_of_class, of_class)):
            for piece in pieces(mask):
                agrees = Fraction(sum(other[pixel] for pixel in piece), len(piece)) >= overlap
                peak = max(image[pixel] for pixel in piece)
                by_size = next(n for n, (a, b) in SIZES.items() if a <= len(piece) <= b)
                by_peak = next(n for n, (a, b) in PEAKS.items() if a <= peak < b)
                for key in (("size", by_size), ("peak S/N", by_peak)):
                    counts[key][first] += 1
                    counts[key][first + 1] += agrees
    return counts


@fixed
@given(
    logits, masks, masks, images, st.sampled_from([0.5, 0.1]), st.sampled_from([0.01, 0.5, 0.7, 1])
)
def test_hits_are_those_of_a_flood_fill(z, y, valid, image, threshold, overlap):
    border = {0.5: 0.0, 0.1: math.log(0.1 / 0.9)}[threshold]
    expected = brute((z > border) & valid, y & valid, image, Fraction(str(overlap)))
    found = hit_table(z, y, valid=valid, significance=image, threshold=threshold, overlap=overlap)
    for row in found.table().itertuples():
        counts = [row.hits, row.found, row.flagged, row.true]
        assert counts == expected[row.by, row.bin]
        assert row.recall == pytest.approx(counts[1] / counts[0]) if counts[0] else True
        assert row.purity == pytest.approx(counts[3] / counts[2]) if counts[2] else True
    hits, hit, detections, true = np.sum([expected["size", name] for name in SIZES], axis=0)
    assert found.recall == (
        pytest.approx(hit / hits) if hits else pytest.approx(math.nan, nan_ok=True)
    )
    assert found.purity == (
        pytest.approx(true / detections) if detections else pytest.approx(math.nan, nan_ok=True)
    )
    without = hit_table(z, y, valid=valid, threshold=threshold, overlap=overlap)
    np.testing.assert_array_equal(without.total[0], found.total[0])
    assert set(without.table()["by"]) == {"size"}


def test_every_size_and_peak_falls_into_its_bin():
    """Bars of 1 to 40 pixels with peaks of 1 to 160, each between empty rows."""
    sizes = np.arange(1, 41)
    y = np.zeros((80, 40), bool)
    image = np.zeros((80, 40))
    for size in sizes:
        y[2 * size - 2, :size] = True
        image[2 * size - 2, size // 2] = 4.0 * size
    table = hit_table(np.where(y, 9.0, -9.0), y, significance=image).table().set_index("bin")
    for name, (low, high) in SIZES.items():
        assert table.loc[name, "hits"] == np.sum((sizes >= low) & (sizes <= high))
    for name, (low, high) in PEAKS.items():
        assert table.loc[name, "hits"] == np.sum((4.0 * sizes >= low) & (4.0 * sizes < high))
    assert (table["recall"] == 1.0).all()
    assert (table["purity"] == 1.0).all()


def test_frames_add_up():
    generator = np.random.default_rng(0)
    z, y = generator.normal(-1.0, 2.0, (6, 30, 31)), generator.random((6, 30, 31)) < 0.2
    together = hit_table(z, y).total
    np.testing.assert_array_equal(
        sum(hit_table(a, b).total for a, b in zip(z, y, strict=True)), together
    )


def test_what_invalid_pixels_hold_does_not_matter_and_a_cut_hit_is_two():
    y = np.zeros((3, 5), bool)
    y[1] = True
    valid = np.ones((3, 5), bool)
    valid[:, 2] = False
    z = np.where(y, 4.0, -4.0)
    z[:, 2] = np.nan
    image = np.full((3, 5), 7.0)
    image[:, 2] = np.nan
    cut = hit_table(z, y, valid=valid, significance=image)
    assert cut.total[0, 1].tolist() == [2, 2, 2, 2]
    assert cut.total[1, 1].tolist() == [2, 2, 2, 2]


def test_nothing_is_nothing():
    empty = hit_table(np.full((4, 4), -1.0), np.zeros((4, 4)))
    assert math.isnan(empty.recall)
    assert math.isnan(empty.purity)
    assert (empty.table()[["hits", "found", "flagged", "true"]] == 0).all(axis=None)
    assert isinstance(HitTable(total=empty.total), HitTable)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logit": np.zeros(4), "target": np.zeros(4)}, r"expected \(H, W\) or \(C, H, W\)"),
        ({"threshold": 2.0}, "threshold is 2.0"),
        ({"overlap": 0.0}, "overlap is 0.0"),
        ({"overlap": 50}, "overlap is 50"),
        ({"significance": np.zeros((2, 2))}, r"significance has shape \(2, 2\)"),
        ({"significance": np.full((3, 3), np.nan)}, "significance is NaN in 9 valid pixels"),
        ({"logit": np.full((3, 3), np.nan)}, "logit is NaN"),
        ({"target": np.full((3, 3), 2)}, "target holds 2"),
    ],
)
def test_bad_input_is_one_clear_line(change, message):
    call = {"logit": np.zeros((3, 3)), "target": np.zeros((3, 3))} | change
    with pytest.raises(BayescrError, match=message) as caught:
        hit_table(call.pop("logit"), call.pop("target"), **call)
    assert "\n" not in str(caught.value)
