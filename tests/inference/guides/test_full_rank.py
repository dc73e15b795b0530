"""FullRank: its covariance, its closed form, its limits; where it converges, see test_exactness."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference.guides.full_rank import FullRank
from bayescr.models import BayesianSegmenter, UNet, priors

ON = ("head.*", "down1.conv1.*")


@pytest.fixture
def model(small_model):
    return small_model(prior=priors.Normal(scale=0.8), random=ON)


@pytest.fixture
def moved(model):
    """A guide some way from where it starts, so that every correlation is there."""
    guide = build_guide(FullRank(on=ON, init_scale=1.0), model, in_channels=1)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return guide


def _batch():
    image = torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    return image, (image > 1).float()


def test_starts_as_a_mean_field(model):
    guide = build_guide(FullRank(on=ON, init_scale=0.2), model, in_channels=1)
    q = guide.joint()
    stddev = torch.cat(
        [
            torch.full((w.numel(),), 0.2 * (w.square().mean().sqrt().item() or 1e-2))
            for w in model.random_weights.values()
        ]
    )
    torch.testing.assert_close(q.covariance_matrix, stddev.square().diag())


def test_has_every_parameter_of_a_normal(model, moved):
    number = sum(w.numel() for w in model.random_weights.values())
    assert sum(p.numel() for p in moved.parameters()) == number + number * (number + 1) // 2
    assert (moved.joint().covariance_matrix != 0).all()


def test_kl_is_exact(model, moved):
    q = moved.joint()
    p = MultivariateNormal(torch.zeros_like(q.loc), 0.64 * torch.eye(len(q.loc)))
    with local_parameters():
        kl = AnnealedELBO().terms(model, moved, *_batch()).kl
    torch.testing.assert_close(kl, kl_divergence(q, p))


def test_draws_have_its_covariance(moved):
    """Entries of a sample covariance scatter by less than 2 s_i s_j / sqrt(n): 5 of those."""
    torch.manual_seed(0)
    latents = [draw_latents(moved)[0] for _ in range(2000)]
    vectors = torch.stack(
        [torch.cat([latent[name].flatten() for name in moved.shapes]) for latent in latents]
    )
    covariance = moved.joint().covariance_matrix
    sigma = covariance.diagonal().sqrt()
    assert (
        (vectors.T.cov() - covariance).abs() < 10 * torch.outer(sigma, sigma) / math.sqrt(2000)
    ).all()


def test_too_many_numbers_are_refused_with_the_way_out():
    model = BayesianSegmenter(UNet(width=16, depth=2))
    with pytest.raises(BayescrError, match=r"13888 numbers .* at most 4000 .* LowRank\(\)"):
        FullRank(on="down2.*")(model)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan])
def test_bad_settings_are_refused(scale):
    with pytest.raises(BayescrError, match="expected a number above 0"):
        FullRank(init_scale=scale)
