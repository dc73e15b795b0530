"""Halo, faint regions and confidence: what is said of pixels that are no clear hits."""

import numpy as np
import pytest

from bayescr.labels.labels import make_labels

from .conftest import as_frame


def made(residual, *, decidable=None, noise=1.0):
    decidable = np.ones(residual.shape, bool) if decidable is None else decidable
    return make_labels(
        as_frame(residual), residual, noise, decidable=decidable, seed_sigma=6.0, grow_sigma=3.0
    )


def test_halo_and_faint_regions_are_not_valid():
    residual = np.zeros((20, 20))
    residual[5, 5:8] = 10.0
    residual[6, 5:8] = 1.0, 0.5, 2.0  # beside it, above 0.7 sigma or not
    residual[9, 5] = 2.0  # too far to belong to it
    residual[15, 3:5] = 3.5, 5.0  # too faint for an event, too bright for noise
    residual[15, 15] = 4.0  # noise
    labels = made(residual)
    assert labels.truth.sum() == 3
    assert np.argwhere(~labels.valid).tolist() == [[6, 5], [6, 7], [15, 3], [15, 4]]
    assert labels.charge.sum() == 30.0
    assert (labels.num_events, labels.num_control, labels.sigma) == (1, 0, 1.0)
    assert labels.control_fraction == 0.0


def test_confidence_is_the_share_of_labels_that_are_right():
    """Faint charge in Gaussian noise: in bins of confidence the truth is right as often as said.

    Among pixels beside events; 0.1 is what some hundred pixels a bin allow.
    """
    rng = np.random.default_rng(0)
    charge = np.zeros((600, 600))
    for row in range(10, 590, 12):
        charge[row, 10:590:24] = 30.0
        charge[row + 1, 10:590:24] = rng.uniform(0.0, 6.0, 25)
        charge[row + 2, 10:590:24] = rng.uniform(0.0, 4.0, 25)
    labels = made(charge + rng.normal(size=charge.shape))
    hit = charge > 0
    near = np.zeros(charge.shape, bool)
    for row in range(10, 590, 12):
        for column in range(10, 590, 24):
            near[row - 2 : row + 3, column - 2 : column + 3] = True
    right = labels.truth == hit
    for low, high in ((0.5, 0.75), (0.75, 0.9), (0.9, 1.0)):
        chosen = near & (labels.confidence > low) & (labels.confidence <= high)
        if chosen.sum() > 200:
            assert right[chosen].mean() == pytest.approx(labels.confidence[chosen].mean(), abs=0.1)
    assert labels.confidence[labels.truth & (charge == 30.0)].min() > 0.95
    assert labels.confidence[~near].mean() > 0.99


def test_no_confidence_where_nothing_can_be_said():
    residual = np.random.default_rng(0).normal(size=(50, 50))
    decidable = np.ones((50, 50), bool)
    decidable[10] = False
    residual[10, 10], residual[20, 20] = 50.0, 50.0
    labels = made(residual, decidable=decidable)
    assert (labels.confidence[10] == 0.5).all()
    assert not labels.valid[10].any()
    assert labels.truth.sum() == 1


def test_pure_noise_gives_no_confidence_to_its_own_events():
    """Thresholds so low that noise makes events: as many as its control, so none is believed."""
    residual = np.random.default_rng(0).normal(size=(400, 400))
    labels = make_labels(
        as_frame(residual), residual, 1.0, decidable=np.ones((400, 400), bool),
        seed_sigma=2.5, grow_sigma=2.0,
    )  # fmt: skip
    assert labels.num_events > 100
    assert labels.confidence[labels.truth].mean() < 0.3
