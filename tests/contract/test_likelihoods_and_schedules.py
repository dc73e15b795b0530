"""The contract of every likelihood and every KL schedule, a user's own included.

How to run it on one's own is told in test_guides_and_priors.py.
"""

from __future__ import annotations

import math

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine

from bayescr.inference import AnnealedELBO, Posterior, fit, guides
from bayescr.inference._pyro import build_guide, local_parameters
from bayescr.models import BayesianSegmenter


def _observed(likelihood, logits, target, valid=None):
    """The observation site, in the plate over images that a model puts around it."""
    with poutine.trace() as tracer, pyro.plate("images", len(logits)):
        likelihood(logits, target, valid)
    sites = [node for node in tracer.trace.nodes.values() if node["type"] == "sample"]
    (site,) = [site for site in sites if site["name"] != "images"]
    return site


def _log_prob(likelihood, logits, target, valid=None):
    site = _observed(likelihood, logits, target, valid)
    return site["fn"].log_prob(site["value"])


@pytest.fixture
def logits():
    return torch.linspace(-4.0, 4.0, 2 * 144).reshape(2, 1, 12, 12).requires_grad_()


def test_one_observation_an_image(likelihood, logits, batch):
    _, target, valid = batch
    site = _observed(likelihood, logits, target, valid)
    assert site["name"] == "obs"
    assert site["is_observed"]
    log_prob = site["fn"].log_prob(site["value"])
    assert log_prob.shape == (2,)
    assert log_prob.isfinite().all()
    alone = [
        _log_prob(likelihood, logits[i, None], target[i, None], valid[i, None]) for i in (0, 1)
    ]
    torch.testing.assert_close(torch.cat(alone), log_prob)


def test_labels_of_pixels_that_do_not_count_change_nothing(likelihood, logits, batch):
    """Bit for bit, neither the log-likelihood nor its gradient, whatever stands there."""
    _, target, valid = batch
    results = []
    for junk in (0.0, 1.0, 255.0, math.nan):
        labels = torch.where(valid, target, torch.tensor(junk))
        log_prob = _log_prob(likelihood, logits, labels, valid).sum()
        results.append((log_prob, torch.autograd.grad(log_prob, logits)[0]))
    for log_prob, gradient in results[1:]:
        assert torch.equal(log_prob, results[0][0])
        assert torch.equal(gradient, results[0][1])
    assert (results[0][1][~valid] == 0.0).all()


def test_all_pixels_count_if_nothing_else_is_said(likelihood, logits, batch):
    _, target, valid = batch
    everywhere = _log_prob(likelihood, logits, target, torch.ones_like(valid))
    assert torch.equal(_log_prob(likelihood, logits, target), everywhere)


def test_better_logits_are_more_likely(likelihood, batch):
    """Confident and right, undecided, confident and wrong: in this order, finite all of them."""
    _, target, _ = batch
    sign = 2.0 * target - 1.0
    scores = [
        _log_prob(likelihood, logit * sign, target).sum() for logit in (40.0, 3.0, -3.0, -40.0)
    ]
    assert torch.stack(scores).isfinite().all()
    assert scores[0] >= scores[1] > scores[2] >= scores[3]


def test_labels_are_sampled_where_there_are_none(likelihood, logits):
    site = _observed(likelihood, logits.detach(), None)
    assert site["value"].shape == logits.shape
    assert ((site["value"] == 0.0) | (site["value"] == 1.0)).all()


def test_the_curvature_is_a_weight_a_pixel(likelihood, logits, batch):
    curvature = getattr(likelihood, "curvature", None)
    if curvature is None:
        pytest.skip("it does not say its curvature: guides that need it say so")
    _, target, valid = batch
    weights = curvature(logits, target, valid)
    assert weights.shape == logits.shape
    assert weights.isfinite().all()
    assert (weights >= 0.0).all()
    assert (weights[~valid] == 0.0).all()


def test_gradients_reach_every_parameter_of_the_model(likelihood, net, batch):
    model = BayesianSegmenter(net(), likelihood=likelihood)
    guide = build_guide(guides.MeanField(), model, in_channels=1)
    with local_parameters():
        AnnealedELBO().loss_and_grads(model, guide, *batch, num_images=4)
    for name, parameter in [*model.named_parameters(), *guide.named_parameters()]:
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_a_saved_fit_predicts_the_same_bits(
    likelihood, likelihood_name, families, net, train, frames, tmp_path
):
    model = BayesianSegmenter(net(), likelihood=likelihood)
    posterior = fit(model, guides.MeanField(), train, epochs=1, batch_size=2)
    path = posterior.save(tmp_path)
    own = {"likelihood": likelihood} if families.is_own("likelihood", likelihood_name) else {}
    before, after = (
        one.predict(frames[0][0], num_samples=2) for one in (posterior, Posterior.load(path, **own))
    )
    assert np.array_equal(before.probability, after.probability)
    assert np.array_equal(before.mutual_information, after.mutual_information)


def test_schedules_are_functions_of_the_fraction_done(schedule):
    """Finite, not negative, the same when asked again, and above 0 in the end."""
    fractions = [step / 200 for step in range(201)]
    weights = [schedule(fraction) for fraction in fractions]
    assert np.isfinite(weights).all()
    assert min(weights) >= 0.0
    assert weights == [schedule(fraction) for fraction in fractions]
    assert weights[-1] > 0.0


def test_a_fit_follows_the_schedule(schedule, net, train):
    model = BayesianSegmenter(net(), random="head.*")
    posterior = fit(model, guides.MeanField(), train, epochs=4, batch_size=2, kl_schedule=schedule)
    expected = [schedule(step / 4) for step in range(1, 5)]
    assert posterior.history.kl_weight.tolist() == pytest.approx(expected)
    assert posterior.temperature == pytest.approx(schedule(1.0))
