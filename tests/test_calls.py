"""Names, classes and built things in the place of a thing to call."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch
from pyro.infer import autoguide
from torch import nn

from bayescr._calls import check_call
from bayescr.errors import BayescrError
from bayescr.inference import annealing, gradients, guides
from bayescr.models import BayesianSegmenter, UNet, likelihoods, priors

FAMILIES = {
    "guide": guides.FAMILY, "prior": priors.FAMILY, "likelihood": likelihoods.FAMILY,
    "KL schedule": annealing.FAMILY, "estimator": gradients.FAMILY,
}  # fmt: skip
MEMBERS = [(kind, name) for kind, family in FAMILIES.items() for name in family]


def _said(thing, kind):
    with pytest.raises(BayescrError) as caught:
        check_call(thing, kind)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_members_pass_and_their_makers_and_names_do_not(kind, name):
    maker = FAMILIES[kind][name]
    check_call(maker(), kind)
    assert f"{maker.__name__}()" in _said(maker, kind)
    said = _said(name, kind)
    module = {"guide": "guides", "prior": "priors", "likelihood": "likelihoods",
              "KL schedule": "annealing", "estimator": "gradients"}[kind]  # fmt: skip
    assert said == f"{kind} is the text '{name}': look it up, {module}.{maker.__name__}()"


class Own(nn.Module):
    def forward(self, logits, target=None, valid=None):
        return logits


@pytest.mark.parametrize(
    ("thing", "kind"),
    [
        (autoguide.AutoNormal, "guide"),  # a class that makes guides is a factory
        (lambda model: None, "guide"),
        (lambda name, weight, scale=1.0: None, "prior"),
        (Own(), "likelihood"),
        (annealing.warmup_cosine(), "learning-rate schedule"),
        (math.sqrt, "KL schedule"),
        (print, "prior"),
        (3.0, "metric"),  # of no kind that is known here
    ],
)
def test_what_can_be_called_passes(thing, kind):
    check_call(thing, kind)


@pytest.mark.parametrize(
    ("thing", "kind", "says"),
    [
        ("Laplase", "prior", "prior is the text 'Laplase': look it up, priors.Laplace()"),
        ("xyz", "prior", "expected the thing itself, such as priors.FanInNormal()"),
        (priors.Normal, "prior", "prior is the class Normal: give its settings, Normal()"),
        (Own, "likelihood", "likelihood is the class Own: give its settings, Own()"),
        (dist.Normal(0.0, 1.0), "prior", "the distribution Normal(loc: 0.0, scale: 1.0): expected"),
        (torch.distributions.Normal(0.0, 1.0), "prior", "priors.FanInNormal()"),
        (1.0, "KL schedule", "KL schedule is 1.0: expected something to call with (fraction), such "
                             "as annealing.constant(1.0)"),
        (annealing.linear, "KL schedule", "takes (warmup, final) but is called with (fraction): if "
                                          "it makes one, call it, linear()"),
        (annealing.constant, "KL schedule", "makes a schedule and is none: call it, constant()"),
        (annealing.warmup_cosine, "learning-rate schedule", "call it, warmup_cosine()"),
        (lambda name: None, "prior", "takes (name) but is called with (name, parameter)"),
        (gradients.Flipout, "estimator", "the class Flipout: give its settings, Flipout()"),
    ],
)  # fmt: skip
def test_what_cannot_be_called_is_told_the_way_out(thing, kind, says):
    assert says in _said(thing, kind)


def test_a_guide_that_is_made_already():
    model = BayesianSegmenter(UNet(width=1, depth=1))
    for guide in (guides.MeanField()(model), guides.Ensemble(members=2)(model)):
        said = _said(guide, "guide")
        assert type(guide).__name__ in said
        assert "made for one model already" in said


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"prior": priors.Normal}, "prior is the class Normal: give its settings, Normal()"),
        ({"prior": dist.Normal(0.0, 1.0)}, "prior is the distribution"),
        ({"likelihood": likelihoods.Bernoulli}, "likelihood is the class Bernoulli: give its"),
        ({"likelihood": lambda logits: logits}, "likelihood takes (logits) but is called with"),
    ],
)
def test_a_model_looks_at_its_parts(settings, says):
    with pytest.raises(BayescrError) as caught:
        BayesianSegmenter(UNet(width=1, depth=1), **settings)
    assert says in str(caught.value)
