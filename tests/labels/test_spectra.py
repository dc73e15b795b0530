"""Spectra whose sky lines flicker: the lines are no hits, and one clean exposure is enough."""

import numpy as np
import pytest

from bayescr.errors import BayescrError
from bayescr.labels import label_spectra

from .conftest import as_frame, tracks

SIDE = 160


@pytest.fixture(scope="module")
def spectra():
    rng = np.random.default_rng(0)
    lines = rng.random((SIDE, 1)) < 0.1
    trace = np.exp(-0.5 * ((np.arange(SIDE) - 80) / 3.0) ** 2)
    frames, charges = [], []
    for _ in range(3):
        charge = tracks(rng, SIDE, 12)
        flicker = 1.0 + 0.2 * rng.normal(size=(SIDE, 1))
        expected = 50.0 + 1500.0 * lines * flicker + 800.0 * trace
        frames.append(as_frame(rng.poisson(expected) + rng.normal(0, 4.0, (SIDE, SIDE)) + charge))
        charges.append(charge)
    return frames, charges


def test_tracks_and_nothing_else(spectra):
    frames, charges = spectra
    for frame, charge, labels in zip(frames, charges, label_spectra(frames), strict=True):
        bright = labels.valid & (charge > 12 * np.sqrt(np.maximum(frame.data - charge, 0) + 16))
        assert bright.sum() > 50
        assert labels.truth[bright].mean() > 0.98
        assert (labels.truth & (charge == 0)).sum() <= 3
        assert labels.num_control <= 1


def test_two_exposures_hit_at_one_place(spectra):
    """The third decides: both hits are whole, and the third has neither hit nor hole there."""
    frames = [frame.copy() for frame in spectra[0]]
    place = np.s_[40:43, 100:110]
    for frame, other in zip(frames, frames[::-1], strict=True):
        frame.data[place] = np.minimum(frame.data[place], other.data[place])
    clear = ~np.any([charge[place] for charge in spectra[1]], axis=0)
    for frame in frames[:2]:
        frame.data[place] += 3000.0
    first, second, third = label_spectra(frames)
    assert first.truth[place][clear].all()
    assert second.truth[place][clear].all()
    assert not third.truth[place][clear].any()
    assert first.charge[place][clear] == pytest.approx(3000.0, abs=500.0)


def test_two_spectra_are_too_few(spectra):
    with pytest.raises(BayescrError, match="2 exposures given"):
        label_spectra(spectra[0][:2])
