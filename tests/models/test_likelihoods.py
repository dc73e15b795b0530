"""Every likelihood of the family keeps one contract; each equals its own enumeration."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from pyro.distributions import Independent

from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference import Posterior, fit, guides
from bayescr.inference._validation import validation_nll
from bayescr.models import BayesianSegmenter, UNet, likelihoods
from bayescr.models.likelihoods import Bernoulli, NoisyLabelBernoulli, WeightedBernoulli

NOISY = {"missed": 0.2, "false_alarm": 0.03}
MEMBERS = {
    **{name: (factory, {}) for name, factory in likelihoods.FAMILY.items()},
    "noisy, learnt": (NoisyLabelBernoulli, {**NOISY, "learn": True}),
    "never wrong": (NoisyLabelBernoulli, {"missed": 0.0, "false_alarm": 0.0}),
    "weighted both": (WeightedBernoulli, {"positive": 3.0, "negative": 0.5}),
}


@pytest.fixture(autouse=True)
def _clean_store():
    """A model that is run by itself leaves its plain parameters in Pyro's store."""
    yield
    pyro.clear_param_store()


@pytest.fixture(params=MEMBERS)
def likelihood(request):
    factory, settings = MEMBERS[request.param]
    return factory(**settings)


def _batch(*, count=3, classes=2, size=5, seed=0, dtype=torch.float32):
    source = torch.Generator().manual_seed(seed)
    logits = 3.0 * torch.randn(count, classes, size, size, generator=source, dtype=dtype)
    target = (torch.rand(logits.shape, generator=source) < 0.4).to(dtype)
    valid = torch.rand(count, 1, size, size, generator=source) < 0.7
    return logits, target, valid


def _site(likelihood, *arguments):
    trace = poutine.trace(lambda: likelihood(*arguments)).get_trace()
    trace.compute_log_prob()
    return trace.nodes["obs"]


def _log_prob(likelihood, *arguments):
    return _site(likelihood, *arguments)["log_prob_sum"]


def _by_label(likelihood, logits):
    """Log-likelihood of each label 0 and each label 1, (2, B, K, H, W), as validation reads it."""
    pixels = _site(likelihood, logits, torch.zeros_like(logits))["fn"]
    while isinstance(pixels, Independent):
        pixels = pixels.base_dist
    return torch.stack([pixels.log_prob(torch.full_like(logits, y)) for y in (0.0, 1.0)])


@pytest.mark.parametrize("junk", [255.0, -1.0, math.nan, math.inf, "flipped"])
def test_invalid_pixels_change_nothing_bit_for_bit(likelihood, junk):
    logits, target, valid = _batch()
    other = 1.0 - target if junk == "flipped" else torch.full_like(target, junk)
    found = []
    for labels in (target, torch.where(valid, target, other)):
        leaf = logits.clone().requires_grad_()
        inputs = [leaf, *(likelihood.parameters() if hasattr(likelihood, "parameters") else ())]
        loss = -_log_prob(likelihood, leaf, labels, valid)
        gradients = torch.autograd.grad(loss, inputs)
        found.append([loss, *gradients, likelihood.curvature(logits, labels, valid)])
        assert (gradients[0][~valid.expand_as(logits)] == 0.0).all()
    assert all(torch.equal(a, b) and a.isfinite().all() for a, b in zip(*found, strict=True))


def test_valid_pixels_count_and_the_mask_is_that_of_a_loop(likelihood):
    logits, target, valid = _batch()
    of_label = _by_label(likelihood, logits)
    by_hand = sum(
        of_label[(int(target[at]), *at)].item()
        for at in itertools.product(*map(range, logits.shape))
        if valid[at[0], 0, at[2], at[3]]
    )
    assert _log_prob(likelihood, logits, target, valid).item() == pytest.approx(by_hand, rel=1e-5)
    assert _log_prob(likelihood, logits, 1 - target, valid).item() != pytest.approx(by_hand)


def test_several_classes_add_up(likelihood):
    logits, target, valid = _batch(classes=3)
    together = _log_prob(likelihood, logits, target, valid)
    alone = [_log_prob(likelihood, logits[:, [k]], target[:, [k]], valid) for k in range(3)]
    torch.testing.assert_close(together, sum(alone), rtol=1e-6, atol=0.0)


def test_the_plate_counts_a_batch_for_all_images(likelihood):
    _, target, valid = _batch(size=8)
    model = BayesianSegmenter(UNet(width=2, num_classes=2), likelihood=likelihood)
    found = []
    for number in (3, 30):
        pyro.set_rng_seed(0)
        trace = poutine.trace(model).get_trace(
            torch.ones(3, 1, 8, 8), target, valid, num_images=number
        )
        trace.compute_log_prob()
        found.append(trace.nodes["obs"]["log_prob_sum"].item())
    pyro.clear_param_store()
    assert found[1] == pytest.approx(10 * found[0], rel=1e-6)


def test_without_a_target_labels_are_sampled(likelihood):
    """Their share is that of the label's own probability, to 5 standard errors of 40 000 coins."""
    logits = torch.linspace(-3.0, 3.0, 4)[:, None, None, None].expand(4, 1, 100, 100)
    valid = torch.ones(4, 1, 100, 100, dtype=torch.bool)
    pyro.set_rng_seed(0)
    for mask in (None, valid):
        labels = likelihood(logits, None, mask)
        assert labels.shape == logits.shape
        assert set(labels.unique().tolist()) == {0.0, 1.0}
        site = _site(likelihood, logits, labels, mask)
        p = site["fn"].mean[..., 0, 0]  # of independent labels
        share = labels.mean((-2, -1))
        assert ((share - p).abs() < 5 * (p * (1 - p) / 10_000).sqrt()).all()


def test_shapes_that_do_not_fit_are_told(likelihood):
    logits, target, valid = _batch()
    with pytest.raises(BayescrError, match=r"target has shape \(3, 1, 5, 5\) but the logits"):
        likelihood(logits, target[:, :1])
    for wrong in (valid[:, 0], valid[:1], valid[..., :1]):
        with pytest.raises(BayescrError, match=r"valid has shape .* expected \(3, 1, 5, 5\)"):
            likelihood(logits, target, wrong)


def test_gradients_equal_finite_differences(likelihood):
    """Central differences of 1e-5 in float64: their own error is about 1e-10."""
    if hasattr(likelihood, "double"):
        likelihood.double()
    logits, target, valid = _batch(count=1, size=3, dtype=torch.float64)

    def log_prob(logits):
        return _log_prob(likelihood, logits, target, valid)

    leaf = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(log_prob(leaf), leaf)
    for at in itertools.product(*map(range, logits.shape)):
        step = torch.zeros_like(logits)
        step[at] = 1e-5
        slope = (log_prob(logits + step) - log_prob(logits - step)) / 2e-5
        assert gradient[at].item() == pytest.approx(slope.item(), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_stay_finite(likelihood, dtype):
    logits = torch.tensor([-700.0, -90.0, -20.0, 0.0, 20.0, 90.0, 700.0], dtype=dtype)
    leaf = logits[:, None, None, None].requires_grad_()
    for label in (0.0, 1.0):
        target = torch.full_like(leaf, label)
        value = _log_prob(likelihood, leaf, target)
        (gradient,) = torch.autograd.grad(value, leaf)
        curvature = likelihood.curvature(leaf.detach(), target, None)
        for found in (value, gradient, curvature):
            assert found.isfinite().all()
        assert (curvature >= 0.0).all()


def test_curvature_is_the_mean_second_derivative(likelihood):
    """Over labels by their probability; minus d^2/dl^2 by autograd, twice, in float64."""
    if hasattr(likelihood, "double"):
        likelihood.double()
    logits, _, valid = _batch(dtype=torch.float64)
    leaf = logits.clone().requires_grad_()
    of_label = _by_label(likelihood, leaf)
    mean, expected = 0.0, 0.0
    p = _site(likelihood, logits, torch.zeros_like(logits))["fn"].mean
    for label, probability in ((0, 1.0 - p), (1, p)):
        (slope,) = torch.autograd.grad(of_label[label].sum(), leaf, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), leaf, retain_graph=True)
        expected = expected - probability * bend
        target = torch.full_like(logits, label)
        mean = mean + probability * likelihood.curvature(logits, target, None)
        masked = likelihood.curvature(logits, target, valid)
        assert torch.equal(masked, likelihood.curvature(logits, target) * valid)
    torch.testing.assert_close(mean, expected, rtol=1e-9, atol=1e-12)


def test_repr_and_copies_make_it_again(likelihood):
    logits, target, valid = _batch()
    value = _log_prob(likelihood, logits, target, valid)
    names = {cls.__name__: cls for cls in (Bernoulli, NoisyLabelBernoulli, WeightedBernoulli)}
    cls, arguments = repr(likelihood)[:-1].split("(", 1)
    settings = dict(one.split("=") for one in arguments.split(", ") if one)
    values = {name: text == "True" if text in ("True", "False") else float(text)
              for name, text in settings.items()}  # fmt: skip
    for again in (names[cls](**values), copy.deepcopy(likelihood)):
        assert repr(again) == repr(likelihood)
        assert torch.equal(_log_prob(again, logits, target, valid), value)


def _dataset(*, flip=None, count=4, size=24, seed=0):
    """Bright pixels on noise, 1 in 20; ``flip``: shares missed and falsely labelled."""
    rng = np.random.default_rng(seed)
    truth = rng.random((count, 1, size, size)) < 0.05
    bright = rng.uniform(20.0, 60.0, (count, size, size))  # 4 to 12 sigma
    frames = rng.normal(100.0, 5.0, (count, size, size)) + bright * truth[:, 0]
    chance = rng.random(truth.shape)
    labels = np.where(truth, chance >= flip[0], chance < flip[1]) if flip else truth
    return PatchDataset.from_frames(list(frames), list(labels), patch=None), frames, truth


def _fit(likelihood, dataset, **settings):
    torch.manual_seed(0)
    model = BayesianSegmenter(UNet(width=4, depth=1), likelihood=likelihood)
    return fit(model, guides.MAP(), dataset, batch_size=2, seed=0, **settings)


def test_fits_validates_saves_and_loads(likelihood, tmp_path):
    dataset, frames, _ = _dataset()
    train, validation = dataset.split(0.5, 0.5)
    posterior = _fit(likelihood, train, validation=validation, epochs=2)
    assert np.isfinite(posterior.history["validation_nll"]).all()
    again = Posterior.load(posterior.save(tmp_path))
    assert repr(again.model.likelihood) == repr(posterior.model.likelihood)
    for ours, theirs in zip(posterior.model.state_dict().items(),
                            again.model.state_dict().items(), strict=True):  # fmt: skip
        assert ours[0] == theirs[0]
        assert torch.equal(ours[1], theirs[1])
    maps = [one.predict(frames[0], precision="float32").probability for one in (posterior, again)]
    np.testing.assert_array_equal(*maps)


@pytest.mark.parametrize(("missed", "false_alarm"), [(0.2, 0.03), (0.4, 0.0), (0.0, 0.1)])
def test_noisy_labels_equal_the_sum_over_the_hidden_truth(missed, false_alarm):
    likelihood = NoisyLabelBernoulli(missed=missed, false_alarm=false_alarm)
    logits, _, _ = _batch(dtype=torch.float64)
    found = _by_label(likelihood, logits)
    truth = torch.sigmoid(logits)
    report = {(1, 1): 1 - missed, (0, 1): missed, (1, 0): false_alarm, (0, 0): 1 - false_alarm}
    for label in (0, 1):
        by_hand = report[label, 1] * truth + report[label, 0] * (1 - truth)
        torch.testing.assert_close(found[label].exp(), by_hand, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(found.exp().sum(0), torch.ones_like(logits))


@pytest.mark.parametrize("name", ["never wrong", "unit weights"])
def test_limits_are_the_bernoulli(name):
    """Equal to rounding of float32 logits, 1e-7 each, over 150 pixels."""
    logits, target, valid = _batch()
    plain = Bernoulli()
    other = {
        "never wrong": NoisyLabelBernoulli(missed=0.0, false_alarm=0.0),
        "unit weights": WeightedBernoulli(positive=1.0, negative=1.0),
    }[name]
    assert other.note == ""
    for found, expected in (
        (_log_prob(other, logits, target, valid), _log_prob(plain, logits, target, valid)),
        (other.curvature(logits, target, valid), plain.curvature(logits, target, valid)),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_a_label_cannot_outweigh_its_error_rate():
    """However sure the network, a contradicting label costs at most log of its rate."""
    likelihood = NoisyLabelBernoulli(**NOISY)
    logits = torch.tensor([-700.0, 700.0], dtype=torch.float64)[:, None, None, None]
    found = _by_label(likelihood, logits)[..., 0, 0, 0]
    expected = [[1 - NOISY["false_alarm"], NOISY["missed"]],
                [NOISY["false_alarm"], 1 - NOISY["missed"]]]  # fmt: skip
    np.testing.assert_allclose(found.exp().numpy(), expected, rtol=1e-12)


def test_learnt_rates_start_where_they_are_told_and_stay_below_a_half():
    likelihood = NoisyLabelBernoulli(**NOISY, learn=True)
    assert likelihood.rates == pytest.approx(tuple(NOISY.values()), rel=1e-6)
    logits, target, _ = _batch()
    fixed = NoisyLabelBernoulli(**NOISY)
    torch.testing.assert_close(_log_prob(likelihood, logits, target),
                               _log_prob(fixed, logits, target))  # fmt: skip
    (gradient,) = torch.autograd.grad(_log_prob(likelihood, logits, target), likelihood.logit_rates)
    assert (gradient != 0.0).all()
    for far in (-50.0, 50.0):
        with torch.no_grad():
            likelihood.logit_rates.fill_(far)
        assert all(0.0 <= rate <= 0.5 for rate in likelihood.rates)
    assert not list(fixed.parameters())


def _information(x, slope, offset, missed, false_alarm):
    """Fisher information of (slope, offset, missed, false_alarm) in labels at x, by hand."""
    s = 1.0 / (1.0 + np.exp(-(slope * x + offset)))
    p = (1 - missed) * s + false_alarm * (1 - s)
    by_logit = (1 - missed - false_alarm) * s * (1 - s)
    slopes = np.stack([by_logit * x, by_logit, -s, 1 - s])  # dp / d parameter
    return (slopes / (p * (1 - p))) @ slopes.T


def test_planted_flip_rates_are_found():
    """To 3 standard errors of the maximum, from the Fisher information: 0.013 and 0.0015."""
    source = torch.Generator().manual_seed(0)
    options = {"generator": source, "dtype": torch.float64}
    planted = {"slope": 6.0, "offset": -6.0, "missed": 0.2, "false_alarm": 0.02}
    x = torch.randn(1, 1, 100, 200, **options)
    chance, flip = torch.rand(x.shape, **options), torch.rand(x.shape, **options)
    truth = chance < torch.sigmoid(planted["slope"] * x + planted["offset"])
    labels = torch.where(truth, flip >= planted["missed"], flip < planted["false_alarm"]).double()

    likelihood = NoisyLabelBernoulli(missed=0.05, false_alarm=0.005, learn=True).double()
    line = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([line, *likelihood.parameters()], lr=0.2, max_iter=200)

    def loss():
        optimiser.zero_grad()
        value = -_log_prob(likelihood, line[0] * x + line[1], labels) / x.numel()
        value.backward()
        return value

    optimiser.step(loss)
    covariance = np.linalg.inv(_information(x.numpy().ravel(), **planted))
    errors = np.sqrt(np.diagonal(covariance))
    found = [*line.tolist(), *likelihood.rates]
    assert errors[2:] == pytest.approx([0.013, 0.0015], rel=0.2)
    assert np.all(np.abs(np.array(found) - list(planted.values())) < 3 * errors)


def test_a_fit_to_flipped_labels_knows_the_truth_better():
    """Rates and truth of a network: the learnt likelihood finds both, Bernoulli the labels' own.

    900 bright pixels tell a rate of 0.2 to 0.013, and 17 500 others one of 0.01 to 0.0008; three
    of these, and as much again for a network that is not quite trained.
    """
    dataset, _, _ = _dataset(flip=(0.2, 0.01), count=8, size=48)
    _, frames, truths = _dataset(count=4, size=48, seed=1)
    nll, excess = {}, {}
    for likelihood in (Bernoulli(), NoisyLabelBernoulli(learn=True)):
        posterior = _fit(likelihood, dataset, epochs=60, learning_rate=1e-2)
        z = np.stack([posterior.predict(frame, precision="float32").logit for frame in frames])
        y, z = truths[:, 0], z.astype(np.float64)
        name = type(likelihood).__name__
        nll[name] = np.mean(np.logaddexp(0.0, np.where(y, -z, z)))
        excess[name] = (1.0 / (1.0 + np.exp(-z))).mean() / y.mean() - 1.0
    missed, false_alarm = posterior.model.likelihood.rates
    assert abs(missed - 0.2) < 6 * 0.013
    assert abs(false_alarm - 0.01) < 6 * 0.0008
    assert nll["NoisyLabelBernoulli"] < 0.7 * nll["Bernoulli"]
    assert abs(excess["NoisyLabelBernoulli"]) < abs(excess["Bernoulli"])
    assert "as learnt" in posterior.model.likelihood.note


def test_weights_shift_the_best_logit_by_the_log_of_their_ratio():
    likelihood = WeightedBernoulli(positive=8.0, negative=2.0)
    labels = (torch.arange(1000) < 30).double()[:, None, None, None]  # base rate 0.03
    logit = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logit], line_search_fn="strong_wolfe", max_iter=50)

    def loss():
        optimiser.zero_grad()
        value = -_log_prob(likelihood, logit.expand_as(labels), labels) / len(labels)
        value.backward()
        return value

    optimiser.step(loss)
    assert logit.item() == pytest.approx(math.log(0.03 / 0.97) + math.log(4.0), abs=1e-5)
    assert "+1.39" in likelihood.note


def test_weights_multiply_the_log_likelihood_of_their_labels():
    logits, _, _ = _batch()
    found = _by_label(WeightedBernoulli(positive=3.0, negative=0.5), logits)
    plain = _by_label(Bernoulli(), logits)
    torch.testing.assert_close(found, plain * torch.tensor([0.5, 3.0])[:, None, None, None, None])


def test_implied_rates():
    labelled = torch.tensor([0.03, 0.4], dtype=torch.float64)
    found = WeightedBernoulli(positive=8.0, negative=2.0).implied_rate(labelled)
    odds = 4.0 * labelled / (1.0 - labelled)
    torch.testing.assert_close(found, odds / (1.0 + odds))
    truth = NoisyLabelBernoulli(**NOISY).implied_rate(labelled)
    reported = truth * (1 - NOISY["missed"]) + (1 - truth) * NOISY["false_alarm"]
    torch.testing.assert_close(reported, labelled)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoisyLabelBernoulli(missed=0.5), "missed is 0.5: expected a share below 0.5"),
        (lambda: NoisyLabelBernoulli(false_alarm=-0.1), "false_alarm is -0.1.*from 0 up"),
        (lambda: NoisyLabelBernoulli(missed=math.nan), "missed is nan"),
        (lambda: NoisyLabelBernoulli(missed=0.0, learn=True), "above 0 where it is learnt"),
        (lambda: WeightedBernoulli(positive=0.0), "positive is 0.0: expected a number above 0"),
        (lambda: WeightedBernoulli(negative=math.inf), "negative is inf"),
        (lambda: WeightedBernoulli(positive="8"), "positive is '8': expected a number"),
        (lambda: NoisyLabelBernoulli(missed="0.1"), "missed is '0.1': expected a share"),
        (lambda: NoisyLabelBernoulli(missed=False), "missed is False: expected a share"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(BayescrError, match=message):
        make()


def test_validation_reads_the_likelihood(likelihood):
    """The NLL per label of a point mass, without and against the masked site of the model."""
    dataset, _, _ = _dataset(count=2)
    posterior = _fit(likelihood, dataset, epochs=1)
    found = validation_nll(posterior.model, posterior.guide, dataset, 1, 2)
    draw = {name: values[0] for name, values in posterior.draw(1).items()}
    total = 0.0
    for index in range(len(dataset)):
        item = dataset[index]
        logits = posterior.model.logits(item["image"][None], draw).detach()
        total -= _log_prob(posterior.model.likelihood, logits, item["target"][None]).item()
    assert found == pytest.approx(total / (2 * 24 * 24), rel=1e-5)
