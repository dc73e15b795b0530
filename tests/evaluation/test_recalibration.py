"""Calibration maps against closed forms and scikit-learn; what a wrapped predictor keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bayescr.errors import BayescrError
from bayescr.evaluation import predictors
from bayescr.evaluation.counts import LOGIT_GRID, Counts
from bayescr.evaluation.recalibration import (
    Beta,
    Calibrator,
    Isotonic,
    Platt,
    Recalibrated,
    Temperature,
    recalibrate,
)
from bayescr.evaluation.scored import ScoredFrame
from bayescr.inference.prediction import RunningPrediction

METHODS = [Temperature(), Platt(), Beta(), Isotonic()]
EXACT = [Temperature(), Platt(), Beta()]  # maximise the likelihood of the labels and no more


def sample(map_of=lambda z: z, *, size=20_000, seed=0, centre=-3.0):
    """Scores z, and labels drawn from sigmoid(map_of(z))."""
    generator = np.random.default_rng(seed)
    z = generator.normal(centre, 4.0, size)
    return z, generator.random(size) < expit(map_of(z))


def nll(logit, y):
    return np.sum(np.logaddexp(0.0, np.where(y, -logit, logit)))


def logistic_regression(features, y):
    """scikit-learn's, as good as unpenalised: slopes of order 1 shift by 1e-10 or so."""
    model = LogisticRegression(C=1e10, tol=1e-10, solver="newton-cholesky").fit(features, y)
    return [*model.coef_[0], model.intercept_[0]]


# --- the maps ------------------------------------------------------------------------------------


def test_temperature_of_data_made_with_one_is_found():
    z, y = sample(lambda z: z / 2.5)
    found = Temperature().fit(Counts.of(z, y)).temperature
    p = expit(z / 2.5)
    # Fisher information of 1/T is sum z^2 p (1 - p); of T by the chain rule.
    error = 2.5**2 / np.sqrt(np.sum(z**2 * p * (1 - p)))
    assert abs(found - 2.5) < 3.0 * error
    assert error < 0.05  # or the line above says nothing


def test_temperature_has_the_closed_form_of_two_logits():
    counts = Counts(
        score=np.array([-2.0, 2.0]), negative=np.array([900, 100]), positive=np.array([0, 300])
    )
    # |z| = 2 throughout, right 1200 times in 1300: logit of that over 2 is 1/T.
    assert Temperature().fit(counts).temperature == pytest.approx(2.0 / np.log(12.0), rel=1e-12)


def test_platt_is_logistic_regression():
    z, y = sample(lambda z: 0.4 * z - 1.0)
    found = Platt().fit(Counts.of(z, y))
    expected = logistic_regression(z[:, None], y)
    np.testing.assert_allclose([found.slope, found.intercept], expected, rtol=1e-6)


def test_beta_is_logistic_regression_on_the_two_logarithms():
    z, y = sample(lambda z: -0.5 * np.logaddexp(0, -z) + 1.5 * np.logaddexp(0, z) - 0.3)
    found = Beta().fit(Counts.of(z, y))
    p = expit(z)
    expected = logistic_regression(np.column_stack([np.log(p), -np.log1p(-p)]), y)
    np.testing.assert_allclose([found.a, found.b, found.c], expected, rtol=1e-5)
    np.testing.assert_allclose(
        found(z), found.a * np.log(p) - found.b * np.log1p(-p) + found.c, atol=1e-9
    )


def test_beta_of_scores_of_any_size_is_at_the_optimum_under_its_bounds():
    """Against a general minimiser, on scores from 0.01 to 250 and 1 to 1e8 pixels at each."""
    generator = np.random.default_rng(1)
    fitted = 0
    for _ in range(40):
        size = 10.0 ** generator.uniform(-2.0, 2.4)
        score = np.unique(generator.normal(0.5 * size, size, generator.integers(2, 60)))
        pixels = 10.0 ** generator.uniform(0.0, 8.0) * generator.random((2, score.size)) ** 3
        pixels[1] *= 10.0 ** generator.uniform(-4.0, 0.0, score.size)
        negative, positive = generator.poisson(pixels)
        counts = Counts(score=score, negative=negative, positive=positive)
        try:
            found = Beta().fit(counts)(score)
        except BayescrError:  # of one label, separated, or of the wrong sign
            continue
        columns = [-np.logaddexp(0, -score), np.logaddexp(0, score), np.ones(score.size)]
        features = np.column_stack([column / np.abs(column).max() for column in columns])

        def loss(z, n=negative, m=positive):
            return np.sum(m * np.logaddexp(0, -z) + n * np.logaddexp(0, z))

        def loss_and_gradient(weights, x=features, n=negative, m=positive, loss=loss):
            z = x @ weights
            return loss(z), x.T @ (n * expit(z) - m * expit(-z))

        best = minimize(
            loss_and_gradient,
            np.ones(3),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None), (0, None), (None, None)],
            options={"maxiter": 500, "ftol": 1e-15, "gtol": 1e-12},
        )
        assert loss(found) <= best.fun * (1.0 + 1e-9) + 1e-7  # rounding of sums of 1e9 nats
        fitted += 1
    assert fitted > 10


@pytest.mark.parametrize("turned", ["below", "above"])
def test_beta_stays_rising_where_a_tail_turns(turned):
    sign = 1.0 if turned == "below" else -1.0
    # The truth falls in one tail: without a bound, the slope there would be negative.
    z, y = sample(lambda z: 0.8 * sign * (sign * z + 1.5 * np.logaddexp(0, -sign * z)), centre=0.0)
    counts = Counts.of(z, y)
    p = expit(z)
    free = logistic_regression(np.column_stack([np.log(p), -np.log1p(-p)]), y)
    assert min(free[:2]) < -0.1
    found = Beta().fit(counts)
    assert (found.a, found.b)[turned == "above"] == 0.0
    # No point nearby that is allowed is better.
    best = nll(found(z), y)
    for da, db, dc in np.random.default_rng(1).normal(0.0, 0.02, (50, 3)):
        other = Beta(max(found.a + da, 0.0), max(found.b + db, 0.0), found.c + dc)
        assert nll(other(z), y) > best - 1e-6


def test_isotonic_is_that_of_scikit_learn_with_its_half_pixels():
    generator = np.random.default_rng(3)
    z = generator.integers(-20, 10, 3000) / 2.0  # many ties
    y = generator.random(3000) < expit(z)
    found = Isotonic().fit(Counts.of(z, y))
    half = np.array([z.min(), z.min(), z.max(), z.max()])
    reference = IsotonicRegression().fit(
        np.append(z, half),
        np.append(y, [0.0, 1.0, 0.0, 1.0]),
        sample_weight=np.append(np.ones(z.size), np.full(4, 0.5)),
    )
    np.testing.assert_allclose(expit(found(z)), reference.predict(z), atol=1e-12)


def test_a_pure_end_of_the_isotonic_map_is_jeffreys():
    counts = Counts(
        score=np.array([-5.0, 0.0, 5.0]),
        negative=np.array([99, 50, 0]),
        positive=np.array([0, 50, 9]),
    )
    found = expit(Isotonic().fit(counts)(counts.score))
    np.testing.assert_allclose(found, [0.5 / 100.0, 0.5, 9.5 / 10.0], rtol=1e-12)


def test_isotonic_steps_lie_between_the_pixels_and_infinity_is_an_end():
    counts = Counts(
        score=np.array([-np.inf, 0.0, 1.0, np.inf]),
        negative=np.array([90, 8, 2, 1]),
        positive=np.array([1, 2, 8, 90]),
    )
    found = Isotonic().fit(counts)
    low, second, third, high = found(counts.score)
    assert np.isfinite([low, high]).all()
    assert low < second < third < high
    z = np.array([-1e300, 0.499, 0.501, 1e300])
    np.testing.assert_array_equal(found(z), [second, second, third, third])


@pytest.mark.parametrize("method", EXACT, ids=repr)
def test_a_fit_never_does_worse_than_the_identity(method):
    for seed, scale in enumerate([0.01, 0.3, 1.0, 5.0, 60.0]):
        z, y = sample(lambda z: z, size=400, seed=seed)
        z = scale * z
        fitted = method.fit(Counts.of(z, y))
        assert nll(fitted(z), y) <= nll(z, y) * (1.0 + 1e-12)


def test_isotonic_does_no_worse_than_any_rising_map_half_pixels_included():
    z, y = sample(lambda z: 0.3 * z + 1.0, size=1000)
    fitted = Isotonic().fit(Counts.of(z, y))
    ends = np.array([z.min(), z.max()])

    def objective(calibrator):
        half = calibrator(ends)
        return nll(calibrator(z), y) + 0.5 * np.sum(np.logaddexp(0, half) + np.logaddexp(0, -half))

    for other in (Temperature(), *(method.fit(Counts.of(z, y)) for method in EXACT)):
        assert objective(fitted) <= objective(other)


@pytest.mark.parametrize("method", EXACT, ids=repr)
def test_a_strictly_rising_map_keeps_the_ranking(method):
    z, y = sample(lambda z: 0.5 * z - 1.0, size=2000)
    fitted = method.fit(Counts.of(z, y))
    assert roc_auc_score(y, fitted(z)) == pytest.approx(roc_auc_score(y, z), abs=1e-12)
    np.testing.assert_array_equal(fitted(np.array([-np.inf, np.inf])), [-np.inf, np.inf])


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_every_method_rises_keeps_ties_and_describes_itself(method):
    z, y = sample(lambda z: 0.5 * z - 1.0, size=2000)
    np.testing.assert_allclose(method(z), z, atol=1e-12)  # unfitted, the identity
    fitted = method.fit(Counts.of(z, y))
    mapped = fitted(np.repeat(np.sort(z), 2))
    assert mapped.dtype == np.float64
    assert np.all(np.diff(mapped) >= 0.0)
    np.testing.assert_array_equal(mapped[::2], mapped[1::2])
    described = json.loads(json.dumps(fitted.describe(), allow_nan=False))
    assert described.pop("method") == type(method).__name__
    numbers = {name: tuple(v) if isinstance(v, list) else v for name, v in described.items()}
    assert type(method)(**numbers) == fitted
    assert len(repr(fitted)) < 100
    assert isinstance(fitted, Calibrator)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_counts_on_the_grid_give_nearly_the_same_map(method):
    z, y = sample(lambda z: 0.5 * z - 1.0)
    exact = method.fit(Counts.of(z, y))(z)
    rounded = method.fit(LOGIT_GRID.counts(LOGIT_GRID.count(z, y)))(z)
    # Rounding moves a score by 1/128; the mean effect on a smooth map is second order in that.
    assert np.mean(np.abs(exact - rounded)) < (0.02 if isinstance(method, Isotonic) else 1e-3)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_scores_without_a_pixel_say_nothing(method):
    z, y = sample(size=500)
    counts = Counts.of(np.round(z), y)
    holes = Counts(
        score=np.append(counts.score, [50.0, np.inf]),
        negative=np.append(counts.negative, [0, 0]),
        positive=np.append(counts.positive, [0, 0]),
    )
    assert method.fit(holes) == method.fit(counts)


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("label", [False, True])
def test_both_labels_are_needed(method, label):
    with pytest.raises(BayescrError, match=f"no {'negative' if label else 'positive'} pixel"):
        method.fit(Counts.of(np.array([1.0, 2.0]), np.array([label, label])))


@pytest.mark.parametrize("method", [Platt(), Beta()], ids=repr)
def test_separated_labels_are_refused(method):
    with pytest.raises(BayescrError, match="a threshold separates"):
        method.fit(Counts.of(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0, 0, 1, 1]) == 1))
    assert Isotonic().fit(Counts.of(np.array([1.0, 3.0]), np.array([False, True])))(3.0) > 0


def test_a_sign_that_is_always_right_is_refused():
    with pytest.raises(BayescrError, match="temperature would be 0"):
        Temperature().fit(Counts.of(np.array([-1.0, 0.0, 3.0]), np.array([0, 1, 1]) == 1))


@pytest.mark.parametrize("method", EXACT, ids=repr)
def test_scores_of_the_wrong_sign_are_refused(method):
    z, y = sample(centre=0.0)
    with pytest.raises(BayescrError, match="no rising map"):
        method.fit(Counts.of(-z, y))
    with pytest.raises(BayescrError, match="no rising map"):
        method.fit(Counts.of(np.array([1.0, -1.0]), np.array([False, True])))


# --- the wrapped predictor -----------------------------------------------------------------------


@dataclass
class Base:
    """Stands in for a posterior: three draws about a map of logits."""

    name: str = "mean-field"
    num_classes: int = 1
    temperature: float = 0.5
    scaling: str = "the scaling"
    provenance: dict = field(default_factory=lambda: {"seed": 7})

    def predict(self, frame, *, offset=0.0):
        import torch

        running = RunningPrediction()
        for shift in (-1.0, 0.0, 1.5):
            running.add(torch.from_numpy(frame) * (1.0 + 0.2 * shift) + shift + offset)
        return running.result()


@dataclass
class Score:
    """Stands in for a classical method."""

    name: str = "L.A.Cosmic"
    is_probability: bool = False
    provenance: dict = field(default_factory=dict)


def frames_of(*, classes=1, exposures=3, seed=0, true=lambda z, c: z):
    generator = np.random.default_rng(seed)
    for index in range(exposures):
        z = generator.normal(-2.0, 4.0, (classes, 32, 32))
        p = expit(np.stack([true(plane, c) for c, plane in enumerate(z)]))
        yield ScoredFrame(
            exposure=f"e{index}",
            logit=z,
            mutual_information=np.zeros_like(z),
            std=np.zeros_like(z),
            target=generator.random(z.shape) < p,
            valid=generator.random(z.shape) < 0.9,
        )


@pytest.fixture
def answers(monkeypatch):
    """Lets `score_frames` give the frames of the test."""

    def give(**options):
        calls = []

        def score_frames(predictor, dataset, *, num_samples, seed):
            calls.append((predictor, dataset, num_samples, seed))
            yield from frames_of(**options)

        monkeypatch.setattr(predictors, "score_frames", score_frames)
        return calls

    return give


def test_recalibrate_fits_the_valid_pixels_of_all_exposures(answers):
    calls = answers(true=lambda z, c: z / 3.0)
    base = Base()
    found = recalibrate(base, "validation", num_samples=4, seed=9)
    assert calls == [(base, "validation", 4, 9)]
    frames = list(frames_of(true=lambda z, c: z / 3.0))
    z = np.concatenate([frame.z for frame in frames])
    y = np.concatenate([frame.y for frame in frames])
    expected = Temperature().fit(LOGIT_GRID.counts(LOGIT_GRID.count(z, y)))
    assert found == Recalibrated(base, expected)
    assert expected.temperature > 2.0


def test_recalibrate_fits_each_class_by_itself(answers):
    answers(classes=2, exposures=12, true=lambda z, c: z / (1.0 + 3.0 * c))
    first, second = recalibrate(Base(num_classes=2), "validation").calibrator
    # 11,000 pixels a class: T is known to about 3%.
    assert first.temperature == pytest.approx(1.0, rel=0.15)
    assert second.temperature == pytest.approx(4.0, rel=0.15)


def test_a_score_that_only_ranks_needs_an_intercept(answers):
    answers()
    with pytest.raises(BayescrError, match=r"'L.A.Cosmic' only ranks.*use Platt\(\)"):
        recalibrate(Score(), "validation")
    found = recalibrate(Score(), "validation", Platt())
    assert found.is_probability
    assert found.name == "L.A.Cosmic, Platt-scaled"


def test_an_empty_dataset_is_refused(answers):
    answers(exposures=0)
    with pytest.raises(BayescrError, match="is empty"):
        recalibrate(Base(), [])


def test_a_wrapped_predictor_is_its_base_but_for_name_and_provenance():
    wrapped = Recalibrated(Base(), Temperature(2.0))
    assert (wrapped.temperature, wrapped.scaling, wrapped.num_classes) == (0.5, "the scaling", 1)
    assert wrapped.name == "mean-field, temperature-scaled"
    assert wrapped.provenance == {
        "seed": 7,
        "recalibration": [{"method": "Temperature", "temperature": 2.0}],
    }
    assert not hasattr(Recalibrated(Score(), Platt()), "temperature")


@pytest.mark.parametrize(
    "calibrator",
    [Temperature(3.0), Platt(0.5, 1.0), Beta(0.3, 2.0, -1.0), Isotonic((0.0,), (-4.0, 1.0))],
    ids=repr,
)
def test_prediction_keeps_the_epistemic_shares(calibrator):
    frame = np.random.default_rng(0).normal(0.0, 3.0, (1, 16, 16))
    before = Base().predict(frame, offset=0.5)
    after = Recalibrated(Base(), calibrator).predict(frame, offset=0.5)
    p, q = before.probability.astype(float), after.probability.astype(float)
    tolerance = {"rtol": 1e-4, "atol": 1e-6}  # float32 maps, whose p near 1 lose 1 - p
    np.testing.assert_allclose(after.logit, calibrator(before.logit), **tolerance)
    np.testing.assert_allclose(q, expit(calibrator(before.logit)), **tolerance)
    np.testing.assert_allclose(
        after.mutual_information / after.entropy,
        before.mutual_information / before.entropy,
        **tolerance,
    )
    np.testing.assert_allclose(after.std**2 * p * (1 - p), before.std**2 * q * (1 - q), **tolerance)
    np.testing.assert_allclose(
        after.expected_entropy + after.mutual_information, after.entropy, **tolerance
    )
    assert np.all(after.expected_entropy >= 0.0)
    assert after.logit.dtype == np.float32
    assert after.num_samples == 3
    assert before.mutual_information.max() > 0.01  # or the shares say nothing


def test_the_identity_changes_no_map():
    frame = np.random.default_rng(0).normal(0.0, 3.0, (1, 16, 16))
    before, after = Base().predict(frame), Recalibrated(Base(), Temperature()).predict(frame)
    for name in ("probability", "logit", "entropy", "expected_entropy", "mutual_information"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), atol=1e-6)
    np.testing.assert_allclose(after.std, before.std, atol=1e-6)


def test_certain_pixels_stay_certain_and_finite():
    z = np.array([[-np.inf, np.inf, -700.0, 700.0, 0.0]])
    information, std = np.full(z.shape, 1e-30), np.full(z.shape, 1e-30)
    wrapped = Recalibrated(Base(), Temperature(10.0))
    limits = (np.inf, np.log(2.0), 0.5)
    for calibrated, largest in zip(wrapped.apply(z, information, std), limits, strict=True):
        assert not np.isnan(calibrated).any()
        assert np.all(np.abs(calibrated) <= largest)


def test_each_class_has_its_own_map():
    z = np.random.default_rng(0).normal(0.0, 3.0, (2, 4, 4))
    nothing = np.zeros_like(z)
    both = Recalibrated(Base(), (Temperature(2.0), Platt(1.0, 3.0)))
    logit, information, std = both.apply(z, nothing, nothing)
    np.testing.assert_array_equal(logit, [z[0] / 2.0, z[1] + 3.0])
    assert not information.any()
    assert not std.any()
    with pytest.raises(BayescrError, match="3 classes but there are 2 calibrators"):
        both.apply(np.zeros((3, 4, 4)), nothing, nothing)


def test_a_method_without_predict_says_so():
    with pytest.raises(BayescrError, match=r"has no predict\(\)"):
        Recalibrated(Score(), Platt()).predict(np.zeros((4, 4)))
