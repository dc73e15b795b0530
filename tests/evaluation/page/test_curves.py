"""What sliders look up is counted again from the pixels themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from bayescr.evaluation.counts import LOGIT_GRID, Counts
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


def _above(z, y, end, *, below):
    """Flagged positives and negatives where the cells from ``end`` on are flagged.

    A positive cell holds its upper end and a negative one its lower.
    """
    flagged = z >= end if below else z > end
    return int(np.sum(flagged & y)), int(np.sum(flagged & ~y))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_of_a_report_counts_are_those_of_an_end_of_the_cell(temperature):
    """Cells are those of the logit before a temperature; 0.5 ends one, and is exact."""
    generator = np.random.default_rng(4)
    before = generator.normal(-4.0, 5.0, 100_000)
    y = generator.random(before.size) < 1.0 / (1.0 + np.exp(-before))
    z = before / temperature
    counts = LOGIT_GRID.counts(LOGIT_GRID.count(z, y, by=before))
    data = panel([OperatingCurve(name="x", counts=counts)])
    (curve,), start, exact = data["curves"], data["thresholds"]["start"], 0
    for place, t in enumerate(data["thresholds"]["logit"]):
        found = curve["tp"][curve["at"][place]], curve["fp"][curve["at"][place]]
        (cell,) = LOGIT_GRID.code(np.array([t * temperature]))
        toward = cell + (-1 if t > 0 else 1)
        ends = LOGIT_GRID.edge[[cell, toward]] if t else [0.0]
        assert found in [_above(before, y, end, below=t < 0) for end in ends], place
        exact += found == _above(z, y, t, below=False)
        if place == start:
            assert found == _above(z, y, 0.0, below=False)
    assert exact < len(data["thresholds"]["logit"])  # so the page has to say what it does


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
    tp, counts = whole.roc.true_positives, whole.counts
    steps = set(zip(tp[:-1], tp[1:], strict=True))
    for a, b in zip(drawn["tp"][:-1], drawn["tp"][1:], strict=True):
        assert b - a <= tp[-1] / 199 + 1 or (a, b) in steps
    assert len(drawn["tp"]) <= 2 * 200 + len(data["thresholds"]["text"]) + 1
    assert (drawn["tp"][-1], drawn["fp"][-1]) == (counts.num_positive, counts.num_negative)
    assert drawn["accepted"][-1] == counts.size


def test_infinite_scores_are_beyond_every_threshold():
    counts = Counts.of(np.array([np.inf, -np.inf, 0.5]), np.array([True, True, False]))
    curve = panel([OperatingCurve(name="sure", counts=counts)])["curves"][0]
    assert [curve["tp"][curve["at"][k]] for k in (0, -1)] == [1, 1]
    assert curve["tp"][-1] == 2
    assert curve["confidence"][0] is None  # JSON has no infinity


def test_nothing_and_no_error_have_curves():
    none = OperatingCurve(name="none", counts=Counts.of(np.empty(0), np.empty(0, bool)))
    right = OperatingCurve(
        name="right", counts=Counts.of(np.array([2.0, -2.0]), np.array([True, False]))
    )
    empty, perfect = panel([none, right])["curves"]
    assert set(empty["tp"]) | set(empty["accepted"]) == {0}
    assert perfect["errors"] == [0, 0]
    # Of two independent pixels none is wrong in 5% of cases if the risk is 1 - sqrt(0.05).
    _close(perfect["bound"][-1], 1 - np.sqrt(0.05))
