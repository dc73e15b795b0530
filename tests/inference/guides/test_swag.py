"""SWAG against the iterates themselves, recorded on the way."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bayescr.errors import BayescrError
from bayescr.inference import fit, guides
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference.guides.swag import SWAG
from bayescr.models import BayesianSegmenter

SETTINGS = {"epochs": 15, "batch_size": 2, "learning_rate": 0.02}  # 30 steps


@pytest.fixture
def record(monkeypatch):
    """Every iterate of a fit, as a vector in float64, with its fraction of the steps."""
    from bayescr.inference.guides import swag

    iterates = []
    collect = swag._Averaged.on_step

    def on_step(self, *, step, fraction):
        iterates.append((fraction, self.centre().detach().double().clone()))
        collect(self, step=step, fraction=fraction)

    monkeypatch.setattr(swag._Averaged, "on_step", on_step)
    return iterates


def _moments(iterates, rank):
    """Mean, covariance of the draws at scale 1: by the paper's formulae, all iterates at hand."""
    iterates = torch.stack(iterates)
    mean = iterates.mean(0)
    variance = iterates.square().mean(0) - mean.square()
    running = [iterates[: i + 1].mean(0) for i in range(len(iterates))]
    deviations = (iterates - torch.stack(running))[-rank:].T
    low_rank = deviations @ deviations.T / (deviations.shape[1] - 1)
    return mean, 0.5 * (variance.diag() + low_rank)


def _covariance(q):
    return q.scale.square().diag() + q.factor @ q.factor.T


@pytest.mark.parametrize(("rank", "scale"), [(4, 1.0), (30, 0.5)])
def test_moments_are_those_of_the_iterates(small_model, datasets, record, rank, scale):
    """To float32: variances are 1e-5 of the squares that they are differences of."""
    factory = SWAG(rank=rank, collect_from=0.5, iterates=100, scale=scale)
    guide = fit(small_model(), factory, datasets[0], **SETTINGS).guide
    collected = [vector for fraction, vector in record if fraction > 0.5]
    assert len(collected) == 15
    assert int(guide.collected) == 15
    mean, covariance = _moments(collected, rank)
    found = guide.distribution()
    torch.testing.assert_close(found.loc.double(), mean, rtol=1e-5, atol=1e-6)
    stddev = scale * covariance.diagonal().sqrt()
    difference = (_covariance(found) - scale**2 * covariance).abs()
    assert (difference < 1e-3 * torch.outer(stddev, stddev) + 1e-12).all()
    medians = torch.cat([value.flatten() for value in guide.median().values()])
    assert torch.equal(medians, found.loc)


def test_draws_have_the_covariance_of_the_formula(small_model, datasets):
    """Joint over all layers: entries scatter by less than 2 s_i s_j / sqrt(n); 5 of those."""
    guide = fit(small_model(), SWAG(rank=4), datasets[0], **SETTINGS).guide
    covariance = _covariance(guide.distribution()).detach()
    torch.manual_seed(0)
    with torch.no_grad():
        draws = torch.stack(
            [torch.cat([v.flatten() for v in draw_latents(guide)[0].values()]) for _ in range(400)]
        )
    stddev = covariance.diagonal().sqrt()
    bound = 10 * torch.outer(stddev, stddev) / math.sqrt(400) + 1e-12
    assert ((draws.T.cov() - covariance).abs() < bound).all()
    first = len(small_model().random_weights["down1.conv1.weight"].flatten())
    assert (covariance[:first, first:].abs() > 0.3 * bound[:first, first:]).any()


def test_iterates_are_spread_over_the_collecting_part(small_model, datasets, record):
    guide = fit(small_model(), SWAG(collect_from=0.4, iterates=6), datasets[0], **SETTINGS).guide
    assert int(guide.collected) == 6
    expected = [vector for fraction, vector in record if fraction > 0.4][0::3]
    torch.testing.assert_close(
        guide.mean.double(), torch.stack(expected).mean(0), atol=1e-6, rtol=0
    )


def test_trains_as_map_does(small_model, datasets, record):
    """The last iterate is that of MAP at the same learning rates, to float32."""
    factory = SWAG(collect_from=0.5)
    fit(small_model(), factory, datasets[0], **SETTINGS)
    point = fit(
        small_model(),
        guides.MAP(),
        datasets[0],
        learning_rate_schedule=factory.learning_rate_schedule,
        **SETTINGS,
    )
    expected = torch.cat([value.flatten() for value in point.median().values()])
    torch.testing.assert_close(record[-1][1].float(), expected)


def test_the_rate_is_held_while_it_collects(small_model, datasets):
    factory = SWAG(collect_from=0.6, held_rate=0.25)
    rates = fit(small_model(), factory, datasets[0], **SETTINGS).history["learning_rate"] / 0.02
    assert (rates[9:] == 0.25).all()
    assert (rates[1:8] > 0.25).all()


def test_is_a_point_until_it_is_finished(small_model):
    guide = build_guide(SWAG(rank=2), small_model(), in_channels=1)
    for step in (8, 9, 10):
        guide.on_step(step=step, fraction=step / 10)
    assert int(guide.collected) == 3
    with torch.no_grad():
        draws = [draw_latents(guide)[0]["head.weight"] for _ in range(2)]
    assert torch.equal(*draws)
    assert guide.keeps_last


def test_a_loaded_state_draws_as_before(small_model, datasets):
    guide = fit(small_model(), SWAG(rank=4), datasets[0], **SETTINGS).guide
    fresh = build_guide(SWAG(rank=4), small_model(seed=3), in_channels=1)
    fresh.load_state_dict(guide.state_dict())
    draws = []
    for one in (guide, fresh):
        torch.manual_seed(1)
        draws.append(draw_latents(one)[0])
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])


def test_too_few_iterates_are_refused_with_the_way_out(small_model, datasets):
    with pytest.raises(BayescrError, match=r"collected 1 iterate.* train more epochs, or collect"):
        fit(small_model(), SWAG(), datasets[0], epochs=1, batch_size=2)


def test_a_weight_that_never_moved_keeps_a_density(small_model):
    """Its spread is what float32 cannot tell from none; the entropy is finite."""
    guide = build_guide(SWAG(rank=2), small_model(), in_channels=1)
    with local_parameters():
        for step in (8, 9, 10):
            guide.on_step(step=step, fraction=step / 10)
        guide.finalize(None, None, kl_weight=1.0)
        q = guide.distribution()
    assert q.entropy().isfinite()
    assert (q.scale > 0).all()
    assert (q.scale < 1e-6).all()


def test_plain_parameters_are_those_of_the_last_step(datasets):
    """A convolution that is not random is trained beside the random one, and not averaged."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 1, 1))
    model = BayesianSegmenter(net, random="2.*")
    posterior = fit(model, SWAG(rank=2), datasets[0], **SETTINGS)
    assert list(posterior.median()) == ["2.weight", "2.bias"]
    assert posterior.guide.mean.numel() == 3
    assert not torch.equal(posterior.model.net[0].weight, net[0].weight)


@pytest.mark.parametrize(
    "settings",
    [
        {"rank": 1}, {"iterates": 1}, {"collect_from": 0.0}, {"collect_from": 1.0},
        {"held_rate": 0.0}, {"scale": 0.0}, {"scale": math.nan},
    ],
)  # fmt: skip
def test_bad_settings_are_refused(settings):
    with pytest.raises(BayescrError, match="expected a"):
        SWAG(**settings)
