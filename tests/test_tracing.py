"""Traces hold what Pyro's hold, and errors of the model stay one line whoever runs it."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI
from pyro.infer.autoguide import AutoNormal
from pyro.optim import Adam

from bayescr._tracing import traced
from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO, fit, guides, nuts
from bayescr.models import BayesianSegmenter, UNet


def _program(shift):
    pyro.sample("a", dist.Normal(shift, 1.0))
    return pyro.sample("b", dist.Normal(0.0, 1.0), obs=torch.tensor(0.5))


def test_the_sites_are_those_that_pyro_traces():
    torch.manual_seed(0)
    ours = traced(_program, shift=3.0)
    torch.manual_seed(0)
    stock = poutine.trace(_program).get_trace(shift=3.0)
    assert list(ours.nodes) == [name for name in stock.nodes if name not in ("_INPUT", "_RETURN")]
    assert torch.equal(ours.nodes["a"]["value"], stock.nodes["a"]["value"])
    assert torch.equal(ours.log_prob_sum(), stock.log_prob_sum())


def _flat(name, weight):
    """A prior that forgets the shape of its weight."""
    return dist.Normal(0.0, 1.0)


@pytest.fixture
def train():
    rng = np.random.default_rng(0)
    frames, truths = rng.normal(100.0, 5.0, (2, 16, 16)), rng.random((2, 16, 16)) < 0.1
    return PatchDataset.from_frames(list(frames), list(truths), patch=None)


@pytest.mark.parametrize(
    "factory",
    [guides.MAP(), AutoNormal, guides.Ensemble(guide=AutoNormal, members=2), None],
    ids=["own", "autoguide", "ensemble", "nuts"],
)
def test_an_error_inside_the_model_has_no_table_of_shapes(train, factory):
    model = BayesianSegmenter(UNet(width=1, depth=1), _flat)
    with pytest.raises(BayescrError, match="expand it") as error:
        nuts(model, train) if factory is None else fit(model, factory, train, epochs=1)
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None  # no second error with the table is shown before it


def test_an_error_of_the_bound_has_none_either(train):
    net = UNet(width=1, depth=1)
    guide = guides.MeanField()(BayesianSegmenter(net))
    svi = SVI(BayesianSegmenter(net, _flat), guide, Adam({}), AnnealedELBO())
    image = torch.zeros(1, 1, 8, 8)
    with pytest.raises(BayescrError, match="expand it") as error:
        svi.step(image, torch.zeros_like(image))
    assert "\n" not in str(error.value)
    pyro.clear_param_store()
