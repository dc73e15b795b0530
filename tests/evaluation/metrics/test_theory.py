"""Forecasts with nothing, everything and too much to say land where theory puts them.

b is the base rate; N pixels; H the entropy. All columns of a report are there, and have to be.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import entr, expit

from bayescr.evaluation.metrics import METRICS
from bayescr.evaluation.scored import ScoredFrame

nan = math.nan
SHAPE = (1, 400, 400)
N = 400 * 400


def truth():
    generator = np.random.default_rng(0)
    background, tracks = generator.normal(-8.0, 2.0, SHAPE), generator.normal(1.0, 4.0, SHAPE)
    z = np.where(generator.random(SHAPE) < 0.03, tracks, background)
    return z, generator.random(SHAPE) < expit(z)


def table(logit, target, doubt=0.0):
    frame = ScoredFrame(
        exposure="all",
        logit=logit,
        mutual_information=np.broadcast_to(doubt, SHAPE),
        std=np.broadcast_to(doubt, SHAPE),
        target=target,
        valid=np.ones(SHAPE, bool),
    )
    views = {s: s.view(s.of(frame)) for s in dict.fromkeys(m.statistic for m in METRICS)}
    return {metric.name: metric.compute(views[metric.statistic]) for metric in METRICS}


def best_area(errors):
    """AURC of the best order: the errors last."""
    return math.fsum(j / (N - errors + j) for j in range(1, errors + 1)) / N


TRUE_LOGIT, TARGET = truth()
B = float(TARGET.mean())
MISSED = int(TARGET.sum())

#                                    constant b                         perfect
EXACT = {
    "Brier":                        (B * (1 - B),                       0.0),
    "Brier skill":                  (0.0,                               1.0),
    "NLL":                          (entr(B) + entr(1 - B),             0.0),
    "reliability":                  (0.0,                               0.0),
    "resolution":                   (0.0,                               B * (1 - B)),
    "uncertainty":                  (B * (1 - B),                       B * (1 - B)),
    "ECE":                          (0.0,                               0.0),
    "ECE (equal mass)":             (0.0,                               0.0),
    "ECE (p > 0.001)":              (0.0,                               0.0),
    "ECE (flagged)":                (nan,                               0.0),
    "ECE (not flagged)":            (0.0,                               0.0),
    "MCE":                          (0.0,                               0.0),
    "calibration slope":            (nan,                               nan),
    "calibration intercept":        (nan,                               nan),
    "AUROC":                        (0.5,                               1.0),
    "TPR at 0.01% FPR":             (0.0001,                            1.0),
    "TPR at 0.05% FPR":             (0.0005,                            1.0),
    "TPR at 0.1% FPR":              (0.001,                             1.0),
    "TPR at 0.5% FPR":              (0.005,                             1.0),
    "TPR at 1% FPR":                (0.01,                              1.0),
    "AUPRC":                        (B,                                 1.0),
    "precision at 95% recall":      (B,                                 1.0),
    "IoU":                          (0.0,                               1.0),
    "Dice":                         (0.0,                               1.0),
    "hit recall":                   (0.0,                               1.0),
    "hit purity":                   (nan,                               1.0),
    "AURC":                         (B,                                 0.0),
    "E-AURC":                       (B - best_area(MISSED),             0.0),
    "AUGRC":                        (B / 2,                             0.0),
    "AURC (mutual information)":    (nan,                               nan),
    "AURC (std)":                   (nan,                               nan),
    "coverage at 0.1% risk":        (0.0,                               1.0),
    "mean entropy":                 (entr(B) + entr(1 - B),             0.0),
    "mean mutual information":      (0.0,                               0.0),
    "error AUROC (entropy)":        (0.5,                               nan),
    "error AUPR (entropy)":         (B,                                 nan),
    "error AUROC (mutual information)": (nan,                           nan),
    "error AUPR (mutual information)":  (nan,                           nan),
}  # fmt: skip


@pytest.fixture(scope="module")
def tables():
    # A quarter of the pixels each would be enough to tell them; all of them are fast.
    return {
        "constant": table(np.full(SHAPE, math.log(B / (1 - B))), TARGET),
        "perfect": table(np.where(TARGET, np.inf, -np.inf), TARGET),
        "calibrated": table(TRUE_LOGIT, TARGET),
        "overconfident": table(3.0 * TRUE_LOGIT, TARGET),
    }


def test_every_column_has_a_theory():
    assert list(EXACT) == [metric.name for metric in METRICS]


@pytest.mark.parametrize("name", EXACT)
def test_knowing_nothing_and_knowing_all(tables, name):
    constant, perfect = EXACT[name]
    # The logit of b is a sum of N equal numbers over N, off by N roundings at most: 4e-11 of it.
    assert tables["constant"][name] == pytest.approx(constant, rel=1e-10, abs=4e-12, nan_ok=True)
    assert tables["perfect"][name] == pytest.approx(perfect, abs=1e-14, nan_ok=True)


def test_a_calibrated_forecast_scores_its_own_uncertainty(tables):
    """Each sum has, given the probabilities, the mean and variance that they say: five sigma."""
    found = tables["calibrated"]
    p, z = expit(TRUE_LOGIT), TRUE_LOGIT
    spread = p * (1 - p)

    def noise(terms):
        return 5.0 * math.sqrt(np.sum(terms)) / N

    assert found["Brier"] == pytest.approx(spread.mean(), abs=noise(spread * (1 - 2 * p) ** 2))
    entropy = (entr(p) + entr(1 - p)).mean()
    assert found["mean entropy"] == pytest.approx(entropy, rel=1e-12)
    assert found["NLL"] == pytest.approx(entropy, abs=noise(spread * z**2))
    # A bin's squared gap is expected at its variance, sum p (1 - p) / n_k <= n_k / 4: so the
    # reliability at K / 4N with 26 bins, and the ECE below sqrt(15 sum p (1 - p)) / N by
    # Cauchy-Schwarz; five times either is safe.
    assert found["reliability"] < 5.0 * 26.0 / (4.0 * N)
    bound = 5.0 * math.sqrt(15.0 * spread.sum()) / N
    for name in ("ECE", "ECE (equal mass)", "ECE (not flagged)"):
        assert found[name] < bound
    assert found["resolution"] == pytest.approx(p.var(), abs=2.0 * noise(spread) + bound)
    weight = spread / spread.sum()
    center = np.sum(weight * z)
    information = np.sum(spread * (z - center) ** 2)
    assert found["calibration slope"] == pytest.approx(1.0, abs=5.0 / math.sqrt(information))
    error = math.sqrt(1.0 / spread.sum() + center**2 / information)
    assert found["calibration intercept"] == pytest.approx(0.0, abs=5.0 * error)
    wrong = np.minimum(p, 1 - p)
    assert found["AUGRC"] < wrong.mean() / 2  # better than the order of chance
    assert 0.5 < found["error AUROC (entropy)"] < 1.0


def test_overconfidence_costs_calibration_and_no_rank(tables):
    found, calibrated = tables["overconfident"], tables["calibrated"]
    for name in ("Brier", "NLL", "reliability", "MCE", *(n for n in found if "ECE" in n)):
        assert found[name] > 1.5 * calibrated[name] or name == "Brier", name
    assert found["Brier"] > calibrated["Brier"]
    assert found["Brier skill"] < calibrated["Brier skill"]
    assert found["mean entropy"] < calibrated["mean entropy"]
    # Cells of the grid cut logits three times as large in other places: a cell of 1/64 holds
    # pixels that differ by 1.6% in p.
    slope = calibrated["calibration slope"]
    assert found["calibration slope"] == pytest.approx(slope / 3.0, rel=1e-3)
    assert found["calibration intercept"] == pytest.approx(
        calibrated["calibration intercept"], abs=1e-3
    )
    for metric in METRICS:
        if not metric.of_probability:
            expected = calibrated[metric.name]
            assert found[metric.name] == pytest.approx(expected, rel=0.01, nan_ok=True)


def test_every_forecast_stands_between_the_constant_and_the_perfect_one(tables):
    for metric in METRICS:
        constant, perfect = EXACT[metric.name]
        between = metric.group in ("scores", "detection", "selective prediction")
        if between and constant != perfect and not math.isnan(constant + perfect):
            low, high = sorted([constant, perfect])
            assert low < tables["calibrated"][metric.name] < high, metric.name


def test_a_doubt_that_knows_its_errors_finds_them_all():
    wrong = (TRUE_LOGIT > 0.0) != TARGET
    found = table(TRUE_LOGIT, TARGET, doubt=np.where(wrong, 0.4, 0.1))
    assert found["error AUROC (mutual information)"] == 1.0
    assert found["error AUPR (mutual information)"] == 1.0
    area = best_area(int(wrong.sum()))
    assert found["AURC (mutual information)"] == pytest.approx(area, rel=1e-12)
    assert found["AURC (std)"] == pytest.approx(area, rel=1e-12)
    assert found["AURC"] - found["E-AURC"] == pytest.approx(area, rel=1e-9)
