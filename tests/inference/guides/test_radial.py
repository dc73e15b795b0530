"""The radial distribution against integrals over the plane and over space, and its draws."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import kl_divergence

from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO
from bayescr.inference._pyro import local_parameters
from bayescr.inference.guides.radial import Radial, RadialNormal
from bayescr.inference.kl import closed_form_kl, normal_cross_entropy
from bayescr.models import BayesianSegmenter


def _radial(*shape, seed=0):
    torch.manual_seed(seed)
    loc, scale = torch.randn(shape).double(), 0.2 + torch.rand(shape).double()
    return RadialNormal(loc, scale)


def test_in_one_dimension_it_is_the_normal():
    q = _radial(1)
    normal = dist.Normal(q.loc, q.scale).to_event(1)
    values = torch.linspace(-3.0, 3.1, 8, dtype=torch.float64).unsqueeze(-1)
    torch.testing.assert_close(q.log_prob(values), normal.log_prob(values))
    torch.testing.assert_close(q.entropy(), normal.entropy())
    prior = dist.Normal(torch.tensor([0.3]).double(), 0.7).to_event(1)
    torch.testing.assert_close(q.kl_divergence(prior), kl_divergence(normal, prior))


def _polar(q):
    """Points of the plane, or of space, on spheres about the mean, and the volume of each."""
    radius = (torch.arange(4000, dtype=torch.float64) + 0.5) * 0.002  # to 8 sigma
    angle = (torch.arange(24, dtype=torch.float64) + 0.5) * (2.0 * math.pi / 24)
    if q.loc.numel() == 2:
        direction = torch.stack([angle.cos(), angle.sin()], -1)
        area = torch.full((24,), 2.0 * math.pi / 24, dtype=torch.float64)
    else:
        height = (torch.arange(24, dtype=torch.float64) + 0.5) / 12 - 1.0
        ring = (1.0 - height.square()).sqrt()
        x, y = (ring[:, None] * part for part in (angle.cos(), angle.sin()))
        direction = torch.stack([x, y, height[:, None].expand_as(x)], -1).reshape(-1, 3)
        area = torch.full((24 * 24,), 4.0 * math.pi / 24**2, dtype=torch.float64)
    values = q.loc + q.scale * (radius[:, None, None] * direction)
    volume = q.scale.prod() * radius[:, None] ** (q.loc.numel() - 1) * area * 0.002
    return values, volume


@pytest.mark.parametrize("numbers", [2, 3])
def test_the_density_integrates_to_one_and_to_its_moments_and_entropy(numbers):
    """Midpoint rule; E[log |d|] has a singularity at the mean, which costs 1e-3 there."""
    q = _radial(numbers)
    values, volume = _polar(q)
    density = q.log_prob(values).exp() * volume
    assert density.sum().item() == pytest.approx(1.0, abs=1e-6)
    square = (density.unsqueeze(-1) * (values - q.loc).square()).sum((0, 1))
    torch.testing.assert_close(square, q.variance, rtol=2e-3, atol=0.0)
    torch.testing.assert_close(square, q.scale.square() / numbers, rtol=2e-3, atol=0.0)
    entropy = -(density * q.log_prob(values)).sum()
    assert entropy.item() == pytest.approx(q.entropy().item(), abs=2e-3)


@pytest.mark.parametrize("shape", [(1,), (7,), (4, 2, 3, 3)])
def test_draws_go_a_half_normal_distance_in_no_direction_more_than_another(shape):
    """Means of n draws, within 5 standard errors."""
    q, n = _radial(*shape), 20_000
    d = ((q.rsample(torch.Size([n])) - q.loc) / q.scale).flatten(1)
    distance = d.norm(dim=1)
    for power, expected in ((1, math.sqrt(2.0 / math.pi)), (2, 1.0), (4, 3.0)):
        sample = distance**power
        assert abs(sample.mean() - expected) < 5.0 * sample.std() / math.sqrt(n)
    direction = d / distance.unsqueeze(-1)
    numbers = d.shape[1]
    assert (direction.mean(0).abs() < 5.0 / math.sqrt(n * numbers)).all()
    # u_i^2 scatters by less than sqrt(2) / P, and u_i u_j by less than 1 / P.
    second = direction.T @ direction / n
    identity = torch.eye(numbers, dtype=torch.float64)
    assert ((second * numbers - identity).abs() < 5.0 * math.sqrt(2.0 / n)).all()


@pytest.mark.parametrize("shape", [(5,), (2, 3, 2, 2)])
def test_entropy_and_kl_are_those_of_the_draws(shape):
    """With the gradients of the closed form; 5 standard errors of 20000 draws."""
    q, n = _radial(*shape), 20_000
    q = RadialNormal(q.loc.requires_grad_(), q.scale.requires_grad_())
    prior = dist.Normal(torch.tensor(0.2).double(), 0.9).expand(shape).to_event(len(shape))
    draws = q.rsample(torch.Size([n]))
    log_q, log_p = q.log_prob(draws), prior.log_prob(draws)
    assert abs(log_q.mean() + q.entropy()) < 5.0 * log_q.std() / math.sqrt(n)
    sampled = log_q - log_p
    assert log_q.shape == (n,)
    exact = closed_form_kl(q, prior)
    assert abs(sampled.mean() - exact) < 5.0 * sampled.std() / math.sqrt(n)

    got = torch.autograd.grad(exact, [q.loc, q.scale])
    want = torch.autograd.grad(sampled.mean(), [q.loc, q.scale])
    # d log_p / dm = (mu - w) / 0.81 scatters by s / sqrt(P) / 0.81; d / ds by less than 1 / 0.2.
    assert ((got[0] - want[0]).abs() < 5.0 * q.scale / 0.81 / math.sqrt(n)).all()
    assert ((got[1] - want[1]).abs() < 5.0 * 5.0 / math.sqrt(n)).all()


def test_a_density_far_from_and_at_the_mean_is_defined():
    q = _radial(4)
    assert q.log_prob(q.loc) == math.inf  # integrable: its mass is at small distances
    assert q.log_prob(q.loc + 1e3).isfinite()


def test_priors_without_a_closed_form_have_none():
    q = _radial(3)
    assert closed_form_kl(q, dist.Laplace(0.0, 1.0).expand((3,)).to_event(1)) is None
    assert closed_form_kl(q, dist.Normal(0.0, 1.0).expand((4,)).to_event(1)) is None
    assert closed_form_kl(q, dist.MultivariateNormal(q.loc, torch.eye(3).double())) is None
    assert normal_cross_entropy(q.loc, q.variance, dist.Normal(q.loc, 1.0)) is None  # not an event


def _learnt_scale(name, weight):
    scale = pyro.sample(f"{name}_scale", dist.LogNormal(weight.new_zeros(()), 0.5))
    return dist.Normal(0.0, scale).expand(weight.shape).to_event(weight.dim())


@pytest.mark.parametrize("prior", [None, _learnt_scale])
def test_closed_form_has_the_mean_of_the_sampled_bound(prior):
    model = BayesianSegmenter(torch.nn.Conv2d(1, 2, 3, padding=1), prior)
    guide = Radial(init_scale=0.4)(model)
    image = torch.zeros(1, 1, 4, 4)
    target = torch.zeros(1, 2, 4, 4)
    kl = {}
    for analytic in (True, False):
        torch.manual_seed(0)
        elbo = AnnealedELBO(analytic_kl=analytic)
        with torch.no_grad(), local_parameters():
            kl[analytic] = torch.stack(
                [elbo.terms(model, guide, image, target).kl for _ in range(200)]
            ).double()
    error = math.hypot(*(5.0 * draws.std().item() / math.sqrt(200) for draws in kl.values()))
    assert abs(kl[True].mean() - kl[False].mean()) < error
    assert kl[True].std() < kl[False].std()


def test_init_scale_is_the_first_standard_deviation_of_a_weight(small_model):
    model = small_model()
    for name, site in Radial(init_scale=0.3)(model).sites():
        rms = model.random_weights[name].square().mean().sqrt().item() or 1e-2
        stddev = site().variance.sqrt()
        torch.testing.assert_close(stddev, torch.full_like(stddev, 0.3 * rms))


def test_bad_settings_are_refused():
    with pytest.raises(BayescrError, match="Radial init_scale is -1.0: expected a number above 0"):
        Radial(init_scale=-1.0)
