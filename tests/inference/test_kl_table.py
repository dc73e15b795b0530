"""The report of the KL by latent against closed forms, and against the bound that was trained."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer.autoguide import AutoDiagonalNormal
from torch import nn
from torch.distributions import kl_divergence

from bayescr._random import seeded
from bayescr.data import Scaling
from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO, Posterior, guides
from bayescr.inference._pyro import build_guide, example_batch, local_parameters
from bayescr.inference.guides import WeightSite
from bayescr.inference.guides._joint import JointGuide
from bayescr.inference.guides.low_rank import LowRankNormal
from bayescr.inference.kl_table import FALLEN_BACK, kl_report
from bayescr.models import BayesianSegmenter, priors


def _net():
    """Two layers, of 2 + 2 and 2 + 1 numbers."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Tanh())
    net.add_module("head", nn.Conv2d(2, 1, 1))
    return net


def _posterior(factory, prior=None, net=None):
    model = BayesianSegmenter(_net() if net is None else net, prior).eval()
    torch.manual_seed(1)
    guide = build_guide(factory, model, in_channels=1).eval()
    return Posterior(model=model, guide=guide, guide_factory=factory, scaling=Scaling())


def _rows(posterior, **settings):
    return posterior.kl_report(**settings).set_index("site")


@pytest.mark.parametrize("num_samples", [2, 5])
def test_total_and_rows_equal_the_bound_on_the_same_draws(any_guide_factory, prior, num_samples):
    """Both are means over the same draws, in float32: equal to rounding."""
    posterior = _posterior(any_guide_factory, prior)
    rows = _rows(posterior, num_samples=num_samples, seed=3)
    members = getattr(posterior.guide, "members", None) or [posterior.guide]
    kls = []
    for number, member in enumerate(members):
        for index in range(max(2, math.ceil(num_samples / len(members)))):
            with seeded(3, number, index), torch.no_grad(), local_parameters():
                batch = example_batch(posterior.model, 1)
                kls.append(AnnealedELBO().terms(posterior.model, member, *batch).kl.item())
    assert rows.bound_term["total"] == pytest.approx(np.mean(kls), rel=1e-5, abs=1e-4)
    assert rows.bound_term.drop("total").sum() == pytest.approx(rows.bound_term["total"])
    if math.isfinite(rows.kl["total"]):
        assert rows.kl["total"] == rows.bound_term["total"]
        assert rows.share["total"] == 1.0
    latents = posterior.draw(1)
    assert set(rows.index) >= {*latents, "total"}
    assert rows.numbers["total"] == sum(value.numel() for value in latents.values())


def _batched(name, weight):
    """Scales that are no event of their own, and that count a tenth."""
    if weight.dim() == 1:
        return dist.Normal(0.0, 1.0).expand(weight.shape).to_event(1)
    with poutine.scale(scale=0.1):
        scale = pyro.sample(f"{name}_scale", dist.HalfCauchy(torch.ones(len(weight))))
    shape = (-1, *[1] * (weight.dim() - 1))
    return dist.Normal(0.0, scale.reshape(shape)).expand(weight.shape).to_event(weight.dim())


def test_a_prior_of_ones_own_is_summed_and_scaled_as_in_the_bound():
    test_total_and_rows_equal_the_bound_on_the_same_draws(guides.MeanField(), _batched, 4)


def test_mean_field_against_the_closed_form_number_by_number():
    posterior = _posterior(guides.MeanField(init_scale=0.3), priors.Normal(loc=0.1, scale=0.7))
    rows = _rows(posterior)
    for name in posterior.model.random_weights:
        site = posterior.guide.site(name)
        mean, scale = site.loc.detach().double(), site.log_scale.exp().detach().double()
        kl = kl_divergence(dist.Normal(mean, scale), dist.Normal(0.1, 0.7))
        assert rows.kl[name] == pytest.approx(kl.sum().item(), rel=1e-6)
        assert rows.kl_per_number[name] == pytest.approx(kl.mean().item(), rel=1e-6)
        assert rows.posterior_scale[name] == pytest.approx(scale.median().item(), rel=1e-6)
        snr = (mean.abs() / scale).median().item()
        assert rows.signal_to_noise[name] == pytest.approx(snr, rel=1e-6)
        assert rows.prior_scale[name] == pytest.approx(0.7, rel=1e-6)
        assert rows.fallen_back[name] == int((kl < FALLEN_BACK).sum())
    assert rows.exact.all()
    assert (rows.kl_error == 0.0).all()
    assert (rows.within == "").all()
    assert rows.share.drop("total").sum() == pytest.approx(1.0)


def test_numbers_at_the_prior_have_fallen_back_and_others_have_not():
    posterior = _posterior(guides.MeanField(), priors.Normal(scale=0.5))
    site = posterior.guide.site("head.weight")
    with torch.no_grad():
        site.loc.copy_(torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1))
        site.log_scale.fill_(math.log(0.5))
    rows = _rows(posterior)
    assert rows.fallen_back["head.weight"] == 1
    assert rows.fallen_back["total"] == 1
    assert rows.kl["head.weight"] == pytest.approx(2.0, rel=1e-6)  # (1 / 0.5)^2 / 2


def test_points_and_masks_have_no_finite_kl_but_a_bound_term():
    prior = priors.Normal(scale=0.5)
    posterior = _posterior(guides.MAP(), prior)
    rows = _rows(posterior)
    assert (rows.kl == math.inf).all()
    assert rows.share.isna().all()
    weight = posterior.model.random_weights["head.weight"]
    log_prior = dist.Normal(0.0, 0.5).log_prob(weight).sum().item()
    assert rows.bound_term["head.weight"] == pytest.approx(-log_prior, rel=1e-6)
    assert rows.posterior_scale["head.weight"] == 0.0
    assert rows.fallen_back["total"] == 0
    assert (_rows(_posterior(guides.MCDropout(p=0.3), prior)).kl == math.inf).all()


class _Joint(WeightSite):
    """A normal over all numbers: diagonal plus low rank, or dense."""

    def __init__(self, start, is_dense):
        super().__init__()
        size = sum(value.numel() for value in start.values())
        generator = torch.Generator().manual_seed(5)
        factor = torch.randn(size, size if is_dense else 2, generator=generator)
        self.factor = nn.Parameter(factor.tril() + torch.eye(size) if is_dense else 0.4 * factor)
        self.loc = nn.Parameter(torch.randn(size, generator=generator))
        self.is_dense = is_dense

    def forward(self):
        if self.is_dense:
            return dist.MultivariateNormal(self.loc, scale_tril=self.factor.tril())
        return LowRankNormal(self.loc, torch.full_like(self.loc, 0.3), self.factor)

    def median(self):
        return self.loc

    def covariance(self):
        factor = self.factor.detach().double()
        diagonal = 0.0 if self.is_dense else 0.09 * torch.eye(len(factor))
        return factor @ factor.T + diagonal


@pytest.mark.parametrize("is_dense", [False, True])
def test_weights_drawn_together_against_dense_normals(is_dense):
    """The joint KL by torch on the whole covariance, marginals on its blocks."""
    posterior = _posterior(
        lambda model: JointGuide(model, "*", lambda start: _Joint(start, is_dense)),
        priors.Normal(scale=0.8),
    )
    rows = _rows(posterior, num_samples=3)
    joint = posterior.guide.joint
    mean, covariance = joint.loc.detach().double(), joint.covariance()

    def dense(numbers):
        q = dist.MultivariateNormal(mean[numbers], covariance[numbers, numbers])
        unit = torch.eye(len(mean[numbers]), dtype=torch.float64)
        return kl_divergence(q, dist.MultivariateNormal(0.0 * q.loc, 0.64 * unit)).item()

    first = 0
    for name, weight in posterior.model.random_weights.items():
        numbers = slice(first, first + weight.numel())
        assert rows.kl[name] == pytest.approx(dense(numbers), rel=1e-5)
        assert rows.within[name] == "_joint"
        sigma = covariance.diagonal()[numbers].sqrt().median().item()
        assert rows.posterior_scale[name] == pytest.approx(sigma, rel=1e-5)
        first += weight.numel()
    assert rows.kl["_joint"] == pytest.approx(dense(slice(None)), rel=1e-5)
    assert rows.kl["total"] == rows.kl["_joint"]
    assert rows.exact.all()
    weights = list(posterior.model.random_weights)
    assert rows.kl[weights].sum() < rows.kl["_joint"]  # what they know of each other
    assert rows.numbers["total"] == rows.numbers["_joint"] == len(mean)


def _scaled(name, weight):
    scale = pyro.sample(f"{name}_scale", dist.LogNormal(weight.new_tensor(0.2), 0.4))
    return dist.Normal(weight.new_zeros(()), scale).expand(weight.shape).to_event(weight.dim())


def test_a_prior_with_latents_of_its_own_is_averaged_over_them():
    """E_h KL(N(m, s^2) || N(0, h^2)) for a log-normal h = exp(u + v z), with

    E[1 / h^2] = exp(-2 u + 2 v^2) and E[log h] = u. Within 5 standard errors, which are checked
    to be small.
    """
    net = nn.Conv2d(1, 1, 1, bias=False)
    posterior = _posterior(guides.MeanField(init_scale=0.5), _scaled, net)
    latent, site = posterior.guide.site("weight_scale"), posterior.guide.site("weight")
    with torch.no_grad():
        latent.loc.fill_(-0.3)
        latent.log_scale.fill_(math.log(0.2))
        site.loc.fill_(0.6)
        site.log_scale.fill_(math.log(0.25))
    rows = _rows(posterior, num_samples=400)
    precision = math.exp(0.6 + 2 * 0.04)
    expected = 0.5 * ((0.0625 + 0.36) * precision - 1.0) - 0.3 - math.log(0.25)
    assert not rows.exact["weight"]
    assert 0 < rows.kl_error["weight"] < 0.03
    assert abs(rows.kl["weight"] - expected) < 5 * rows.kl_error["weight"]
    of_latent = kl_divergence(dist.Normal(-0.3, 0.2), dist.Normal(0.2, 0.4)).item()
    assert rows.kl["weight_scale"] == pytest.approx(of_latent, rel=1e-5)
    assert rows.exact["weight_scale"]
    # Var w = E[h^2]; a mean of 400 squares of log-normals scatters by 4 % of itself: 5 of these.
    assert rows.prior_scale["weight"] == pytest.approx(math.exp(-0.3 + 0.04), rel=0.1)


def test_a_prior_without_variance_is_measured_by_its_quantiles():
    """The central 68.3 % of a Cauchy lie within tan(0.3413 pi) = 1.838 of its scale.

    The median over 200 numbers of a quantile of 64 draws scatters by under 3 %.
    """

    def cauchy(name, weight):
        return dist.Cauchy(weight.new_zeros(()), 0.5).expand(weight.shape).to_event(weight.dim())

    net = nn.Conv2d(1, 200, 1, bias=False)
    rows = _rows(_posterior(guides.MeanField(), cauchy, net))
    assert rows.prior_scale["weight"] == pytest.approx(0.5 * 1.838, rel=0.12)
    assert not rows.exact["weight"]
    assert rows.kl_error["weight"] > 0


class _Mixture(nn.Module):
    """Two mean fields, to be drawn in turn."""

    def __init__(self, model):
        super().__init__()
        self.members = nn.ModuleList(guides.MeanField(init_scale=0.2)(model) for _ in range(2))
        with torch.no_grad():
            for shift, member in zip((-1.0, 1.0), self.members, strict=True):
                for parameter in (site.loc for _, site in member.sites()):
                    parameter.fill_(shift)

    def forward(self, *args, **kwargs):
        return self.members[0](*args, **kwargs)


def test_an_ensemble_is_the_mean_over_its_members_and_as_wide_as_their_mixture():
    posterior = _posterior(_Mixture, priors.Normal(scale=2.0))
    rows = _rows(posterior, num_samples=4)
    kls = []
    for member in posterior.guide.members:
        site = member.site("head.weight")
        q = dist.Normal(site.loc.detach().double(), site.log_scale.exp().detach().double())
        kls.append(kl_divergence(q, dist.Normal(0.0, 2.0)).sum().item())
    assert rows.kl["head.weight"] == pytest.approx(np.mean(kls), rel=1e-6)
    assert rows.exact.all()
    scale = q.scale.median().item()
    # Four means -1, -1, 1, 1 have the sample variance 4 / 3.
    assert rows.posterior_scale["head.weight"] == pytest.approx(
        math.sqrt(scale**2 + 4 / 3), rel=1e-5
    )


def test_the_same_seed_gives_the_same_report_and_another_another():
    posterior = _posterior(guides.MeanField(), _scaled)
    first, again, other = (posterior.kl_report(4, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert first.kl.iloc[-1] != other.kl.iloc[-1]
    pd.testing.assert_frame_equal(first, kl_report(posterior, 4, seed=0), check_exact=True)


def test_one_draw_has_no_standard_error():
    with pytest.raises(BayescrError, match="num_samples is 1: expected a whole number from 2 up"):
        _posterior(guides.MAP()).kl_report(1)


def test_an_autoguide_of_some_weights_says_nothing_of_the_points_beside_it():
    on = ("head.weight", "head.bias")
    rows = _rows(_posterior(guides.Partial(guide=AutoDiagonalNormal, on=on), priors.Normal()))
    assert [*rows.index[rows.within != ""]] == [*on]
    assert (rows.kl[["0.weight", "0.bias", "total"]] == math.inf).all()
    assert math.isfinite(rows.kl[rows.within["head.bias"]])


def test_masks_that_are_drawn_before_their_weight_give_it_no_density():
    rows = _rows(_posterior(guides.Rank1(), priors.Normal()))
    assert (rows.kl == math.inf).all()
    assert rows.bound_term.map(math.isfinite).all()


def test_no_tensor_is_made_on_the_default_device(guide_factory, prior):
    """Under another default device all follows the weights."""
    posterior = _posterior(guide_factory, prior)
    before = posterior.kl_report(2)
    with torch.device("meta"):
        pd.testing.assert_frame_equal(posterior.kl_report(2), before)
