"""What holds for every metric: invalid pixels, order, NaN, no pixel at all."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import to_logit
from bayescr.evaluation.metrics import (
    abstention,
    augrc,
    auprc,
    aurc,
    auroc,
    base_rate,
    brier,
    brier_skill,
    calibration_line,
    coverage_at_risk,
    dice,
    e_aurc,
    ece,
    error_detection,
    hit_table,
    iou,
    mce,
    mean_entropy,
    mean_mutual_information,
    murphy,
    nll,
    precision_at_recall,
    risk_coverage,
    tpr_at_fpr,
)


def parts(answer):
    return dataclasses.astuple(answer)


# Each gives a number or several, of logit, target and valid.
METRICS = {
    "brier": brier,
    "brier skill": brier_skill,
    "nll": nll,
    "base rate": lambda z, y, valid=None: base_rate(y, valid=valid),
    "murphy": lambda z, y, valid=None: parts(murphy(z, y, valid=valid)),
    "ece": ece,
    "ece of equal mass": lambda z, y, valid=None: ece(z, y, valid=valid, bins="mass"),
    "ece above": lambda z, y, valid=None: ece(z, y, valid=valid, above=0.001),
    "ece up to": lambda z, y, valid=None: ece(z, y, valid=valid, up_to=0.5),
    "mce": mce,
    "calibration line": lambda z, y, valid=None: parts(calibration_line(z, y, valid=valid)),
    "auroc": auroc,
    "auprc": auprc,
    "tpr": lambda z, y, valid=None: tpr_at_fpr(z, y, 0.1, valid=valid),
    "precision": lambda z, y, valid=None: precision_at_recall(z, y, 0.95, valid=valid),
    "iou": iou,
    "dice": dice,
    "aurc": aurc,
    "e-aurc": e_aurc,
    "augrc": augrc,
    "coverage": lambda z, y, valid=None: coverage_at_risk(z, y, 0.1, valid=valid),
    "aurc of a doubt": lambda z, y, valid=None: risk_coverage(z, y, valid=valid, confidence=z).aurc,
    "abstention": lambda z, y, valid=None: parts(abstention(z, y, z, 0.5, valid=valid)),
    "error detection": lambda z, y, valid=None: parts(error_detection(z, y, valid=valid)),
    "entropy": lambda z, y, valid=None: mean_entropy(z, valid=valid),
    "information": lambda z, y, valid=None: mean_mutual_information(z, valid=valid),
}
SHAPED = {
    "hits": lambda z, y, valid=None: hit_table(z, y, valid=valid).total,
    "recall": lambda z, y, valid=None: hit_table(z, y, valid=valid).recall,
}


@pytest.mark.parametrize("name", [*METRICS, *SHAPED])
def test_invalid_pixels_change_nothing_bit_for_bit(name):
    generator = np.random.default_rng(2)
    z, valid = generator.normal(0.0, 3.0, (2, 40, 41)), generator.random((1, 40, 41)) < 0.7
    y = generator.random(z.shape) < 0.3
    hidden = np.broadcast_to(~valid, z.shape)
    other_z, other_y = z.copy(), y.astype(float)
    other_z[hidden] = np.nan
    other_y[hidden] = 7.0
    metric = (METRICS | SHAPED)[name]
    value = metric(z, y, valid=valid)
    np.testing.assert_array_equal(metric(other_z, other_y, valid=valid), value)
    if name in METRICS:
        np.testing.assert_array_equal(metric(z[~hidden], y[~hidden]), value)


@pytest.mark.parametrize("name", METRICS)
def test_order_of_pixels_does_not_matter(name):
    generator = np.random.default_rng(3)
    z = np.round(generator.normal(0.0, 3.0, 3000), 1)
    y = generator.random(3000) < 0.3
    order = generator.permutation(3000)
    # Sums of 3000 numbers in another order: rounding of 1e-16 each.
    expected = METRICS[name](z, y)
    np.testing.assert_allclose(METRICS[name](z[order], y[order]), expected, rtol=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_nan_in_a_valid_pixel_is_an_error(name):
    if name == "base rate":
        with pytest.raises(BayescrError, match="expected 0 or 1"):
            base_rate([0.0, np.nan])
    else:
        with pytest.raises(BayescrError, match="NaN in 1 valid pixel"):
            METRICS[name](np.array([0.0, np.nan]), np.array([True, False]))


@pytest.mark.parametrize("name", METRICS)
def test_no_valid_pixel_is_nan(name):
    z, y = np.zeros((1, 4, 4)), np.zeros((1, 4, 4))
    assert np.isnan(METRICS[name](z, y, valid=np.zeros((1, 4, 4), bool))).all()
    assert np.isnan(METRICS[name](np.empty(0), np.empty(0))).all()


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("z", [-np.inf, -2.0, 0.0, 2.0, np.inf])
def test_one_pixel_gives_a_number_or_nan_and_no_warning(name, z, label):
    found = np.atleast_1d(METRICS[name]([z], [label]))
    if name == "information" or (name == "nll" and (z, label) in {(-np.inf, 1), (np.inf, 0)}):
        assert np.isinf(found).all() == np.isinf(z)  # a certain mistake; the mean of what it is
    else:
        assert np.all(np.isnan(found) | (np.abs(found) <= 10.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: brier([0.0], [0, 1]), r"shape \(2,\) but logit has \(1,\)"),
        (lambda: brier([0.0], [0.5]), "target holds 0.5"),
        (lambda: brier([0.0, 1.0], [0, 1], valid=[1, 0]), "expected bool"),
        (lambda: brier([0.0, 1.0], [0, 1], valid=[True] * 3), "broadcasts"),
        (lambda: murphy([0.0], [1], edges=[2.0, 1.0]), "ascending"),
        (lambda: to_logit([0.2, 1.5]), "probability holds 1.5"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(BayescrError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_probability_of_0_or_1_is_an_infinite_logit():
    np.testing.assert_array_equal(to_logit([0.0, 0.5, 1.0]), [-math.inf, 0.0, math.inf])
