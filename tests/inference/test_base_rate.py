"""Another base rate: Bayes' rule on every draw, before any average is taken."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from astropy.nddata import CCDData
from scipy.special import expit, logit

from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference import fit, guides
from bayescr.inference.base_rate import logit_shift, trained_rates
from bayescr.inference.frame_rate import self_consistent_rate
from bayescr.models import BayesianSegmenter, UNet
from bayescr.models.likelihoods import Bernoulli, NoisyLabelBernoulli, WeightedBernoulli

MAPS = ("probability", "logit", "entropy", "expected_entropy", "mutual_information", "std")
EXACT = {"precision": "float32", "tile": None}


@pytest.fixture(scope="module")
def frame():
    data = np.random.default_rng(5).normal(100.0, 5.0, (19, 23)).astype(np.float32)
    data[7, 5:15] += 60.0
    return CCDData(data, unit="electron")


@pytest.fixture(scope="module")
def two_classes(make_frames_of_two):
    torch.manual_seed(0)
    model = BayesianSegmenter(UNet(width=2, depth=1, num_classes=2))
    return fit(model, guides.MeanField(init_scale=0.3), make_frames_of_two, epochs=2)


@pytest.fixture(scope="module")
def make_frames_of_two():
    rng = np.random.default_rng(3)
    truths = rng.random((3, 2, 16, 16)) < np.array([0.05, 0.3])[:, None, None]
    frames = rng.normal(100.0, 5.0, (3, 16, 16)) + 40.0 * truths.any(axis=1)
    return PatchDataset.from_frames(list(frames), list(truths), patch=None)


def _same(a, b):
    for name in (*MAPS, "valid"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def _with(posterior, likelihood=None, **provenance):
    """The same posterior as if it came from another training."""
    other = copy.copy(posterior)
    other.provenance = {**posterior.provenance, **provenance}
    if likelihood is not None:
        other.model = copy.deepcopy(posterior.model)
        other.model.likelihood = likelihood
    return other


def test_the_shift_is_bayes_rule():
    """On a table p(y), p(x | y) with three kinds of pixels x."""
    of_positive, of_negative = np.array([0.1, 0.2, 0.7]), np.array([0.8, 0.15, 0.05])

    def posterior(rate):
        return rate * of_positive / (rate * of_positive + (1 - rate) * of_negative)

    assert trained_rates(1, labelled=[0.02], likelihood=Bernoulli()) == (0.02,)
    shift = logit_shift((0.3,), (0.02,))
    assert shift.shape == (1, 1, 1)
    np.testing.assert_allclose(expit(logit(posterior(0.02)) + shift.item()), posterior(0.3))


@pytest.mark.parametrize("name", ["map", "mean-field", "low-rank"])
def test_equals_the_mean_over_shifted_draws(fitted, frame, name):
    posterior = fitted(name)
    (rate,) = posterior.provenance["base_rate"]
    shift = logit(0.5) - logit(rate)
    assert abs(shift) > 1.0
    found = posterior.predict(frame, num_samples=4, seed=3, base_rate=0.5, **EXACT)
    image, _ = posterior.scaling(frame)
    draws = posterior.logits(torch.from_numpy(image), num_samples=4, seed=3, tile=None)
    p = expit(np.stack([one[0].numpy() for one in draws]).astype(np.float64) + shift)
    entropy = -p * np.log(p) - (1 - p) * np.log1p(-p)
    mean = p.mean(0)
    expected = {
        "probability": mean,
        "logit": logit(mean),
        "entropy": -mean * np.log(mean) - (1 - mean) * np.log1p(-mean),
        "expected_entropy": entropy.mean(0),
        "std": p.std(0),
    }
    for what, value in expected.items():
        np.testing.assert_allclose(getattr(found, what), value, rtol=1e-5, atol=1e-6, err_msg=what)
    parts = found.expected_entropy + found.mutual_information
    np.testing.assert_allclose(found.entropy, parts, rtol=1e-5, atol=1e-6)


def test_the_shift_comes_before_the_mean(fitted, frame):
    """The mean of shifted draws is not the shifted mean, where draws differ."""
    posterior = fitted("mean-field")
    before = posterior.predict(frame, num_samples=8, **EXACT)
    after = before.with_prior(0.9)
    shift = logit(0.9) - logit(posterior.provenance["base_rate"][0])
    assert np.abs(after.logit - (before.logit + shift)).max() > 1e-3


def test_the_rate_of_the_training_changes_nothing(fitted, two_classes, frame, any_guide_name):
    posterior = fitted(any_guide_name)
    plain = posterior.predict(frame, num_samples=3)
    assert plain.base_rate is None
    _same(plain, posterior.predict(frame, num_samples=3,
                                   base_rate=posterior.provenance["base_rate"]))  # fmt: skip
    _same(plain, plain.with_prior(posterior.provenance["base_rate"][0]))
    rates = two_classes.provenance["base_rate"]
    _same(two_classes.predict(frame), two_classes.predict(frame, base_rate=rates))


def test_one_draw_keeps_its_ranking(fitted, frame):
    """Shifted by the same number everywhere, to the rounding of the maps to float32."""
    posterior = fitted("mean-field")
    plain = posterior.predict(frame, num_samples=1, **EXACT)
    for rate in (1e-6, 0.5, 0.999):
        shifted = plain.with_prior(rate)
        order = np.argsort(plain.logit, axis=None)
        assert (np.diff(shifted.logit.ravel()[order]) >= 0.0).all()
        step = logit(rate) - logit(posterior.provenance["base_rate"][0])
        np.testing.assert_allclose(shifted.logit, plain.logit + step, rtol=1e-6, atol=2e-5)


def test_each_class_has_its_own_rate(two_classes, frame):
    trained = two_classes.provenance["base_rate"]
    plain = two_classes.predict(frame, num_samples=1, **EXACT)
    shifted = two_classes.predict(frame, num_samples=1, base_rate=[trained[0], 0.9], **EXACT)
    assert shifted.base_rate == (trained[0], 0.9)
    np.testing.assert_array_equal(shifted.logit[0], plain.logit[0])
    step = logit(0.9) - logit(trained[1])
    np.testing.assert_allclose(shifted.logit[1], plain.logit[1] + step, atol=1e-5)
    assert plain.with_prior(0.1).base_rate == (0.1, 0.1)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_samples": 5, "seed": 4}, {"tolerance": 0.1, "tile": 16},
        {"num_samples": 2, "sampling": "independent", "batch": 2, "tile": 16},
    ],
)  # fmt: skip
def test_with_prior_predicts_again_with_the_same_settings(fitted, frame, settings):
    posterior = fitted("mean-field")
    first = posterior.predict(frame, **settings)
    second = first.with_prior(0.4)
    expected = posterior.predict(frame, base_rate=0.4, **settings)
    _same(second, expected)
    assert second.base_rate == (0.4,)
    assert (second.num_samples, second.tolerance) == (expected.num_samples, expected.tolerance)
    assert second.frame is frame
    _same(second.with_prior(0.02), first.with_prior(0.02))  # not one shift upon another
    assert "_predict" not in repr(second)


def test_given_draws_are_used_again(fitted, frame):
    posterior = fitted("mean-field")
    draws = posterior.draw(3, seed=8)
    expected = posterior.predict(frame, num_samples=3, seed=8, base_rate=0.3)
    _same(posterior.predict(frame, draws=draws).with_prior(0.3), expected)


def test_maps_on_disk_ask_for_another_folder(fitted, frame, tmp_path):
    first = fitted("mean-field").predict(frame, num_samples=2, scratch=tmp_path / "a")
    second = first.with_prior(0.3, scratch=tmp_path / "b")
    assert isinstance(second.logit, np.memmap)
    _same(second, first.with_prior(0.3))
    with pytest.raises(BayescrError, match="is not empty"):
        first.with_prior(0.3, scratch=tmp_path / "a")


def test_weights_of_the_training_are_undone(fitted, frame):
    """What a weighted training did to the base rate is part of what its logits stand for."""
    posterior = fitted("mean-field")
    (rate,) = posterior.provenance["base_rate"]
    weighted = _with(posterior, WeightedBernoulli(positive=20.0, negative=4.0))
    plain = posterior.predict(frame, num_samples=1, **EXACT)
    back = weighted.predict(frame, num_samples=1, base_rate=rate, **EXACT)
    np.testing.assert_allclose(back.logit, plain.logit - math.log(5.0), atol=1e-5)


def test_the_truth_of_noisy_labels_has_a_rate_of_its_own(fitted, frame):
    posterior = _with(
        fitted("mean-field"), NoisyLabelBernoulli(missed=0.2, false_alarm=0.01), base_rate=[0.05]
    )
    truth = (0.05 - 0.01) / (1 - 0.2 - 0.01)
    plain = posterior.predict(frame, num_samples=1, **EXACT)
    np.testing.assert_allclose(plain.with_prior(truth).logit, plain.logit, atol=1e-6)
    rare = _with(posterior, base_rate=[0.005])
    with pytest.raises(BayescrError, match=r"NoisyLabelBernoulli\(missed=0.2.*do not suit"):
        rare.predict(frame, base_rate=0.1)


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (0.0, "base_rate is 0.0: expected a share of pixels between 0 and 1"),
        (1.0, "between 0 and 1"),
        (-0.1, "between 0 and 1"),
        (math.nan, "between 0 and 1"),
        ([0.1, 0.2], r"has shape \(2,\) but the posterior 1 class"),
        ([[0.1]], r"has shape \(1, 1\)"),
        ([], r"has shape \(0,\)"),
        ("rare", "base_rate is 'rare': expected a share of pixels, or one a class, or 'auto'"),
    ],
)
def test_rates_that_cannot_be(fitted, frame, rate, message, tmp_path):
    posterior = fitted("mean-field")
    with pytest.raises(BayescrError, match=message):
        posterior.predict(frame, base_rate=rate, scratch=tmp_path / "maps")
    assert not (tmp_path / "maps").exists()
    with pytest.raises(BayescrError, match=message):
        posterior.predict(frame, num_samples=1).with_prior(rate)


def test_the_shift_follows_the_weights_whatever_the_default_device(two_classes, frame):
    with torch.device("meta"):
        found = two_classes.predict(frame, num_samples=2, base_rate=[0.1, 0.2])
    _same(found, two_classes.predict(frame, num_samples=2, base_rate=[0.1, 0.2]))


def test_a_posterior_of_unknown_training_is_refused(fitted, frame):
    posterior = copy.copy(fitted("mean-field"))
    posterior.provenance = {}
    assert posterior.predict(frame, num_samples=1).base_rate is None
    with pytest.raises(BayescrError, match=r"no provenance\['base_rate'\]: fit it"):
        posterior.predict(frame, base_rate=0.1)


def test_a_copy_keeps_the_maps_and_takes_no_network_along(fitted, frame):
    prediction = fitted("mean-field").predict(frame, num_samples=2)
    for again in (copy.deepcopy(prediction), pickle.loads(pickle.dumps(prediction))):
        _same(again, prediction)
        with pytest.raises(BayescrError, match="or is a copy"):
            again.with_prior(0.1)
    assert b"torch" not in pickle.dumps(prediction)
    prediction.with_prior(0.1)


@pytest.mark.parametrize("rate", [0.0005, 0.01, 0.4])
@pytest.mark.parametrize("trained", [0.009, 0.2])
def test_the_rate_of_a_frame_is_found(rate, trained):
    """Pixels from two known densities: within four standard errors of what was drawn.

    Of densities N(0, 1) and N(4, 1) almost every pixel tells its class: the standard error is
    hardly more than that of counting.
    """
    rng = np.random.default_rng(6)
    positive = rng.random(200_000) < rate
    x = rng.normal(4.0 * positive)
    of_training = torch.from_numpy(logit(trained) + 4.0 * x - 8.0)
    found = self_consistent_rate(of_training, trained)
    assert found == pytest.approx(positive.mean(), abs=4.0 * math.sqrt(1.5 * rate / len(x)))
    p = expit(of_training.numpy() + logit(found) - logit(trained))
    assert found == pytest.approx((p.sum() + 0.5) / (len(x) + 1), rel=2e-3)

    grid = np.geomspace(found / 3, min(3 * found, 0.99), 2001)  # the likelihood itself
    ratio = np.exp(4.0 * x - 8.0) - 1.0
    value = [np.log1p(q * ratio).sum() + 0.5 * np.log(q * (1.0 - q)) for q in grid]
    assert grid[np.argmax(value)] == pytest.approx(found, rel=3e-3)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_frame_of_one_class_alone_has_half_a_pixel_of_the_other(sign):
    rate = self_consistent_rate(torch.full((999,), sign * 80.0), 0.01)
    share = 0.5 / 1000.0
    assert rate == pytest.approx(share if sign < 0.0 else 1.0 - share, rel=1e-3)
    by_three = self_consistent_rate(torch.full((3 * 999,), sign * 80.0), 0.01, draws=3)
    assert by_three == pytest.approx(rate, rel=1e-3)  # more draws are no more pixels


def test_a_frame_without_pixels_tells_nothing():
    assert self_consistent_rate(torch.empty(0), 0.01) == 0.01


@pytest.mark.parametrize("name", ["map", "mean-field"])
def test_auto_is_the_rate_that_its_own_probabilities_have(fitted, frame, name):
    posterior = fitted(name)
    found = posterior.predict(frame, num_samples=4, base_rate="auto", **EXACT)
    (rate,) = found.base_rate
    number = frame.data.size
    assert rate == pytest.approx((found.probability.sum() + 0.5) / (number + 1), rel=2e-3)
    _same(found, posterior.predict(frame, num_samples=4, base_rate=rate, **EXACT))
    _same(found, posterior.predict(frame, num_samples=4, **EXACT).with_prior("auto"))
    masked = CCDData(np.pad(frame.data, ((0, 0), (0, 9))), unit="electron",
                     mask=np.pad(np.zeros(frame.shape, bool), ((0, 0), (0, 9)),
                                 constant_values=True))  # fmt: skip
    (other,) = posterior.predict(masked, num_samples=4, base_rate="auto", **EXACT).base_rate
    assert other == pytest.approx(rate, rel=0.2)  # as sky, those pixels would have counted


def test_auto_looks_at_tiles_of_its_own(fitted):
    """The rate does not change with what only speed and memory should depend on."""
    posterior = fitted("mean-field")
    data = np.random.default_rng(2).normal(100.0, 5.0, (300, 290)).astype(np.float32)
    first, second = (
        posterior.predict(data, num_samples=2, base_rate="auto", precision="float32", **settings)
        for settings in ({"tile": 64, "batch": 3}, {"tile": None})
    )
    assert first.base_rate == second.base_rate


def test_auto_gives_every_class_a_rate(two_classes, frame):
    found = two_classes.predict(frame, num_samples=3, base_rate="auto", **EXACT)
    means = found.probability.reshape(2, -1).mean(1)
    np.testing.assert_allclose(found.base_rate, means, atol=2e-3)
    tolerant = two_classes.predict(frame, tolerance=0.1, base_rate="auto")
    np.testing.assert_allclose(tolerant.base_rate, found.base_rate, rtol=0.5)
