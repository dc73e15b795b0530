"""What each guide promises of its own; what all promise is in tests/contract."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from pyro import poutine
from pyro.infer import autoguide
from torch import nn

from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO, guides
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference.guides import WeightGuide, WeightSite


def _built(factory, model):
    torch.manual_seed(0)
    return build_guide(factory, model, in_channels=1)


def _batch():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 12, 12, generator=generator)
    return image, (image > 1).float(), torch.rand(image.shape, generator=generator) < 0.9


def test_guides_use_about_as_many_parameters_as_they_say(small_model):
    model = small_model()
    weights = sum(weight.numel() for weight in model.random_weights.values())
    expected = {"map": 1, "mean-field": 2, "low-rank": 2 + guides.LowRank().rank, "mc-dropout": 1}
    counts = {
        name: sum(p.numel() for p in _built(guides.FAMILY[name](), model).parameters())
        for name in expected
    }
    assert {name: count / weights for name, count in counts.items()} == expected


def test_draws_have_the_spread_the_guide_says(small_model):
    """init_scale is relative to the weights' root mean square; 5 standard errors of 400 draws."""
    model = small_model()
    guide = _built(guides.MeanField(init_scale=0.3), model)
    draws = [draw_latents(guide)[0] for _ in range(400)]
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
    ("make", "settings"),
    [
        (guides.MeanField, {"init_scale": True}), (guides.MeanField, {"init_scale": math.inf}),
        (guides.LowRank, {"rank": "8"}), (guides.LowRank, {"rank": 2.5}),
        (guides.LowRank, {"rank": True}), (guides.LowRank, {"init_scale": "0.1"}),
        (guides.FullRank, {"init_scale": None}), (guides.Radial, {"init_scale": math.inf}),
        (guides.Flow, {"transforms": 3.0}), (guides.Flow, {"hidden": "32"}),
        (guides.Rank1, {"init_scale": "0.1"}), (guides.Rank1, {"prior_scale": math.inf}),
        (guides.MCDropout, {"p": "0.1"}), (guides.MCDropout, {"p": 1.0}),
        (guides.ConcreteDropout, {"init_p": None}), (guides.ConcreteDropout, {"temperature": "1"}),
        (guides.SWAG, {"rank": 2.5}), (guides.SWAG, {"iterates": "40"}),
        (guides.SWAG, {"collect_from": "0.5"}), (guides.SWAG, {"scale": math.inf}),
        (guides.Laplace, {"probes": 8.0}), (guides.Ensemble, {"members": 2.5}),
        (guides.Ensemble, {"members": "5"}), (guides.StoredDraws, {"num_samples": 4.0}),
    ],
)  # fmt: skip
def test_settings_that_are_not_of_their_type_are_named(make, settings):
    (name, value), *_ = settings.items()
    with pytest.raises(BayescrError) as caught:
        make(**settings)
    assert str(caught.value).startswith(f"{make.__name__} {name} is {value!r}: expected a")


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
