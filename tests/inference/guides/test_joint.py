"""What guides that draw weights together share: pieces, their KL, and points elsewhere."""

from __future__ import annotations

import math
import re

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn
from torch.distributions import kl_divergence

from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO, guides
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference.guides import WeightSite
from bayescr.inference.guides._joint import JointGuide, flat_log_scale
from bayescr.inference.guides._posthoc import PosthocGuide
from bayescr.models import priors

ON = ("head.*", "up1.conv2.weight")


class Dense(WeightSite):
    """A normal with a covariance that has no zero in it."""

    def __init__(self, starts):
        super().__init__()
        self.loc = nn.Parameter(torch.cat([start.flatten() for start in starts.values()]))
        generator = torch.Generator().manual_seed(2)
        number = len(self.loc)
        self.tril = nn.Parameter(
            (0.1 * torch.randn(number, number, generator=generator) + torch.eye(number)).tril()
        )

    def forward(self):
        return dist.MultivariateNormal(self.loc, scale_tril=self.tril)

    def median(self):
        return self.loc


class Cauchy:
    """Cauchy weights, independent a priori: no closed form is known."""

    def __call__(self, name, parameter):
        return dist.Cauchy(0.0, 1.0).expand(parameter.shape).to_event(parameter.dim())


def _hierarchical(name, parameter):
    scale = pyro.sample(f"{name}_scale", dist.LogNormal(-1.0, 0.5))
    return dist.Normal(0.0, scale).expand(parameter.shape).to_event(parameter.dim())


def _guide(model):
    return build_guide(lambda model: JointGuide(model, ON, Dense), model, in_channels=1)


def _batch():
    image = torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    return image, (image > 1).float(), torch.ones_like(image, dtype=torch.bool)


def test_a_draw_is_cut_into_the_chosen_weights_and_the_others_are_points(small_model):
    guide = _guide(small_model())
    with local_parameters():
        trace = poutine.trace(guide).get_trace()
    vector = trace.nodes["_joint"]["value"]
    first = 0
    for name, weight in small_model().random_weights.items():
        value = trace.nodes[name]["value"]
        if name.startswith("head.") or name == "up1.conv2.weight":
            part = vector[first : first + weight.numel()]
            assert torch.equal(value, part.reshape(weight.shape))
            first += weight.numel()
        else:
            assert torch.equal(value, weight)
    assert first == len(vector) == 2 + 1 + 36


def test_kl_is_that_of_the_dense_normal(small_model):
    """And minus the log-prior of the points: compared with torch's closed form, to float32."""
    model = small_model(prior=priors.Normal(scale=0.7))
    guide = _guide(model)
    with local_parameters():
        kl = AnnealedELBO().terms(model, guide, *_batch()).kl
        q = guide.joint()
    p = dist.MultivariateNormal(torch.zeros_like(q.loc), 0.49 * torch.eye(len(q.loc)))
    points = [w for name, w in model.random_weights.items() if name not in guide.shapes]
    log_prior = sum(dist.Normal(0.0, 0.7).log_prob(point).sum() for point in points)
    torch.testing.assert_close(kl, kl_divergence(q, p) - log_prior)


@pytest.mark.parametrize("prior", [priors.FanInNormal(), Cauchy()], ids=["closed", "sampled"])
def test_estimators_of_the_kl_agree(small_model, prior):
    """Means of 100 draws, within 5 of their standard errors; the closed form has none."""
    model = small_model(prior=prior)
    guide = _guide(model)
    torch.manual_seed(0)
    means, errors = [], []
    with local_parameters(), torch.no_grad():
        for analytic in (True, False):
            elbo = AnnealedELBO(analytic_kl=analytic)
            draws = torch.stack([elbo.terms(model, guide, *_batch()).kl for _ in range(100)])
            assert (draws == draws[0]).all() == (analytic and isinstance(prior, priors.FanInNormal))
            means.append(draws.mean())
            errors.append(draws.std() / math.sqrt(len(draws)))
    assert abs(means[0] - means[1]) < 5 * (errors[0] ** 2 + errors[1] ** 2).sqrt()


def test_a_pattern_that_fits_no_weight_is_named(small_model):
    with pytest.raises(BayescrError, match=r"no random weight is named like 'haed\.\*': there are"):
        JointGuide(small_model(), ("head.*", "haed.*"), Dense)
    with pytest.raises(BayescrError, match=r"like 'head': did you mean 'head\.\*'\? there are"):
        JointGuide(small_model(), "head", Dense)


@pytest.mark.parametrize(
    "guide", [guides.Flow, guides.FullRank, guides.Laplace, guides.Partial, guides.SWAG]
)
def test_what_is_no_pattern_is_refused(guide):
    name = guide.__name__
    for on in ((), ("head.*", 1), None, 3):
        said = re.escape(f"{name} on is {on!r}: expected a pattern")
        with pytest.raises(BayescrError, match=said):
            guide(on=on)
    with pytest.raises(BayescrError, match=rf"{name} on is the list .*give a tuple, on=\('head"):
        guide(on=["head.*"])
    assert guide(on=("head.*",)).on == ("head.*",)


def test_scales_start_in_units_of_each_weight():
    starts = {"a": torch.tensor([[3.0, -4.0]]), "b": torch.zeros(3)}
    scale = flat_log_scale(starts, 0.1).exp()
    rms = math.sqrt(12.5)
    torch.testing.assert_close(scale, torch.tensor([0.1 * rms] * 2 + [0.1 * 1e-2] * 3))


# Guides that are points until they are finished.


class Unit(PosthocGuide):
    """A unit normal around the points."""

    def around(self, centre):
        return dist.Normal(centre, 1.0).to_event(1)


def _unit(model):
    return build_guide(lambda model: Unit(model, ON), model, in_channels=1)


@pytest.mark.parametrize("prior", [None, _hierarchical], ids=["normal", "hierarchical"])
def test_an_unfinished_guide_is_map_in_all_but_name(small_model, prior):
    """The same bound and gradients, to the bit: latents of the prior's own are points, too."""
    model = small_model(prior=prior)
    losses, gradients = [], []
    for factory in (_unit, guides.MAP()):
        guide = build_guide(factory, model, in_channels=1)
        with local_parameters():
            losses.append(AnnealedELBO().loss_and_grads(model, guide, *_batch()))
        gradients.append({name: p.grad for name, p in guide.named_parameters()})
    assert losses[0] == losses[1]
    assert gradients[0].keys() == gradients[1].keys()
    for name in gradients[0]:
        assert torch.equal(gradients[0][name], gradients[1][name]), name


def test_a_finished_guide_draws_around_its_points_and_stays_so_on_disk(small_model):
    guide = _unit(small_model())
    latents, is_point = draw_latents(guide)
    assert not is_point  # it is not going to be one
    assert all(torch.equal(latents[n], w) for n, w in small_model().random_weights.items())
    guide.is_finished.fill_(True)
    fresh = _unit(small_model(seed=7))
    fresh.load_state_dict(guide.state_dict())
    draws = []
    for one in (guide, fresh):
        torch.manual_seed(0)
        draws.append(draw_latents(one)[0])
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in latents)
    assert not torch.equal(draws[0]["head.weight"], latents["head.weight"])
    assert torch.equal(draws[0]["down1.conv1.weight"], latents["down1.conv1.weight"])


def test_points_refuse_a_prior_without_a_maximum(small_model):
    class Spike(priors.Normal):
        is_unbounded = True

    with pytest.raises(BayescrError, match="has no maximum"):
        _unit(small_model(prior=Spike()))
