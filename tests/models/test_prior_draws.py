"""The prior predictive against a computation by hand, and what it is for: telling priors apart."""

from __future__ import annotations

import numpy as np
import pyro
import pytest
import torch
from astropy.nddata import CCDData
from pyro import poutine
from torch import nn
from torch.func import functional_call

from bayescr._random import seeded
from bayescr.data import Scaling
from bayescr.errors import BayescrError
from bayescr.models import BayesianSegmenter, UNet, prior_predictive, priors


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    data = rng.normal(100.0, 5.0, (24, 20))
    data[rng.random(data.shape) < 0.05] += 200.0
    return data


@pytest.fixture(autouse=True)
def _no_trace_left_in_pyro():
    pyro.clear_param_store()  # of what other tests did
    yield
    assert not list(pyro.get_param_store())


def _model(prior=None, **settings):
    torch.manual_seed(0)
    return BayesianSegmenter(UNet(width=4, depth=2, **settings), prior)


def _by_hand(model, frame, seed, draw, scaling):
    """Probabilities and logits of one draw: each weight from its prior, then the plain network."""
    image, _ = scaling(frame)
    weights = {}
    with seeded(seed, draw), poutine.block(), torch.no_grad():
        for name, weight in model.random_weights.items():
            with poutine.trace() as trace:
                model._sample(name, weight)
            weights[name] = trace.trace.nodes[name]["value"]
        logits = functional_call(model.net, weights, (torch.from_numpy(image)[None],))[0]
    return logits.sigmoid().numpy(), logits.numpy()


def _pieces(mask):
    """Sizes of the pieces that touch by sides or corners, by filling one after the other."""
    left, sizes = {tuple(pixel) for pixel in np.argwhere(mask)}, []
    while left:
        todo, size = [left.pop()], 0
        while todo:
            y, x = todo.pop()
            size += 1
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            todo += near
        sizes.append(size)
    return sizes


@pytest.mark.parametrize("prior", [priors.FanInNormal(), priors.ARD(), priors.Horseshoe()])
def test_draws_and_statistics_equal_a_computation_by_hand(frame, prior):
    """Also with latents of the prior's own; float32 convolutions agree to 1e-5."""
    mask = np.zeros(frame.shape, bool)
    mask[5:9, 3:17] = True
    frame[6, 6] = np.nan
    scaling = Scaling(softening=2.0)
    model = _model(prior, num_classes=2)
    found = prior_predictive(
        model, CCDData(frame, unit="electron", mask=mask), 5, seed=3, scaling=scaling
    )
    assert found.masks.shape == found.probabilities.shape == (5, 2, *frame.shape)
    assert found.masks.dtype == bool
    assert found.probabilities.dtype == np.float32
    assert np.array_equal(found.masks, found.probabilities > 0.5)
    rows = found.statistics
    assert list(zip(rows["draw"], rows["class"], strict=True)) == [
        (draw, number) for draw in range(5) for number in range(2)
    ]
    with_nan = CCDData(frame, unit="electron", mask=mask)
    for draw in range(5):
        p, logits = _by_hand(model, with_nan, 3, draw, scaling)
        np.testing.assert_allclose(found.probabilities[draw], p, atol=1e-5)
        for number in range(2):
            row = rows.iloc[2 * draw + number]
            usable = ~mask
            flagged = found.masks[draw, number] & usable
            sizes = _pieces(flagged)
            p_usable = found.probabilities[draw, number][usable]
            assert row["flagged"] == pytest.approx(flagged.sum() / usable.sum())
            assert row["logit_mean"] == pytest.approx(logits[number][usable].mean(), rel=1e-3)
            assert row["logit_sd"] == pytest.approx(logits[number][usable].std(), rel=1e-3)
            sure = ((p_usable > 0.99) | (p_usable < 0.01)).mean()
            assert row["sure"] == pytest.approx(sure, abs=2e-3)
            assert row["groups"] == len(sizes)
            np.testing.assert_equal(row["group_size"], np.median(sizes) if sizes else np.nan)
    assert rows["groups"].max() > 1  # so that the pieces were put to the test


def test_a_wide_prior_is_sure_of_nearly_every_pixel_and_a_narrow_one_of_none(frame):
    """N(0, 1) weights multiply the logits by the root of the fan-in at every layer."""
    sure, spread = {}, {}
    for name, prior in {
        "wide": priors.Normal(scale=1.0),
        "he": priors.FanInNormal(),
        "narrow": priors.FanInNormal(gain=0.1, bias_scale=0.1),
    }.items():
        rows = prior_predictive(_model(prior), frame, 12).statistics
        sure[name], spread[name] = rows["sure"].mean(), rows["logit_sd"].median()
    assert sure["wide"] > 0.8
    assert 0.01 < sure["he"] < 0.5
    assert sure["narrow"] == 0.0
    assert spread["wide"] > 10.0 * spread["he"] > 100.0 * spread["narrow"]


def test_weights_that_are_not_random_keep_their_values(frame):
    """With a prior on a head bias that is as good as fixed, all draws are the network itself."""
    torch.manual_seed(0)
    net = UNet(width=4, depth=2)
    prior = priors.Select(priors={"head.bias": priors.Normal(scale=1e-9), "*": None})
    found = prior_predictive(BayesianSegmenter(net, prior), frame, 2)
    with torch.no_grad():
        expected = net(torch.from_numpy(Scaling()(frame)[0])[None]).sigmoid()[0].numpy()
    for p in found.probabilities:
        np.testing.assert_allclose(p, expected, atol=1e-5)


def test_draws_depend_on_their_number_and_the_seed_alone(frame):
    few, more, other = (
        prior_predictive(_model(), frame, count, seed=seed).probabilities
        for count, seed in ((2, 1), (4, 1), (2, 2))
    )
    assert np.array_equal(few, more[:2])
    assert not np.array_equal(few, other)
    assert not np.array_equal(more[0], more[1])


def test_the_model_and_the_random_numbers_outside_stay_as_they_were(frame):
    model = _model(norm="batch").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    with poutine.trace() as trace:
        prior_predictive(model, frame, 2)
    assert model.training
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not trace.trace.nodes  # nor do handlers around it see anything


def test_no_flagged_pixel_makes_no_group(frame):
    net = nn.Conv2d(1, 1, 1)
    prior = priors.Select(
        priors={"weight": priors.Normal(scale=1e-6), "bias": priors.Normal(loc=-3.0, scale=1e-6)}
    )
    (row,) = prior_predictive(BayesianSegmenter(net, prior), frame, 1).statistics.to_dict("records")
    assert row["flagged"] == row["groups"] == row["sure"] == 0
    assert np.isnan(row["group_size"])
    assert row["logit_mean"] == pytest.approx(-3.0, abs=1e-3)


def test_plot_has_a_picture_for_each_draw_and_class(frame):
    figure = prior_predictive(_model(num_classes=2), frame, 4).plot(count=3)
    pictures = [axis for axis in figure.axes if axis.images]
    assert len(pictures) == 6
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "num_samples is 0: expected a whole number from 1 up"),
        ({"num_samples": 2.0}, r"num_samples is 2\.0: expected a whole number"),
        ({"frame": np.zeros(5)}, r"frame has shape \(5,\): expected a 2-D image"),
        ({"frame": "exposure.fits"}, "frame is the path"),
        ({"frame": np.full((4, 4), np.nan)}, "no valid pixel"),
        ({"seed": -1}, "seed is -1"),
        ({"model": UNet(width=1)}, "model is of type UNet: expected a BayesianSegmenter"),
        ({"model": BayesianSegmenter(UNet(width=1, in_channels=3))}, "images of 3 channels"),
    ],
)
def test_bad_input_is_refused(frame, arguments, message):
    with pytest.raises(BayescrError, match=message):
        prior_predictive(**{"model": _model(), "frame": frame, **arguments})
