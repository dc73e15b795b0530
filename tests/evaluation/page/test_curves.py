"""What sliders look up is counted again from the pixels themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from bayescr.errors import BayescrError
from bayescr.evaluation.counts import Counts
from bayescr.evaluation.page import OperatingCurve
from bayescr.evaluation.page.curves import panel


@pytest.fixture(scope="module")
def data(page):
    return panel(page.curves)


def _close(numbers, wanted):
    """Six digits are kept of what is shown with four."""
    np.testing.assert_allclose(numbers, wanted, rtol=5.01e-6)


@pytest.mark.parametrize("place", range(3))
def test_flagged_pixels_at_every_threshold(data, page, pixels, place):
    one = pixels[page.curves[place].name]
    curve = data["curves"][place]
    for t, at in zip(data["thresholds"]["logit"], curve["at"], strict=True):
        assert curve["tp"][at] == np.sum((one.score > t) & one.target)
        assert curve["fp"][at] == np.sum((one.score > t) & ~one.target)


@pytest.mark.parametrize("place", range(3))
def test_errors_at_every_coverage(data, page, pixels, place):
    one = pixels[page.curves[place].name]
    confidence, wrong = np.abs(one.score), (one.score > 0) != one.target
    ranked = np.sort(confidence)[::-1]
    curve = data["curves"][place]
    for k, rejected in enumerate(data["coverages"]["rejected"]):
        wanted = max(int(np.ceil(wrong.size * (1 - rejected) - 1e-6)), 1)
        accepted = confidence >= ranked[wanted - 1]  # with all that tie with the last
        assert curve["accepted"][curve["reach"][k]] == accepted.sum()
        assert curve["errors"][curve["reach"][k]] == wrong[accepted].sum()
        _close(curve["confidence"][k], ranked[wanted - 1])
        test = binomtest(int(wrong[accepted].sum()), int(accepted.sum()), alternative="less")
        _close(curve["bound"][k], test.proportion_ci(0.95).high)


def test_positions_are_round_and_on_a_logit_scale(data):
    thresholds, coverages = data["thresholds"], data["coverages"]
    p = np.array([float(text) for text in thresholds["text"]])
    assert {"1e-7", "0.001", "0.37", "0.5", "0.999"} <= set(thresholds["text"])
    # 1 - p loses digits: 1e-16 of 1e-7.
    np.testing.assert_allclose(thresholds["logit"], np.log(p) - np.log1p(-p), atol=2e-9)
    assert np.all(np.diff(thresholds["logit"]) > 0)
    assert np.max(np.diff(thresholds["logit"])) < 0.41  # from 1 to 1.5 in the last digit
    assert thresholds["text"][thresholds["start"]] == "0.5"
    assert coverages["text"][coverages["start"]] == "99"
    assert coverages["text"][-1] == "100"
    c = [float(text) / 100 for text in coverages["text"]]
    np.testing.assert_allclose(coverages["rejected"], 1 - np.array(c), atol=1e-15)


@pytest.mark.parametrize("place", range(3))
def test_what_is_drawn_leaves_out_no_step_that_could_be_seen(data, page, place):
    """Between neighbours a drawn ROC moves by 1/200 of its height, unless the counts jump there."""
    whole, drawn = page.curves[place], data["curves"][place]
    tp = np.append(0, whole.true_positives)
    steps = set(zip(tp[:-1], tp[1:], strict=True))
    for a, b in zip(drawn["tp"][:-1], drawn["tp"][1:], strict=True):
        assert b - a <= tp[-1] / 199 + 1 or (a, b) in steps
    assert len(drawn["tp"]) <= 2 * 200 + len(data["thresholds"]["text"]) + 1
    assert (drawn["tp"][-1], drawn["fp"][-1]) == (whole.num_positive, whole.num_negative)
    assert drawn["accepted"][-1] == whole.num_pixels


def test_infinite_scores_are_beyond_every_threshold():
    counts = Counts.of(np.array([np.inf, -np.inf, 0.5]), np.array([True, True, False]))
    curve = panel([OperatingCurve.of("sure", counts)])["curves"][0]
    assert [curve["tp"][curve["at"][k]] for k in (0, -1)] == [1, 1]
    assert curve["tp"][-1] == 2
    assert curve["confidence"][0] is None  # JSON has no infinity


def test_nothing_and_no_error_have_curves():
    none = OperatingCurve.of("none", Counts.of(np.empty(0), np.empty(0, bool)))
    right = OperatingCurve.of("right", Counts.of(np.array([2.0, -2.0]), np.array([True, False])))
    empty, perfect = panel([none, right])["curves"]
    assert set(empty["tp"]) | set(empty["accepted"]) == {0}
    assert perfect["errors"] == [0, 0]
    # Of two independent pixels none is wrong in 5% of cases if the risk is 1 - sqrt(0.05).
    _close(perfect["bound"][-1], 1 - np.sqrt(0.05))


def _curve(**changes):
    arrays = {
        "logit": [2.0, 1.0], "true_positives": [1, 1], "false_positives": [0, 1],
        "confidence": [2.0, 1.0], "accepted": [1, 2], "errors": [0, 1],
    }  # fmt: skip
    arrays = {name: np.array(values) for name, values in (arrays | changes).items()}
    return OperatingCurve(name="x", **arrays)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logit": [1.0, 2.0]}, "logit does not descend"),
        ({"confidence": [1.0, 1.0]}, "confidence does not descend"),
        ({"errors": [1, 0]}, "errors decreases"),
        ({"true_positives": [1]}, r"true_positives has shape \(1,\) but logit has \(2,\)"),
    ],
)
def test_curves_that_are_none_are_refused(changes, message):
    _curve()
    with pytest.raises(BayescrError, match=message):
        _curve(**changes)
