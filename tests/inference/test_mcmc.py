"""The No-U-Turn reference: exact on toys that a grid can do, and a posterior like any other."""

from __future__ import annotations

import functools
import json
import math
import warnings

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import NUTS
from torch import nn

from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.evaluation import evaluate
from bayescr.inference import Posterior, fit, guides
from bayescr.inference._pyro import build_guide, draw_latents
from bayescr.inference.guides._finite import StoredDraws
from bayescr.inference.mcmc import nuts
from bayescr.inference.sampling import draw
from bayescr.models import BayesianSegmenter, UNet, likelihoods, priors

quick = functools.partial(nuts, num_samples=6, num_warmup=6, max_tree_depth=3)


def _pixel_model(prior=None):
    torch.manual_seed(0)
    return BayesianSegmenter(nn.Conv2d(1, 1, 1), prior or priors.Normal(scale=1.0))


@pytest.fixture(scope="module")
def train():
    """Two images of 6 x 6 pixels, bright where they are positive, more or less."""
    rng = np.random.default_rng(1)
    truths = rng.random((2, 1, 6, 6)) < 0.3
    frames = rng.normal(100.0, 5.0, (2, 6, 6)) + 6.0 * truths[:, 0]
    return PatchDataset.from_frames(list(frames), list(truths), patch=None)


@pytest.fixture(scope="module")
def small(train):
    return quick(_pixel_model(), train, num_chains=2)


def _on_a_grid(train, temperature):
    """Mean and covariance of (w, b) of y ~ Bernoulli(sigmoid(w x + b)), w and b ~ N(0, 1)."""
    items = [train[index] for index in range(len(train))]
    x = torch.cat([item["image"][item["valid"]] for item in items]).double()
    y = torch.cat([item["target"][item["valid"]] for item in items]).double()
    w, b = torch.meshgrid(
        torch.linspace(-4, 6, 201).double(), torch.linspace(-6, 4, 201).double(), indexing="ij"
    )
    logits = w[..., None] * x + b[..., None]
    log_likelihood = -nn.functional.softplus(torch.where(y > 0, -logits, logits)).sum(-1)
    log_p = log_likelihood / temperature - (w**2 + b**2) / 2
    p = (log_p - log_p.max()).exp()
    p = p / p.sum()
    grid = torch.stack([w, b])
    mean = (p * grid).sum((1, 2))
    centred = grid - mean[:, None, None]
    return mean, torch.einsum("ixy,jxy,xy->ij", centred, centred, p)


@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_the_draws_are_those_of_a_grid(train, temperature):
    """Mean and covariance to 4.5 standard errors of as many independent draws as the chain says."""
    posterior = nuts(
        _pixel_model(), train, num_samples=200, num_warmup=100, temperature=temperature
    )
    draws = posterior.draw(200)
    values = torch.stack([draws["weight"].flatten(), draws["bias"].flatten()]).double()
    mean, covariance = _on_a_grid(train, temperature)
    ess = min(one["ess"] for one in posterior.provenance["convergence"].values())
    assert ess > 50
    spread = covariance.diagonal().sqrt()
    error = 4.5 / math.sqrt(ess)
    assert ((values.mean(1) - mean).abs() < error * spread).all()
    relative = (values.cov() - covariance) / spread.outer(spread)
    assert (relative.abs() < error * math.sqrt(2.0)).all()
    assert posterior.temperature == temperature
    assert posterior.history.divergences.tolist() == [0]


@pytest.mark.slow
def test_latents_of_a_prior_are_drawn_on_their_own_scale(train):
    """Given no data, w ~ N(0, s), s ~ HalfNormal(1): E s = 0.80, E w^2 = 1."""

    def prior(name, weight):
        scale = pyro.sample(f"{name}_scale", dist.HalfNormal(weight.new_ones(())))
        return dist.Normal(0.0, scale + 0.3).expand(weight.shape).to_event(weight.dim())

    posterior = nuts(_pixel_model(prior), train, num_samples=250, num_warmup=150, temperature=1e6)
    draws = posterior.draw(250)
    assert list(draws) == ["weight_scale", "weight", "bias_scale", "bias"]
    for name in ("weight_scale", "bias_scale"):
        ess = posterior.provenance["convergence"][name]["ess"]
        # sd of s is 0.60; a funnel's chain is not as good as its estimated size: 6 errors.
        assert draws[name].min() > 0
        assert abs(draws[name].mean() - math.sqrt(2 / math.pi)) < 6 * 0.6 / math.sqrt(ess)


def test_it_is_a_posterior_like_any_other(small, train, tmp_path):
    frame = np.random.default_rng(0).normal(100.0, 5.0, (8, 9))
    assert (small.num_points, small.is_deterministic, small.name) == (12, False, "stored-draws")
    assert small.is_sampled
    draws = small.draw(12)
    scaled = torch.from_numpy(small.scaling(frame)[0])
    p = torch.stack(list(small.logits(scaled, draws=draws, num_samples=12))).double().sigmoid()
    for number in (12, 5, 100):
        prediction = small.predict(frame, num_samples=number, precision="float32")
        np.testing.assert_allclose(prediction.probability, p[:number].mean(0)[0], atol=1e-5)
    loaded = Posterior.load(small.save(tmp_path), model=_pixel_model())
    for name, values in loaded.draw(12).items():
        assert torch.equal(values, draws[name])
    assert loaded.history.equals(small.history)
    assert small.predictive(3)(scaled[None])["logits"].shape == (3, 1, 1, 8, 9)
    table = evaluate({"nuts": small}, train, num_samples=16, num_bootstrap=3).table
    assert table.passes.tolist() == [0, 12]
    with pytest.raises(BayescrError, match=r"no median\(\)"):
        small.median()


def test_what_it_tells(small):
    assert small.history.chain.tolist() == [0, 1]
    assert set(small.history) == {"chain", "divergences", "accept_prob", "step_size"}
    assert np.isfinite(small.history.to_numpy(dtype=float)).all()
    told = json.loads(json.dumps(small.provenance))
    assert told["settings"] == {
        "num_samples": 6, "num_warmup": 6, "num_chains": 2, "max_tree_depth": 3, "seed": 0,
    }  # fmt: skip
    assert set(told["convergence"]) == {"weight", "bias"}
    assert all(one["r_hat"] > 0 and one["ess"] > 0 for one in told["convergence"].values())


def test_the_same_seed_gives_the_same_draws_and_no_trace(small, train):
    model = _pixel_model()
    before = torch.get_rng_state()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = quick(model, train, num_chains=2)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert not list(pyro.get_param_store())
    other = quick(model, train, num_chains=2, seed=1)
    ours, theirs = small.draw(12)["weight"], again.draw(12)["weight"]
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, other.draw(12)["weight"])


def test_chains_are_shuffled_together(train):
    """The first six of each chain's twelve draws would else be the first twelve."""
    single = quick(_pixel_model(), train).draw(6)["weight"].flatten().tolist()
    both = quick(_pixel_model(), train, num_chains=2).draw(12)["weight"].flatten().tolist()
    places = [index for index, value in enumerate(both) if value in single]
    assert len(places) == 6
    assert places != list(range(6))


def test_flips_are_left_out(train):
    a, b = quick(_pixel_model(), train), quick(_pixel_model(), train.augmented())
    assert torch.equal(a.draw(6)["weight"], b.draw(6)["weight"])
    assert a.provenance["train_data"] == {**b.provenance["train_data"], "augment": False}


def test_stored_draws_are_a_guide(small_model):
    model = small_model()
    guide = build_guide(StoredDraws(num_samples=3), model, in_channels=1)
    values = {name: torch.randn(3, *w.shape) for name, w in model.random_weights.items()}
    guide.store(values)
    for index in range(7):
        drawn = draw(guide, index, seed=0, device=torch.device("cpu"))
        assert all(torch.equal(drawn[name], values[name][index % 3]) for name in values)
    assert not draw_latents(guide)[1]
    assert [len(list(guide.members)), len(guide.members)] == [3, 3]
    assert set(guide.state_dict()) == {f"draws.{name}.values" for name in values}
    with pytest.raises(BayescrError, match="expected down1.conv1.weight, "):
        guide.store({"head.weight": values["head.weight"]})
    values["head.bias"] = values["head.bias"][:2]
    with pytest.raises(BayescrError, match=r"'head.bias' have shape \(2, 1\): expected \(3, 1\)"):
        guide.store(values)
    with pytest.raises(BayescrError, match="num_samples is 0: expected"):
        StoredDraws(num_samples=0)


def test_stored_draws_are_not_trained(small_model, datasets, monkeypatch):
    """Which is said before the data are counted."""
    monkeypatch.setattr(PatchDataset, "__getitem__", lambda *_: pytest.fail("data were read"))
    with pytest.raises(BayescrError, match=r"not trained: `nuts\(model, train\)` draws what it"):
        fit(small_model(), StoredDraws(), datasets[0], epochs=1)


def _started(train, weight=2.0, bias=-1.5):
    """A fit, whatever its data, of these two weights."""
    start = fit(_pixel_model(), guides.MAP(), train, epochs=1)
    start.guide.weights.weight.loc.data.fill_(weight)
    start.guide.weights.bias.loc.data.fill_(bias)
    return start


def test_chains_begin_at_the_start(train, monkeypatch):
    begun = []
    sample = NUTS.sample

    def noting(self, state):
        begun.append({name: value.item() for name, value in state.items()})
        return sample(self, state)

    monkeypatch.setattr(NUTS, "sample", noting)
    posterior = quick(_pixel_model(), train, num_chains=2, start=_started(train))
    assert begun[0] == begun[12] == {"weight": 2.0, "bias": -1.5}
    assert posterior.provenance["start"] == "map"
    begun.clear()
    quick(_pixel_model(), train, num_chains=2)
    assert begun[0] != begun[12]


def test_a_prior_centred_on_the_start_is_centred_there(train):
    """Where the data say next to nothing, w ~ N(2, 0.02^2) and b ~ N(-1.5, 0.015^2)."""
    prior = priors.Empirical(scale=0.01)
    posterior = nuts(
        _pixel_model(prior), train, start=_started(train), num_samples=50, num_warmup=50,
        temperature=1e6,
    )  # fmt: skip
    draws = posterior.draw(50)
    for name, centre in (("weight", 2.0), ("bias", -1.5)):
        # 50 draws of a chain are worth some 10 independent ones: 5 standard errors.
        assert abs(draws[name].mean() - centre) < 5 * 0.01 * abs(centre) / math.sqrt(10)
        assert 0.3 < draws[name].std() / (0.01 * abs(centre)) < 3.0
    with pytest.raises(BayescrError, match=r"the prior of 'weight' is centred on the start, and"):
        quick(_pixel_model(prior), train)


def test_a_start_of_another_network_is_refused(small_model, train):
    other = fit(small_model(), guides.MAP(), train, epochs=1)
    with pytest.raises(BayescrError, match=r"start has nothing for weight 'weight'"):
        quick(_pixel_model(), train, start=other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 3}, "num_samples is 3: expected a whole number from 4 up"),
        ({"num_samples": 4.0}, "num_samples is 4.0: expected a whole number from 4 up"),
        ({"num_chains": "2"}, "num_chains is '2': expected a whole number from 1 up"),
        ({"temperature": "1"}, "temperature is '1': expected a number above 0"),
        ({"num_warmup": 0}, "num_warmup is 0"),
        ({"num_chains": 0}, "num_chains is 0"),
        ({"max_tree_depth": 0}, "max_tree_depth is 0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"device": "gpu0"}, "unknown device 'gpu0'"),
    ],
)
def test_bad_settings_are_named(train, settings, message):
    with pytest.raises(BayescrError, match=message):
        quick(_pixel_model(), train, **settings)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: BayesianSegmenter(UNet(width=8)), r"random weights: NUTS.*LowRank\(\) with fit"),
        (
            lambda: BayesianSegmenter(UNet(width=1, depth=1), random="head.*"),
            r"'down1.conv1.weight' is trained but not random: NUTS.*random='\*'\)$",
        ),
        (
            lambda: _pixel_model(priors.Select(priors={"bias": None, "*": priors.Normal()})),
            "'bias' is trained but not random: NUTS.*; give it a prior in Select$",
        ),
        (
            lambda: BayesianSegmenter(
                nn.Conv2d(1, 1, 1), likelihood=likelihoods.NoisyLabelBernoulli(learn=True)
            ),
            "'likelihood.* is trained but not random: NUTS.*; take a likelihood that learns noth",
        ),
        (lambda: BayesianSegmenter(UNet(in_channels=2, width=1, depth=1)), "in_channels=2"),
    ],
)
def test_models_that_it_cannot_do_are_named(train, model, message):
    with pytest.raises(BayescrError, match=message):
        quick(model(), train)
