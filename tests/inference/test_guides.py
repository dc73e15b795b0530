"""The contract of every guide, and what each promises of its own.

The contract runs over the families: a new guide or prior is tested without being listed here.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re

import pytest
import torch
from pyro import poutine
from pyro.infer import autoguide
from torch import nn

from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO, guides
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference.guides import WeightGuide, WeightSite
from bayescr.models import BayesianSegmenter, UNet


def _built(factory, model):
    torch.manual_seed(0)
    return build_guide(factory, model, in_channels=1)


def _batch():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 12, 12, generator=generator)
    return image, (image > 1).float(), torch.rand(image.shape, generator=generator) < 0.9


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_gradients_reach_every_parameter(small_model, prior, any_guide_factory, upsampling):
    model = small_model(prior=prior, upsampling=upsampling, norm="layer")
    guide = _built(any_guide_factory, model)
    for _ in range(3):  # dropout may silence a layer for one draw
        with local_parameters():
            AnnealedELBO().loss_and_grads(model, guide, *_batch(), num_images=4)
    named = [*guide.named_parameters(), *model.named_parameters()]
    assert len({id(parameter) for _, parameter in named}) == len(named)
    for name, parameter in named:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_gradients_of_the_likelihood_alone_reach_every_parameter(small_model, any_guide_factory):
    """With kl_weight 0: no parameter may be moved by its KL only."""
    model = small_model(seed=1)
    guide = _built(any_guide_factory, model)
    for _ in range(5):
        with local_parameters():
            AnnealedELBO(kl_weight=0.0).loss_and_grads(model, guide, *_batch())
    for name, parameter in guide.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_sites_are_parameter_paths_with_the_shapes_of_the_weights(small_model, any_guide_factory):
    model = small_model()
    latents, _ = draw_latents(_built(any_guide_factory, model))
    assert {name: value.shape for name, value in latents.items()} == {
        name: weight.shape for name, weight in UNet(width=2, depth=2).named_parameters()
    }
    assert all(value.dtype == torch.float32 for value in latents.values())


def test_guides_start_at_the_weights_of_the_model(small_model, any_guide_factory):
    """The centre of the guide, to float32: a MAP fit's weights are a fit's start."""
    model = small_model()
    guide = _built(any_guide_factory, model)
    with local_parameters():
        median = guide.median()
    assert median.keys() == model.random_weights.keys()
    for name, weight in model.random_weights.items():
        torch.testing.assert_close(median[name], weight)


def test_state_dict_round_trip(small_model, any_guide_factory):
    trained = _built(any_guide_factory, small_model())
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    fresh = _built(any_guide_factory, small_model(seed=5))
    fresh.load_state_dict(trained.state_dict())
    draws = []
    for guide in (trained, fresh):
        torch.manual_seed(3)
        draws.append(draw_latents(guide)[0])
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])


def test_building_a_guide_leaves_the_model_as_it_was(small_model, any_guide_factory):
    """Autoguides run the model on draws from the prior: its statistics must not see them."""
    model = small_model(norm="batch").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _built(any_guide_factory, model)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_only_point_masses_are_points(small_model, any_guide_name, any_guide_factory):
    is_point = draw_latents(_built(any_guide_factory, small_model()))[1]
    assert is_point == (any_guide_name in {"map", "AutoDelta"})


def test_guides_of_two_models_share_no_tensor(small_model, any_guide_factory):
    built = [_built(any_guide_factory, small_model(seed)) for seed in (0, 1)]
    pointers = [{p.data_ptr() for p in guide.parameters()} for guide in built]
    assert not pointers[0] & pointers[1]


def test_reprs_of_factories_make_them_again(guide_factory):
    again = eval(repr(guide_factory), vars(guides))  # noqa: S307
    assert again == guide_factory
    with pytest.raises(dataclasses.FrozenInstanceError):
        guide_factory.nonsense = 1
    assert re.match(
        r"\w+\(", repr(_built(guide_factory, BayesianSegmenter(UNet(width=1, depth=1))))
    )


def test_guides_use_about_as_many_parameters_as_they_say(small_model):
    model = small_model()
    weights = sum(weight.numel() for weight in model.random_weights.values())
    counts = {
        name: sum(p.numel() for p in _built(factory(), model).parameters())
        for name, factory in guides.FAMILY.items()
    }
    expected = {"map": 1, "mean-field": 2, "low-rank": 2 + guides.LowRank().rank, "mc-dropout": 1}
    assert {name: counts[name] / weights for name in expected} == expected


def test_draws_have_the_spread_the_guide_says(small_model):
    """init_scale is relative to the weights' root mean square; 5 standard errors of 400 draws."""
    model = small_model()
    draws = [draw_latents(_built_once)[0] for _built_once in [_built(
        guides.MeanField(init_scale=0.3), model)] * 400]  # fmt: skip
    for name, weight in model.random_weights.items():
        expected = 0.3 * (weight.square().mean().sqrt().item() or 1e-2)
        spread = torch.stack([draw[name] for draw in draws]).std(0)
        assert ((spread / expected - 1).abs() < 5 / math.sqrt(2 * 400) + 0.02).all(), name


def test_dropout_switches_off_what_feeds_a_layer_and_never_the_image(small_model):
    torch.manual_seed(0)
    model = small_model()
    guide = _built(guides.MCDropout(p=0.5), model)
    seen = {name: set() for name in model.random_weights}
    for _ in range(60):
        for name, value in draw_latents(guide)[0].items():
            axis = model.feature_axis(name)
            if axis is not None:
                silent = (value.movedim(axis, 0).flatten(1) == 0).all(1)
                mean = guide.weights.get_submodule(name).loc.movedim(axis, 0).flatten(1)
                assert torch.equal(value.movedim(axis, 0).flatten(1)[~silent], mean[~silent])
                seen[name].add(tuple(silent.tolist()))
            else:
                assert torch.equal(value, model.random_weights[name])
    assert len(seen["up1.upsample.weight"]) > 10  # of the 16 masks of the transposed convolution
    assert not seen["down1.conv1.weight"]
    assert not seen["head.bias"]


def test_dropout_keeps_the_mean_of_the_weights(small_model):
    model = small_model()
    guide = _built(guides.MCDropout(p=0.4), model)
    loc = guide.weights.get_submodule("head.weight").loc
    torch.testing.assert_close(loc * 0.6, model.random_weights["head.weight"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: guides.MeanField(init_scale=0.0), lambda: guides.MeanField(init_scale=math.nan),
        lambda: guides.LowRank(rank=0), lambda: guides.LowRank(init_scale=-1.0),
        lambda: guides.MCDropout(p=0.0), lambda: guides.MCDropout(p=1.0),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(make):
    with pytest.raises(BayescrError, match="expected a"):
        make()


def test_a_class_where_an_instance_belongs_is_named(small_model):
    with pytest.raises(BayescrError, match=r"guide is the class MeanField.*MeanField\(\)"):
        _built(guides.MeanField, small_model())


@pytest.mark.parametrize(
    "factory",
    [
        autoguide.AutoLaplaceApproximation,
        functools.partial(autoguide.AutoLaplaceApproximation),
        lambda model: autoguide.AutoLaplaceApproximation(model),
    ],
)
def test_a_guide_that_svi_does_not_finish_is_refused(small_model, factory):
    with pytest.raises(BayescrError, match="after SVI it is a point.* use AutoNormal or AutoMult"):
        _built(factory, small_model())


def test_a_users_own_guide_is_a_site_and_a_line(small_model):
    import pyro.distributions as dist

    class Laplace(WeightSite):
        def __init__(self, start):
            super().__init__()
            self.loc, self.log_scale = nn.Parameter(start.clone()), nn.Parameter(start * 0 - 3.0)

        def forward(self):
            return dist.Laplace(self.loc, self.log_scale.exp()).to_event(self.loc.dim())

        def median(self):
            return self.loc

    model = small_model()
    guide = _built(lambda model: WeightGuide(model, lambda name, start: Laplace(start)), model)
    with local_parameters():
        assert math.isfinite(AnnealedELBO().loss_and_grads(model, guide, *_batch()))
        sites = poutine.trace(guide).get_trace().stochastic_nodes
    assert sites == list(model.random_weights)
    assert all(parameter.grad is not None for parameter in guide.parameters())
