"""The annealed ELBO against closed forms, quadrature, enumeration and Pyro's own estimators.

The toy is a network of one weight: logits l_i = w x_i, Bernoulli pixels, w ~ N(0, s0^2). Then

    neg_elbo = -(N / B) E_q[sum_i log p(y_i | w x_i)] + kl_weight KL(q || p)

is an integral over one number, which Gauss-Hermite quadrature does to machine precision.
"""

from __future__ import annotations

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from pyro.infer.autoguide import AutoNormal
from torch import nn
from torch.distributions import kl_divergence

from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO, guides
from bayescr.inference._pyro import build_guide, local_parameters
from bayescr.inference.guides._dropout import ChannelDropout
from bayescr.inference.guides.low_rank import LowRankNormal
from bayescr.inference.kl import closed_form_kl
from bayescr.models import BayesianSegmenter, priors

PRIOR_SCALE = 1.3
NUM_IMAGES, BATCH = 10, 4


@pytest.fixture
def pixels():
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(BATCH, 1, 3, 3, generator=generator, dtype=torch.float64)
    target = (torch.rand(image.shape, generator=generator) < 0.4).double()
    valid = torch.rand(image.shape, generator=generator) < 0.8
    return image, target, valid


@pytest.fixture
def one_weight():
    """The toy, in float64."""
    net = nn.Conv2d(1, 1, 1, bias=False).double()
    nn.init.constant_(net.weight, 0.4)
    model = BayesianSegmenter(net, priors.Normal(scale=PRIOR_SCALE))
    # In float32 the toy would be exact to 1e-7 only: let the logits keep their type.
    model.logits = lambda image, weights: torch.func.functional_call(net, weights, (image,))
    return model


def _log_likelihood(w, image, target, valid):
    """Sum over valid pixels of log p(y | w x) and its derivative in w, by hand."""
    x, y = image[valid].numpy(), target[valid].numpy()
    logit = w * x
    log_p = y * -np.logaddexp(0, -logit) + (1 - y) * -np.logaddexp(0, logit)
    return log_p.sum(), ((y - 1 / (1 + np.exp(-logit))) * x).sum()


@pytest.mark.parametrize("kl_weight", [0.0, 0.3, 1.0])
def test_loss_and_gradients_of_the_mean_field_equal_quadrature(
    one_weight, pixels, kl_weight, monkeypatch
):
    guide = guides.MeanField(init_scale=0.5)(one_weight)
    site = guide.weights.weight
    mean, scale = site.loc.item(), site.log_scale.exp().item()
    nodes, quadrature = np.polynomial.hermite_e.hermegauss(40)
    quadrature = quadrature / quadrature.sum()

    neg_elbo = torch.zeros((), dtype=torch.float64)
    for node, share in zip(nodes, quadrature, strict=True):
        monkeypatch.setattr(
            "torch.distributions.normal._standard_normal",
            lambda shape, dtype, device, node=node: torch.full(shape, node, dtype=dtype),
        )
        with local_parameters():
            loss = AnnealedELBO(kl_weight=kl_weight).differentiable_loss(
                one_weight, guide, *pixels, num_images=NUM_IMAGES
            )
        neg_elbo = neg_elbo + share * loss
    neg_elbo.backward()

    values, slopes = np.array([_log_likelihood(mean + scale * z, *pixels) for z in nodes]).T
    share = NUM_IMAGES / BATCH
    ratio = scale / PRIOR_SCALE
    kl = 0.5 * (ratio**2 + (mean / PRIOR_SCALE) ** 2 - 1.0) - math.log(ratio)
    assert neg_elbo.item() == pytest.approx(-share * quadrature @ values + kl_weight * kl)
    assert site.loc.grad.item() == pytest.approx(
        -share * quadrature @ slopes + kl_weight * mean / PRIOR_SCALE**2
    )
    assert site.log_scale.grad.item() == pytest.approx(
        -share * quadrature @ (slopes * scale * nodes) + kl_weight * (ratio**2 - 1.0)
    )


@pytest.mark.parametrize("handler", ["scale", "mask"])
@pytest.mark.parametrize("factory", [guides.MeanField(), guides.LowRank(), guides.MCDropout()])
def test_a_model_scaled_or_masked_alone_gets_the_sampled_kl(one_weight, pixels, handler, factory):
    """KL = E_q[log q - s log p]; with s = 0, masked: the prior does not count at all."""
    share = {"scale": 0.25, "mask": 0.0}[handler]
    handled = (
        poutine.mask(one_weight, mask=False) if handler == "mask"
        else poutine.scale(one_weight, scale=share)
    )  # fmt: skip
    one_weight.float()
    pixels = [plane.float() if plane.is_floating_point() else plane for plane in pixels]
    guide = factory(one_weight)
    kls = []
    for analytic in (True, False):
        torch.manual_seed(2)
        with local_parameters():
            kls.append(AnnealedELBO(analytic_kl=analytic).terms(handled, guide, *pixels).kl)
    torch.manual_seed(2)
    with local_parameters():
        site = poutine.trace(guide).get_trace().nodes["weight"]
    log_q = site["fn"].log_prob(site["value"])
    log_p = dist.Normal(0.0, PRIOR_SCALE).log_prob(site["value"]).sum()
    assert kls[0].item() == kls[1].item() == pytest.approx((log_q - share * log_p).item())


@pytest.mark.parametrize("scale", [0.25, torch.tensor(0.25)])
def test_model_and_guide_scaled_alike_keep_the_closed_form(one_weight, pixels, scale):
    guide = guides.MeanField()(one_weight)
    scaled = [poutine.scale(part, scale=scale) for part in (one_weight, guide)]
    with local_parameters():
        exact = AnnealedELBO().terms(one_weight, guide, *pixels).kl
        assert AnnealedELBO().terms(*scaled, *pixels).kl.item() == 0.25 * exact.item()


def test_loss_and_gradient_of_map_equal_the_closed_form(one_weight, pixels):
    guide = guides.MAP()(one_weight)
    w = guide.weights.weight.loc.item()
    with local_parameters():
        loss = AnnealedELBO(kl_weight=0.7).loss_and_grads(
            one_weight, guide, *pixels, num_images=NUM_IMAGES
        )
    value, slope = _log_likelihood(w, *pixels)
    log_prior = -0.5 * (w / PRIOR_SCALE) ** 2 - math.log(PRIOR_SCALE * math.sqrt(2 * math.pi))
    assert loss == pytest.approx(-NUM_IMAGES / BATCH * value - 0.7 * log_prior)
    assert guide.weights.weight.loc.grad.item() == pytest.approx(
        -NUM_IMAGES / BATCH * slope + 0.7 * w / PRIOR_SCALE**2
    )


def test_dropout_loss_and_gradient_equal_the_sum_over_all_masks(pixels, monkeypatch):
    """Three channels feed the second layer: eight masks."""
    image, target, valid = (
        plane.float() if plane.is_floating_point() else plane for plane in pixels
    )
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Tanh(), nn.Conv2d(3, 1, 1))
    model = BayesianSegmenter(net, priors.Normal(scale=0.8))
    guide = guides.MCDropout(p=0.3)(model)
    weight = guide.weights.get_submodule("2.weight").loc

    expected = torch.zeros(())
    estimated = torch.zeros(())
    rsample = ChannelDropout.rsample
    for code in range(8):
        coins = torch.tensor([code >> bit & 1 for bit in range(3)]).float()
        share = math.prod(0.7 if coin else 0.3 for coin in coins)
        monkeypatch.setattr(
            ChannelDropout,
            "rsample",
            lambda self, shape=torch.Size(), coins=coins: (
                rsample(self, shape) if self.axis is None else self.loc * coins.reshape(1, 3, 1, 1)
            ),
        )
        with local_parameters():
            terms = AnnealedELBO().terms(model, guide, image, target, valid, num_images=8)
        estimated = estimated + share * (terms.kl - terms.log_likelihood)

        point = {name: guide.weights.get_submodule(name).loc for name in model.random_weights}
        drawn = {**point, "2.weight": weight * coins.reshape(1, 3, 1, 1)}
        logits = torch.func.functional_call(net, drawn, (image,))
        log_p = -nn.functional.binary_cross_entropy_with_logits(
            logits[valid], target[valid], reduction="sum"
        )
        log_prior = sum(dist.Normal(0.0, 0.8).log_prob(w).sum() for w in drawn.values())
        expected = expected + share * (math.log(share) - log_prior - 2.0 * log_p)
    assert estimated.item() == pytest.approx(expected.item(), rel=1e-5)
    got, want = (torch.autograd.grad(loss, weight)[0] for loss in (estimated, expected))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def _batch(seed=0, count=2, size=8):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count, 1, size, size, generator=generator)
    target = (torch.rand(image.shape, generator=generator) < 0.3).float()
    valid = torch.rand(image.shape, generator=generator) < 0.9
    return image, target, valid


@pytest.fixture
def small_model():
    """A net of four layers, a transposed convolution among them, cheap enough for many draws."""

    def small_model(*, prior=None, random=None):
        torch.manual_seed(0)
        head = nn.Conv2d(2, 1, 1)
        layers = [nn.Conv2d(1, 3, 1), nn.ReLU(), nn.ConvTranspose2d(3, 2, 1), nn.ReLU()]
        net = nn.Sequential(*layers)
        net.add_module("head", head)
        return BayesianSegmenter(net, prior, random=random)

    return small_model


def _built(factory, model):
    torch.manual_seed(0)
    return build_guide(factory, model, in_channels=1)


def test_kl_is_the_sum_over_weights_in_nats(small_model):
    model = small_model(prior=priors.Normal(scale=0.7))
    guide = _built(guides.MeanField(init_scale=0.3), model)
    with local_parameters():
        terms = AnnealedELBO().terms(model, guide, *_batch())
    by_hand = 0.0
    for name in model.random_weights:
        site = guide.weights.get_submodule(name)
        ratio = site.log_scale.exp() / 0.7
        by_hand += (0.5 * (ratio**2 + (site.loc / 0.7) ** 2 - 1) - ratio.log()).sum().item()
    assert terms.kl.item() == pytest.approx(by_hand, rel=1e-5)


def test_data_term_counts_num_images_over_batch_times_and_the_kl_once(
    small_model, any_guide_factory
):
    model = small_model()
    guide = _built(any_guide_factory, model)
    terms = []
    for num_images in (2, 10):
        torch.manual_seed(3)
        with local_parameters():
            terms.append(AnnealedELBO().terms(model, guide, *_batch(), num_images=num_images))
    assert terms[1].log_likelihood.item() == pytest.approx(
        5 * terms[0].log_likelihood.item(), rel=1e-5
    )
    assert terms[1].kl.item() == terms[0].kl.item()


def test_kl_weight_multiplies_the_kl_and_only_the_kl(small_model, any_guide_factory):
    model = small_model()
    guide = _built(any_guide_factory, model)

    def at_same_draw(evaluate):
        torch.manual_seed(3)
        with local_parameters(), torch.no_grad():
            return evaluate(model, guide, *_batch(), num_images=7)

    terms = at_same_draw(AnnealedELBO().terms)
    for kl_weight in (0.0, 0.25, 1.0, 2.0):
        loss = at_same_draw(AnnealedELBO(kl_weight=kl_weight).loss)
        expected = kl_weight * terms.kl.item() - terms.log_likelihood.item()
        assert loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "factory",
    [
        guides.MeanField(), guides.LowRank(), guides.LowRank(across_layers=True),
        guides.FullRank(on="*"), guides.Radial(), guides.Rank1(), guides.MCDropout(),
        guides.Partial(guide=guides.MeanField(), on="*weight"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_closed_form_has_no_noise(small_model, factory):
    model = small_model(prior=priors.FanInNormal())
    guide = _built(factory, model)
    with local_parameters(), torch.no_grad():
        kl = torch.stack(
            [AnnealedELBO().terms(model, guide, *_batch(size=4)).kl.double() for _ in range(5)]
        )
    assert kl.std() <= 1e-5 * kl.mean().abs()


def test_every_draw_equals_pyros_estimator_on_that_draw(small_model, prior, any_guide_factory):
    """With kl_weight 1 and no closed form the loss of one draw is that of `Trace_ELBO`."""
    model = small_model(prior=prior)
    guide = _built(any_guide_factory, model)
    if hasattr(guide, "members"):
        pytest.skip("a mixture is trained on the mean of its members' bounds, not on its own")
    for seed in range(3):
        losses = []
        for elbo in (AnnealedELBO(analytic_kl=False), Trace_ELBO()):
            torch.manual_seed(seed)
            with local_parameters(), torch.no_grad():
                losses.append(
                    float(elbo.differentiable_loss(model, guide, *_batch(), num_images=6))
                )
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_mean_field_equals_pyros_mean_field_elbo(small_model, prior):
    model = small_model(prior=prior)
    guide = _built(guides.MeanField(), model)
    losses, gradients = [], []
    for elbo in (AnnealedELBO(), TraceMeanField_ELBO()):
        torch.manual_seed(0)
        guide.zero_grad()
        with local_parameters():
            loss = elbo.differentiable_loss(model, guide, *_batch(), num_images=6)
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in guide.parameters()]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def _half_cauchy(name, weight):
    scale = pyro.sample(f"{name}_scale", dist.HalfCauchy(weight.new_tensor(1.0)))
    return dist.Normal(0.0, scale).expand(weight.shape).to_event(weight.dim())


def test_transformed_hyper_latents_agree_with_trace_elbo(small_model):
    """`TraceMeanField_ELBO` forgets the Jacobian of HalfCauchy scales; this ELBO must not."""
    model = small_model(prior=_half_cauchy, random="head.*")
    guide = _built(AutoNormal, model)
    losses = {}
    for name, elbo in {
        "annealed": AnnealedELBO(), "trace": Trace_ELBO(), "mean-field": TraceMeanField_ELBO(),
    }.items():  # fmt: skip
        torch.manual_seed(0)
        with local_parameters(), torch.no_grad():
            losses[name] = float(elbo.differentiable_loss(model, guide, *_batch()))
    assert losses["annealed"] == pytest.approx(losses["trace"], rel=1e-5)
    assert abs(losses["mean-field"] - losses["trace"]) > 0.1  # so the agreement means something


def test_conditional_closed_form_has_the_mean_of_the_sampled_one(small_model):
    """A prior whose scale is itself drawn: the KL is exact given the scale, sampled over it."""
    model = small_model(prior=_half_cauchy, random="head.weight")

    def guide(*args, **kwargs):
        scale = pyro.sample("head.weight_scale", dist.LogNormal(-0.5, 0.3))
        loc = torch.full((1, 2, 1, 1), 0.2)
        pyro.sample("head.weight", dist.Normal(loc, 0.4 * scale).to_event(4))

    kl = {}
    for analytic in (True, False):
        torch.manual_seed(0)
        elbo = AnnealedELBO(analytic_kl=analytic)
        with torch.no_grad(), local_parameters():
            kl[analytic] = torch.stack(
                [elbo.terms(model, guide, *_batch(count=1, size=4)).kl for _ in range(200)]
            )
    error = math.hypot(*(5.0 * draws.std().item() / math.sqrt(200) for draws in kl.values()))
    assert abs(kl[True].mean() - kl[False].mean()) < error
    assert kl[True].std() < kl[False].std()  # integrated out, not drawn


def test_num_particles_averages_draws(small_model):
    model = small_model()
    guide = _built(guides.MeanField(init_scale=0.5), model)
    with local_parameters(), torch.no_grad():
        torch.manual_seed(0)
        together = AnnealedELBO(num_particles=3).loss(model, guide, *_batch())
        torch.manual_seed(0)
        each = [AnnealedELBO().loss(model, guide, *_batch()) for _ in range(3)]
    assert together == pytest.approx(sum(each) / 3, rel=1e-6)


def test_scale_and_mask_handlers_reach_every_term(small_model):
    model = small_model()
    guide = _built(guides.MeanField(), model)
    losses = []
    for factor in (1.0, 0.5):
        torch.manual_seed(0)
        scaled = (poutine.scale(part, scale=factor) for part in (model, guide))
        with local_parameters():
            losses.append(AnnealedELBO().loss(*scaled, *_batch()))
    assert losses[1] == pytest.approx(0.5 * losses[0], rel=1e-6)


def test_a_guide_must_cover_the_latents_of_the_model(small_model):
    model = small_model(random="head.*")
    with pytest.raises(BayescrError, match=r"no site for the latent 'head.bias'"):
        AnnealedELBO().loss(model, _only_head_weight, *_batch())
    pyro.clear_param_store()
    with pytest.raises(BayescrError, match="'surplus' that the model does not have"):
        AnnealedELBO().loss(model, _with_surplus, *_batch())
    pyro.clear_param_store()


def _only_head_weight(*args, **kwargs):
    pyro.sample("head.weight", dist.Normal(0.0, 1.0).expand((1, 2, 1, 1)).to_event(4))


def _with_surplus(*args, **kwargs):
    _only_head_weight()
    pyro.sample("head.bias", dist.Normal(0.0, 1.0).expand((1,)).to_event(1))
    pyro.sample("surplus", dist.Normal(0.0, 1.0))


def test_a_draw_without_a_gradient_is_refused_even_where_the_kl_has_a_closed_form():
    """Bernoulli against Bernoulli has a closed form, but the likelihood would teach nothing."""

    def model():
        on = pyro.sample("on", dist.Bernoulli(0.5))
        pyro.sample("obs", dist.Normal(on, 1.0), obs=torch.tensor(0.3))

    with pytest.raises(BayescrError, match="cannot pass a gradient through its draw"):
        AnnealedELBO().loss(model, lambda: pyro.sample("on", dist.Bernoulli(0.4)))


def test_works_in_stock_svi(small_model):
    """Pyro's own loop: the global store is used, as a Pyro user expects, and cleared after."""
    torch.manual_seed(0)
    model = small_model(random="head.*")
    svi = SVI(model, guides.MeanField()(model), pyro.optim.Adam({"lr": 0.05}), AnnealedELBO())
    losses = [svi.step(*_batch()) for _ in range(25)]
    assert losses[-1] < losses[0]
    names = set(pyro.get_param_store())
    assert any("log_scale" in name for name in names)  # of the guide
    assert any("0.weight" in name for name in names)  # plain parameters of the net
    pyro.clear_param_store()


@pytest.mark.parametrize("elbo", [Trace_ELBO, TraceMeanField_ELBO])
def test_model_and_guides_work_with_stock_losses(small_model, elbo, guide_factory):
    torch.manual_seed(0)
    model = small_model()
    if isinstance(guide_factory, guides.Ensemble):
        pytest.skip("a mixture is trained on the mean of its members' bounds, not on its own")
    svi = SVI(model, guide_factory(model), pyro.optim.ClippedAdam({"lr": 1e-2}), elbo())
    assert all(math.isfinite(svi.step(*_batch(), num_images=6)) for _ in range(2))
    pyro.clear_param_store()


# The distributions of the guides.


@pytest.mark.parametrize("shape", [(7,), (2, 3), (4, 2, 3, 3), (1,)])
def test_low_rank_normal_equals_the_dense_normal(shape):
    torch.manual_seed(0)
    loc, scale = torch.randn(shape).double(), 0.2 + torch.rand(shape).double()
    factor = torch.randn(math.prod(shape), 3).double()
    q = LowRankNormal(loc, scale, factor)
    covariance = torch.diag(scale.flatten() ** 2) + factor @ factor.T
    dense = dist.MultivariateNormal(loc.flatten(), covariance)

    values = torch.randn((5, *shape)).double()
    torch.testing.assert_close(q.log_prob(values), dense.log_prob(values.flatten(1)))
    torch.testing.assert_close(q.log_prob(values[0]), dense.log_prob(values[0].flatten()))
    assert q.log_prob(values[0]).shape == ()

    mean, prior_scale = torch.randn(shape).double(), 0.5 + torch.rand(shape).double()
    prior = dist.Normal(mean, prior_scale).to_event(len(shape))
    flat = dist.MultivariateNormal(mean.flatten(), torch.diag(prior_scale.flatten() ** 2))
    torch.testing.assert_close(closed_form_kl(q, prior), kl_divergence(dense, flat))


def test_low_rank_normal_draws_have_its_mean_and_covariance():
    """Entries of a sample covariance scatter by less than 2 s_i s_j / sqrt(n): 5 of those."""
    torch.manual_seed(0)
    loc, scale, factor = torch.randn(2, 2), 0.2 + torch.rand(2, 2), torch.randn(4, 2)
    q = LowRankNormal(loc, scale, factor)
    covariance = torch.diag(scale.flatten() ** 2) + factor @ factor.T
    draws = q.rsample(torch.Size([40_000])).flatten(1)
    sigma = covariance.diagonal().sqrt()
    assert ((draws.mean(0) - loc.flatten()).abs() < 5 * sigma / 200).all()
    assert ((draws.T.cov() - covariance).abs() < 10 * torch.outer(sigma, sigma) / 200).all()


def test_low_rank_normal_meets_independent_priors_through_its_marginals():
    """E|w| of a normal by quadrature, whatever the correlations."""
    torch.manual_seed(0)
    q = LowRankNormal(torch.randn(3), torch.rand(3), torch.randn(3, 2))
    prior = dist.Laplace(0.3, 0.7).expand((3,)).to_event(1)
    stddev = (q.scale.square() + q.factor.square().sum(-1)).sqrt()
    grid = torch.linspace(-8.0, 8.0, 200_001, dtype=torch.float64)
    share = dist.Normal(0.0, 1.0).log_prob(grid).exp() * (grid[1] - grid[0])
    values = q.loc[:, None] + stddev[:, None] * grid
    expected = (dist.Laplace(0.3, 0.7).log_prob(values) * share).sum()
    torch.testing.assert_close(
        closed_form_kl(q, prior).double(), -q.entropy().double() - expected, rtol=1e-5, atol=1e-5
    )


def test_low_rank_normal_has_no_closed_form_against_what_no_pair_is_known_of():
    q = LowRankNormal(torch.zeros(3), torch.ones(3), torch.ones(3, 1))
    assert closed_form_kl(q, dist.StudentT(3.0).expand((3,)).to_event(1)) is None
    assert closed_form_kl(q, dist.Normal(0.0, 1.0).expand((1,)).to_event(1)) is None


def _all_masks(q):
    """Every value a dropout distribution takes, with its probability."""
    shape = [1] * q.loc.dim()
    shape[q.axis] = channels = q.loc.shape[q.axis]
    for code in range(2**channels):
        coins = torch.tensor([code >> bit & 1 for bit in range(channels)], dtype=q.loc.dtype)
        yield (
            q.loc * coins.reshape(shape),
            q.keep ** coins.sum() * (1 - q.keep) ** (1 - coins).sum(),
        )


@pytest.mark.parametrize(("shape", "axis"), [((2, 4, 3, 3), 1), ((3, 2, 2, 2), 0), ((5,), 0)])
def test_channel_dropout_equals_enumeration(shape, axis):
    torch.manual_seed(0)
    q = ChannelDropout(torch.randn(shape).double(), 0.85, axis)
    prior = dist.Normal(0.1, 0.6).expand(shape).to_event(len(shape))
    values, shares = map(torch.stack, zip(*_all_masks(q), strict=True))
    assert shares.sum().item() == pytest.approx(1.0)
    torch.testing.assert_close(q.log_prob(values).exp().double(), shares, rtol=1e-5, atol=0.0)
    kl = (shares * (shares.log() - prior.log_prob(values))).sum()
    torch.testing.assert_close(q.kl_divergence(prior), kl)


def test_channel_dropout_gives_impossible_values_no_probability():
    q = ChannelDropout(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 0.9, 1)
    assert q.log_prob(torch.tensor([[1.0, 0.0], [0.0, 0.0]])) == -math.inf  # half a channel
    assert q.log_prob(torch.tensor([[1.5, 2.0], [3.0, 4.0]])) == -math.inf


def test_channel_dropout_silences_whole_channels_as_often_as_it_says():
    """A share of n coins scatters by sqrt(p q / n); 5 of those."""
    torch.manual_seed(0)
    q = ChannelDropout(torch.rand(3, 4, 2, 2) + 0.5, 0.7, 1)
    draws = q.rsample(torch.Size([2000]))
    kept = (draws != 0).all((1, 3, 4))
    assert torch.equal(kept, (draws != 0).any(1).any(-1).any(-1))
    assert ((kept.float().mean(0) - 0.7).abs() < 5 * math.sqrt(0.21 / 2000)).all()
    together = (kept[:, 0] & kept[:, 1]).float().mean()
    assert abs(together - 0.49) < 5 * math.sqrt(0.25 / 2000)  # coins do not know of each other


def test_channel_dropout_of_a_weight_that_is_exactly_zero():
    """Kept or dropped, the channel is zero: one value, with probability one."""
    q = ChannelDropout(torch.tensor([0.0, 2.0]), 0.9, 0)
    assert q.log_prob(torch.tensor([0.0, 2.0])).exp().item() == pytest.approx(0.9)
    assert q.log_prob(torch.tensor([0.0, 0.0])).exp().item() == pytest.approx(0.1)


def test_channel_dropout_without_axis_is_a_point():
    loc = torch.tensor([0.3, -0.2])
    q = ChannelDropout(loc, 0.9, None)
    prior = dist.Normal(0.0, 1.0).expand((2,)).to_event(1)
    assert torch.equal(q.rsample(torch.Size([3])), loc.expand(3, 2))
    assert q.log_prob(loc) == 0.0
    assert q.kl_divergence(prior) == -prior.log_prob(loc)
