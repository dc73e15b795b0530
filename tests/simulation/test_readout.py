"""Blooming, charge transfer, offsets and rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bayescr.simulation.readout import bleed, digitise, draw_bias, transfer

IMAGES = arrays.arrays(
    float, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.floats(0, 50)
)


def test_charge_beyond_full_well_runs_along_the_column():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 10, (60, 8))
    image[30, 3], image[31, 3], image[20, 6] = 130.0, 95.0, 14.9
    result = bleed(image, 15.0)
    assert result.max() <= 15.0 + 1e-9
    np.testing.assert_allclose(result.sum(axis=0), image.sum(axis=0))  # nothing reached an edge
    untouched = [0, 1, 2, 4, 5, 6, 7]
    assert (result[:, untouched] == image[:, untouched]).all()
    full = np.flatnonzero(result[:, 3] > 14.9)
    assert (np.diff(full) == 1).all()
    assert full[0] < 30 < 31 < full[-1]
    assert abs((30.5 - full[0]) - (full[-1] - 30.5)) < 8  # about as far each way


@given(IMAGES, st.floats(5, 60))
@settings(max_examples=60, deadline=None)
def test_bleeding_makes_no_charge_and_leaves_columns_apart(image, full_well):
    result = bleed(image, full_well)
    assert (result >= 0).all()
    assert result.max() <= full_well * (1 + 1e-12)
    before, after = image.sum(axis=0), result.sum(axis=0)
    assert (after <= before * (1 + 1e-12) + 1e-9).all()
    calm = (image <= full_well).all(axis=0)
    assert (result[:, calm] == image[:, calm]).all()
    # Each pixel below full well can take what a half of the excess brings: then none is lost.
    far_from_edge = np.pad(image, ((400, 400), (0, 0)))
    np.testing.assert_allclose(bleed(far_from_edge, full_well).sum(axis=0), before, rtol=1e-9)


def test_transfer_leaves_an_exponential_trail_behind(clean_detector):
    detector = clean_detector(transfer_loss=1e-4, trail_length=3.0)
    image = np.zeros((100, 3))
    image[10, 1] = 1e4
    result = transfer(image, detector, first_row=500)
    left = 1e4 * (1 - (1 - 1e-4) ** 511)
    assert result[10, 1] == pytest.approx(1e4 - left)
    steps = np.arange(89)
    expected = left * (1 - np.exp(-1 / 3)) * np.exp(-steps / 3)
    np.testing.assert_allclose(result[11:, 1], expected, rtol=1e-9, atol=1e-9)
    assert not result[:10].any()
    assert not result[:, [0, 2]].any()


@given(st.integers(0, 2000), st.floats(0, 1e-3), st.floats(0.5, 10), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_transfer_conserves_charge_and_is_linear(clean_detector, first_row, loss, length, seed):
    detector = clean_detector(transfer_loss=loss, trail_length=length)
    rng = np.random.default_rng(seed)
    one, other = np.zeros((400, 2)), np.zeros((400, 2))
    one[:40], other[:40] = rng.uniform(0, 1e4, (2, 40, 2))
    moved = transfer(one, detector, first_row=first_row)
    np.testing.assert_allclose(moved.sum(axis=0), one.sum(axis=0), rtol=1e-9)
    assert (moved >= 0).all()
    np.testing.assert_allclose(
        transfer(one + other, detector, first_row=first_row),
        moved + transfer(other, detector, first_row=first_row),
        rtol=1e-9, atol=1e-9,
    )  # fmt: skip


def test_rows_far_from_the_amplifier_lose_more(clean_detector):
    detector = clean_detector(transfer_loss=1e-5)
    flat = np.eye(2)[:, :1] * 1000.0
    near, far = (transfer(flat, detector, first_row=row)[0, 0] for row in (0, 2000))
    assert near == pytest.approx(1000 * (1 - 1e-5))
    assert far == pytest.approx(1000 * (1 - 1e-5) ** 2001)


def test_offsets_of_rows_and_columns(clean_detector):
    detector = clean_detector(row_noise=3.0, column_noise=0.5)
    bias = draw_bias((2000, 1500), detector, np.random.default_rng(1))
    # Five standard errors of a standard deviation from 2000 and 1500 offsets.
    assert bias.mean(axis=1).std() == pytest.approx(3.0, rel=5 / np.sqrt(2 * 2000))
    assert bias.mean(axis=0).std() == pytest.approx(0.5, rel=5 / np.sqrt(2 * 1500))
    np.testing.assert_allclose(bias - bias[:1] - bias[:, :1] + bias[0, 0], 0, atol=1e-9)


def test_two_amplifiers_at_most_and_each_its_offset(clean_detector):
    detector = clean_detector(amplifier_step=7.0, columns=100)
    seen = [draw_bias((4, 100), detector, np.random.default_rng(seed)) for seed in range(600)]
    numbers = np.array([len(np.unique(bias)) for bias in seen])
    assert set(numbers) == {1, 2}
    # The boundary is uniform over three widths, the frame one of them: 1/3, to 5 standard errors.
    assert (numbers == 2).mean() == pytest.approx(1 / 3, abs=5 * np.sqrt(2 / 9 / 600))
    assert all((bias == bias[0]).all() for bias in seen)
    first = np.array([bias[0, 0] for bias in seen])
    assert first.std() == pytest.approx(7.0, rel=5 / np.sqrt(1200))


def test_hum_has_its_amplitude(clean_detector):
    bias = draw_bias((64, 64), clean_detector(pickup=2.0), np.random.default_rng(2))
    assert np.abs(bias).max() == pytest.approx(2.0, rel=0.01)
    assert bias.std() == pytest.approx(np.sqrt(2), rel=0.05)


@given(arrays.arrays(float, 20, elements=st.floats(-1e3, 2e5)), st.floats(0.5, 5))
@settings(max_examples=50, deadline=None)
def test_rounding_to_counts(electrons, gain):
    counts = digitise(electrons, gain) / gain
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-6)
    assert counts.max() <= 65_535 * (1 + 1e-12)
    below = electrons < 65_535 * gain
    assert (np.abs(digitise(electrons, gain) - electrons)[below] <= gain / 2 + 1e-6).all()


def test_no_gain_no_rounding():
    electrons = np.array([0.3, 1e6])
    assert (digitise(electrons, 0.0) == electrons).all()
