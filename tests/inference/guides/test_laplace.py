"""Laplace against Hessians by autograd and Gauss-Newton matrices label by label, in float64."""

from __future__ import annotations

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference import annealing, fit, guides
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference.guides._curvature import (
    gauss_newton,
    gauss_newton_diagonal,
    looks,
    prior_precision,
    prior_precision_diagonal,
    sampled_gauss_newton_diagonal,
)
from bayescr.inference.guides.laplace import Laplace
from bayescr.models import BayesianSegmenter, UNet, priors

TEMPERATURE = 0.4


@pytest.fixture(scope="module")
def train():
    """Four images, a tenth of the pixels unusable."""
    rng = np.random.default_rng(0)
    truths = rng.random((4, 11, 11)) < 0.1
    frames = rng.normal(100.0, 5.0, truths.shape) + 40.0 * truths
    ignore = rng.random(truths.shape) < 0.1
    return PatchDataset.from_frames(list(frames), list(truths), ignore=list(ignore), patch=None)


def _model(prior=None, *, random=None, width=1, **settings):
    torch.manual_seed(0)
    net = UNet(width=width, depth=2, **settings).double()
    for parameter in net.parameters():  # biases too: a rectifier at exactly 0 has no derivative
        nn.init.normal_(parameter, std=0.5)
    return BayesianSegmenter(net, prior, random=random)


def _finished(factory, model, train, temperature=TEMPERATURE):
    with local_parameters():
        guide = factory(model)
        guide.finalize(model, train, kl_weight=temperature)
    return guide


def _pixels(train):
    parts = [torch.stack([item[key] for item in train]) for key in ("image", "target", "valid")]
    return parts[0].double(), parts[1].double(), parts[2]


def _neg_log_joint(model, guide, train):
    """Of the tempered target, a function of the vector of the chosen weights."""
    image, target, valid = _pixels(train)
    weights = model.random_weights

    def value(vector):
        chosen = guide.pieces(vector)
        logits = functional_call(model.net, {**weights, **chosen}, (image,))
        nll = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        log_prior = sum(model.prior(name, weights[name]).log_prob(w) for name, w in chosen.items())
        return (nll * valid).sum() / TEMPERATURE - log_prior

    return value


def _brute_force(model, guide, train):
    """Gauss-Newton over the temperature plus a normal prior, from the gradient of each logit."""
    image, _, valid = _pixels(train)
    vector = guide.centre().detach()

    def logits(vector):
        weights = {**model.random_weights, **guide.pieces(vector)}
        return functional_call(model.net, weights, (image,)).flatten()

    jacobian = torch.autograd.functional.jacobian(logits, vector)
    p = logits(vector).sigmoid()
    weight = p * (1 - p) * valid.flatten()
    scale = torch.cat(
        [model.prior(n, model.random_weights[n]).variance.flatten() for n in guide.shapes]
    )
    return jacobian.T @ (weight[:, None] * jacobian) / TEMPERATURE + scale.reciprocal().diag()


def test_where_logits_are_linear_it_is_the_hessian_of_the_log_joint(train):
    """In the last layer; the point need not be the maximum."""
    model = _model(width=3)
    guide = _finished(Laplace(), model, train)
    vector = guide.centre().detach()
    hessian = torch.autograd.functional.hessian(_neg_log_joint(model, guide, train), vector)
    q = guide.distribution()
    assert torch.equal(q.loc.detach(), vector)
    torch.testing.assert_close(q.covariance_matrix, hessian.inverse())


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_for_all_weights_it_is_the_gauss_newton_matrix(train, norm, upsampling):
    """Edges, poolings, skips and invalid pixels included; not the Hessian, of which it differs."""
    model = _model(norm=norm, upsampling=upsampling).eval()
    guide = _finished(Laplace(on="*"), model, train)
    precision = guide.distribution().precision_matrix
    expected = _brute_force(model, guide, train)
    torch.testing.assert_close(precision, expected, rtol=1e-6, atol=1e-6)


def test_plain_parameters_and_weights_not_chosen_stay_where_they_are(train):
    model = _model(random=["head.*", "up1.*"])
    guide = _finished(Laplace(on="up1.conv1.*"), model, train)
    assert guide.shapes.keys() == {"up1.conv1.weight", "up1.conv1.bias"}
    expected = _brute_force(model, guide, train)
    torch.testing.assert_close(guide.distribution().precision_matrix, expected)
    first, second = (draw_latents(guide)[0] for _ in range(2))
    assert torch.equal(first["head.weight"], second["head.weight"])
    assert not torch.equal(first["up1.conv1.bias"], second["up1.conv1.bias"])


def test_the_diagonal_is_that_of_the_full_matrix(train):
    model = _model()
    full = _finished(Laplace(on="*"), model, train).distribution().precision_matrix
    diagonal = _finished(Laplace(on="*", structure="diagonal"), model, train).distribution()
    torch.testing.assert_close(diagonal.variance.reciprocal(), full.diagonal())


def test_the_sampled_diagonal_scatters_about_the_exact_one(train):
    """(sum_i a_i v_i)^2 has variance 2 (sum a^2)^2 - 2 sum a^4 < 2 (sum a^2)^2, image by image.

    431 weights: 6 standard errors; their mean deviation in units of these, of weights that know
    of one another, stays below 1.
    """
    model = _model(width=2).eval()
    guide = Laplace(on="*", structure="diagonal")(model)
    vector, probes = guide.centre().detach(), 200
    assert len(vector) == 431

    def seen():
        return looks(model, model.random_weights, guide.pieces, vector, train)

    exact = [gauss_newton_diagonal(iter([look]), vector) for look in seen()]
    torch.manual_seed(0)
    sampled = sampled_gauss_newton_diagonal(seen(), vector, probes=probes)
    error = (2 * sum(one.square() for one in exact) / probes).sqrt()
    deviation = (sampled - sum(exact)) / error.clamp(min=1e-300)
    assert (deviation.abs() < 6).all()
    assert deviation.mean().abs() < 1
    assert deviation.abs().mean() > 0.1  # it is an estimate


def test_many_weights_are_sampled_alike_each_time(train):
    """And their prior is added to the tempered estimate, of two probes an image: 8 errors."""
    factory = Laplace(on="*", structure="diagonal", probes=2)
    model = _model(priors.Normal(scale=0.5), width=2)
    first, second = (_finished(factory, model, train) for _ in range(2))
    assert torch.equal(first.spread, second.spread)
    vector = first.centre().detach()
    seen = looks(model.eval(), model.random_weights, first.pieces, vector, train)
    exact = torch.stack([gauss_newton_diagonal(iter([look]), vector) for look in seen])
    found = (first.spread.square().reciprocal() - 0.5**-2) * TEMPERATURE
    assert ((found - exact.sum(0)).abs() < 8 * exact.square().sum(0).sqrt() + 1e-9).all()
    assert found.sum().item() == pytest.approx(exact.sum().item(), rel=0.5)


def test_sees_every_image_once_and_as_it_is(train):
    """Augmented data would be turned, at random."""
    model = _model()
    plain, turned = (_finished(Laplace(), model, data) for data in (train, train.augmented()))
    assert torch.equal(plain.spread, turned.spread)


def test_batch_statistics_are_not_touched(train):
    model = _model(norm="batch").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _finished(Laplace(), model, train)
    assert model.net.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# Of priors.


def test_prior_precision_is_the_hessian():
    point = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).double()
    scale = (torch.rand(2, 3, generator=torch.Generator().manual_seed(1)) + 0.5).double()
    normal = dist.Normal(0.3, scale).to_event(2)
    expected = scale.flatten() ** -2
    torch.testing.assert_close(prior_precision_diagonal(normal, point), expected)
    torch.testing.assert_close(prior_precision(normal, point), expected.diag())


def test_correlated_priors_keep_their_correlations():
    weight = nn.Conv2d(1, 2, 3).weight.detach().double()
    weight.fan_in, weight.output_axis, weight.input_axis = 9, 0, 1
    prior = priors.CorrelatedNormal()("conv.weight", weight)
    hessian = -torch.autograd.functional.hessian(prior.log_prob, weight).reshape(18, 18)
    assert (hessian - hessian.diagonal().diag()).abs().max() > 0.1
    torch.testing.assert_close(prior_precision(prior, weight), hessian)
    torch.testing.assert_close(prior_precision_diagonal(prior, weight), hessian.diagonal())


def test_a_prior_bends_no_less_than_the_normal_of_its_variance():
    """A double exponential bends nowhere but in its corner, Student's t upwards in its tails."""
    point = torch.tensor([-3.0, 0.2, 9.0]).double()
    sharp = dist.Laplace(0.0, point.new_full((3,), 0.7)).to_event(1)
    torch.testing.assert_close(
        prior_precision_diagonal(sharp, point), torch.full((3,), 1 / (2 * 0.49)).double()
    )
    heavy = dist.StudentT(point.new_full((3,), 4.0)).to_event(1)
    middle = (5 / (4 + 0.04)) * (1 - 2 * 0.04 / (4 + 0.04))  # -d^2 log p / dw^2 at 0.2
    torch.testing.assert_close(
        prior_precision_diagonal(heavy, point), torch.tensor([0.5, middle, 0.5]).double()
    )


def test_hyper_latents_are_taken_at_their_points(train):
    def hierarchical(name, parameter):
        scale = pyro.sample(f"{name}_scale", dist.LogNormal(parameter.new_tensor(-1.0), 0.5))
        return dist.Normal(0.0, scale).expand(parameter.shape).to_event(parameter.dim())

    model = _model(hierarchical, random="head.*")
    with local_parameters():
        guide = Laplace()(model)
        for name, value in (("head.weight_scale", 0.3), ("head.bias_scale", 0.9)):
            guide.site(name).loc.data.fill_(math.log(value))
        guide.finalize(model, train, kl_weight=TEMPERATURE)
    vector = guide.centre().detach()
    curvature = gauss_newton(
        looks(model.eval(), model.random_weights, guide.pieces, vector, train), vector
    )
    expected = curvature / TEMPERATURE + torch.tensor([0.3, 0.9]).double().pow(-2).diag()
    torch.testing.assert_close(guide.distribution().precision_matrix, expected)


# In a fit.


def test_a_fit_ends_with_the_curvature_at_its_own_temperature(small_model, datasets):
    """Two fits that differ in the last kl_weight alone; without training, so at one point."""
    factory = Laplace()
    model = small_model()
    guide = build_guide(factory, model, in_channels=1)
    for end in (0.5, 2.0):
        posterior = fit(
            model, factory, datasets[0], epochs=1, learning_rate=1e-12,
            kl_schedule=annealing.constant(end), device="cpu",
        )  # fmt: skip
        with local_parameters():
            guide.load_state_dict(posterior.guide.state_dict())
            guide.finalize(posterior.model, datasets[0], kl_weight=end)
        torch.testing.assert_close(posterior.guide.spread, guide.spread)
        assert not posterior.is_deterministic


def test_trains_as_map_does(small_model, datasets):
    laplace, point = (
        fit(small_model(), factory, datasets[0], epochs=3).median()
        for factory in (Laplace(), guides.MAP())
    )
    assert all(torch.equal(laplace[name], point[name]) for name in point)


@pytest.mark.parametrize("structure", ["full", "diagonal"])
def test_a_loaded_state_draws_as_before(train, structure):
    factory = Laplace(on=("head.*", "up1.*"), structure=structure)
    guide = _finished(factory, _model(), train)
    fresh = factory(_model())
    fresh.load_state_dict(guide.state_dict())
    draws = []
    for one in (guide, fresh):
        torch.manual_seed(1)
        draws.append(draw_latents(one)[0])
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])


# Errors.


def test_a_target_without_a_prior_is_refused(train):
    with pytest.raises(BayescrError, match="kl_weight ends at 0: .* ends above 0"):
        _finished(Laplace(), _model(), train, temperature=0.0)


def test_a_likelihood_without_curvature_is_refused_before_training():
    model = BayesianSegmenter(UNet(width=1), likelihood=lambda logits, target, valid: None)
    with pytest.raises(BayescrError, match=r"give it a method curvature\(logits, target, valid\)"):
        Laplace()(model)


def test_a_likelihood_with_a_negative_curvature_is_refused(train):
    class Wrong:
        def __call__(self, logits, target=None, valid=None):
            return None

        def curvature(self, logits, target, valid):
            return -torch.ones_like(logits)

    model = _model()
    model.likelihood = Wrong()
    with pytest.raises(BayescrError, match="is negative or not finite at item 0"):
        _finished(Laplace(), model, train)


@pytest.mark.parametrize("structure", ["full", "diagonal"])
def test_weights_that_nothing_binds_are_refused(train, structure):
    """A dead feature map tells its weight nothing, and a Cauchy prior far out bends upwards."""

    def cauchy(name, parameter):
        return dist.Cauchy(parameter.new_zeros(()), 0.1).expand(parameter.shape).to_event(
            parameter.dim()
        )  # fmt: skip

    model = _model(cauchy, random="head.*")
    with torch.no_grad():
        model.net.up1.conv2.weight.zero_()
        model.net.up1.conv2.bias.fill_(-1.0)
    with pytest.raises(BayescrError, match="not curved downwards .* prior with a finite variance"):
        _finished(Laplace(structure=structure), model, train)


def test_too_many_weights_for_a_full_matrix_are_refused():
    model = BayesianSegmenter(UNet(width=16, depth=2))
    with pytest.raises(BayescrError, match=r"at most 2000 .* or structure='diagonal'"):
        Laplace(on="*")(model)
    assert Laplace(on="*", structure="diagonal")(model).spread.dim() == 1


@pytest.mark.parametrize("settings", [{"structure": "ful"}, {"probes": 0}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(BayescrError, match=r"did you mean 'full'\?|expected a whole number"):
        Laplace(**settings)
