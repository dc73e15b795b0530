"""Partial: the inner guide on the chosen weights, points elsewhere, all priors in force."""

from __future__ import annotations

import functools
import types

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, autoguide

from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO, fit
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference.guides._weights import Point, WeightGuide
from bayescr.inference.guides.concrete_dropout import ConcreteDropout
from bayescr.inference.guides.low_rank import LowRank
from bayescr.inference.guides.mc_dropout import MCDropout
from bayescr.inference.guides.mean_field import MeanField
from bayescr.inference.guides.partial import Partial
from bayescr.inference.guides.radial import Radial
from bayescr.inference.guides.rank1 import Rank1
from bayescr.inference.kl import closed_form_kl

INNER = {
    "mean-field": MeanField(),
    "low-rank": LowRank(),
    "low-rank across layers": LowRank(across_layers=True),
    "mc-dropout": MCDropout(p=0.3),
    "concrete-dropout": ConcreteDropout(init_p=0.3),
    "radial": Radial(),
    "rank1": Rank1(),
    "AutoNormal": autoguide.AutoNormal,
    "AutoDelta": autoguide.AutoDelta,
    "AutoDiagonalNormal": functools.partial(autoguide.AutoDiagonalNormal, init_scale=0.05),
    "AutoMultivariateNormal": autoguide.AutoMultivariateNormal,
    "AutoLowRank": functools.partial(autoguide.AutoLowRankMultivariateNormal, rank=2),
}
ON = ("head.*", "up1.conv2.weight")
CHOSEN = {"head.weight", "head.bias", "up1.conv2.weight"}


@pytest.fixture(params=list(INNER))
def factory(request):
    return Partial(guide=INNER[request.param], on=ON)


def _built(factory, model):
    torch.manual_seed(0)
    return build_guide(factory, model, in_channels=1)


def _batch():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 8, 8, generator=generator)
    return image, (image > 1).float(), torch.rand(image.shape, generator=generator) < 0.9


def test_only_chosen_weights_vary_and_all_start_where_the_model_is(small_model, factory):
    model = small_model()
    guide = _built(factory, model)
    with local_parameters():
        median = guide.median()
    assert list(median) == list(model.random_weights)
    draws = [draw_latents(guide)[0] for _ in range(8)]
    points = factory.guide is autoguide.AutoDelta
    for name, weight in model.random_weights.items():
        torch.testing.assert_close(median[name], weight)
        varies = any(not torch.equal(draw[name], draws[0][name]) for draw in draws)
        assert not varies or name in CHOSEN
        # Biases are points under masks and factors, too.
        if name in CHOSEN and name.endswith("weight"):
            assert varies != points
    assert draw_latents(guide)[1] == points


def test_gradients_reach_every_parameter_without_the_kl(small_model, factory):
    model = small_model(seed=1)
    guide = _built(factory, model)
    for _ in range(5):
        with local_parameters():
            AnnealedELBO(kl_weight=0.0).loss_and_grads(model, guide, *_batch())
    for name, parameter in guide.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_state_dict_round_trip(small_model, factory):
    trained = _built(factory, small_model())
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    fresh = _built(factory, small_model(seed=5))
    fresh.load_state_dict(trained.state_dict())
    draws = []
    for guide in (trained, fresh):
        torch.manual_seed(3)
        draws.append(draw_latents(guide)[0])
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])


def test_building_leaves_the_model_as_it_was(small_model, factory):
    model = small_model(norm="batch").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _built(factory, model)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_bound_of_a_draw_equals_pyros(small_model, factory):
    """Without closed forms, where there is nothing Pyro's estimator does not know."""
    model = small_model()
    guide = _built(factory, model)
    losses = []
    for elbo in (AnnealedELBO(analytic_kl=False), Trace_ELBO()):
        torch.manual_seed(4)
        with local_parameters(), torch.no_grad():
            losses.append(float(elbo.differentiable_loss(model, guide, *_batch())))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_every_weight_keeps_its_prior(small_model):
    """KL = that of the chosen normals, and -log p of all points."""
    model = small_model()
    guide = _built(Partial(guide=MeanField(init_scale=0.2), on=ON), model)
    with local_parameters():
        kl = AnnealedELBO().terms(model, guide, *_batch()).kl
    expected = 0.0
    for name, site in guide.sites():
        prior = model.prior(name, model.random_weights[name])
        expected += (
            closed_form_kl(site(), prior) if name in CHOSEN else -prior.log_prob(site.loc)
        ).item()
        assert isinstance(site, Point) == (name not in CHOSEN)
    assert kl.item() == pytest.approx(expected, rel=1e-5)


def test_on_everything_it_is_the_inner_guide(small_model):
    model = small_model()
    torch.manual_seed(0)
    whole, _ = draw_latents(MeanField()(model))
    torch.manual_seed(0)
    partial, _ = draw_latents(Partial(guide=MeanField(), on="*")(model))
    assert all(torch.equal(whole[name], partial[name]) for name in whole)


def _learnt_scale(name, weight):
    scale = pyro.sample(f"{name}_scale", dist.LogNormal(weight.new_zeros(()), 0.5))
    return dist.Normal(0.0, scale).expand(weight.shape).to_event(weight.dim())


@pytest.mark.parametrize("inner", ["mean-field", "low-rank across layers", "AutoDiagonalNormal"])
def test_latents_of_a_prior_are_covered_and_are_points_with_their_weights(small_model, inner):
    model = small_model(prior=_learnt_scale)
    guide = _built(Partial(guide=INNER[inner], on=ON), model)
    with local_parameters():
        AnnealedELBO().loss_and_grads(model, guide, *_batch())
    assert all(parameter.grad.abs().sum() > 0 for parameter in guide.parameters())
    draws = [draw_latents(guide)[0] for _ in range(3)]
    for name in model.random_weights:
        scales = [draw[f"{name}_scale"].item() for draw in draws]
        assert (len(set(scales)) == 1) == (name not in CHOSEN)


def test_an_autoguide_sees_the_chosen_weights_only(small_model):
    guide = _built(Partial(guide=autoguide.AutoMultivariateNormal, on=ON), small_model())
    assert guide.inner.latent_dim == sum(
        weight.numel() for name, weight in small_model().random_weights.items() if name in CHOSEN
    )
    with local_parameters():
        sites = poutine.trace(guide).get_trace().stochastic_nodes
    assert len(sites) == 1 + len(small_model().random_weights)  # the joint draw, and the weights


@pytest.mark.parametrize("inner", ["rank1", "AutoDiagonalNormal"])
def test_it_is_fitted_and_predicts(datasets, small_model, inner):
    factory = Partial(guide=INNER[inner], on="head.*")
    posterior = fit(small_model(), factory, datasets[0], epochs=1, batch_size=2, device="cpu")
    prediction = posterior.predict(datasets[1][0]["image"][0].numpy(), num_samples=2)
    assert prediction.mutual_information.max() > 0
    assert posterior.name == "partial"


@pytest.mark.parametrize("inner", ["mean-field", "AutoNormal"])
def test_it_works_in_pyros_own_loop(small_model, inner):
    torch.manual_seed(0)
    model = small_model()
    guide = Partial(guide=INNER[inner], on=ON)(model)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-2}), AnnealedELBO())
    losses = [svi.step(*_batch()) for _ in range(12)]
    assert losses[-1] < losses[0]
    pyro.clear_param_store()


class _Choosy:
    on = "head.*"

    def __call__(self, model):
        return MeanField()(model)


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (_Choosy(), r"_Choosy chooses its own weights: give on= .*_Choosy\(on='head\.\*'\)"),
        (Partial(), r"Partial chooses its own weights"),
        (types.SimpleNamespace(members=3), r"put it inside, \w+\(guide=Partial\(guide="),
        (MeanField, r"the class MeanField: give its settings, MeanField\(\)"),
        (lambda model: WeightGuide(model, lambda name, start: Point(start)), "weight by weight"),
        ("mean-field", "expected a guide that goes weight by weight"),
    ],
)
def test_what_cannot_be_inside_is_refused(inner, message):
    with pytest.raises(BayescrError, match=message):
        Partial(guide=inner)


def test_patterns_that_fit_no_weight_are_refused(small_model):
    with pytest.raises(BayescrError, match=r"no random weight is named like 'tail\.\*'"):
        Partial(on=("head.*", "tail.*"))(small_model())


def test_a_guide_that_svi_does_not_finish_is_refused_inside_too(small_model):
    factory = Partial(guide=autoguide.AutoLaplaceApproximation)
    with pytest.raises(BayescrError, match="after SVI it is a point"):
        _built(factory, small_model())


def test_a_prior_without_a_maximum_is_refused_for_the_points(small_model):
    class Unbounded:
        is_unbounded = True

        def __call__(self, name, weight):
            return dist.Normal(0.0, 1.0).expand(weight.shape).to_event(weight.dim())

    with pytest.raises(BayescrError, match="'down1.conv1.weight'.*has no maximum"):
        Partial()(small_model(prior=Unbounded()))
