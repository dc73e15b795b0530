"""The contract of every prior, and what each promises of its own.

The contract runs over the family: a new prior is tested without being listed here.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from torch import nn

from bayescr._random import seeded
from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO, Posterior, fit, guides
from bayescr.inference._pyro import build_guide, local_parameters
from bayescr.inference.kl import closed_form_kl
from bayescr.models import BayesianSegmenter, UNet, fan_in, priors
from bayescr.models.fan_in import input_axis, output_axis
from bayescr.models.priors.correlated_normal import KernelNormal

FAMILY = {name: factory() for name, factory in priors.FAMILY.items()}
HE = {name: prior for name, prior in FAMILY.items() if hasattr(prior, "gain")}
LAYERS = {
    "conv": nn.Conv2d(3, 4, 3),
    "conv 1x1": nn.Conv2d(3, 4, 1),
    "conv 1x5": nn.Conv2d(2, 3, (1, 5)),
    "transposed": nn.ConvTranspose2d(3, 4, 2, stride=2),
    "1d": nn.Conv1d(2, 3, 3),
    "3d": nn.Conv3d(2, 3, (2, 3, 3)),
    "linear": nn.Linear(5, 2),
}


def _parameter(layer, leaf="weight", *, dtype=torch.float32):
    """A weight as a model hands it to its prior."""
    weight = getattr(layer, leaf).detach().to(dtype)
    weight.fan_in = fan_in(layer)
    is_bias = weight.dim() == 1
    weight.input_axis = None if is_bias else input_axis(layer)
    weight.output_axis = 0 if is_bias else output_axis(layer)
    return weight


def _prior(prior, weight, seed=0, name="weight"):
    """The distribution of a weight given one draw of the prior's own latents, and these."""
    with seeded(seed), poutine.block(), poutine.trace() as trace:
        distribution = prior(name, weight)
    return distribution, {name: site["value"] for name, site in trace.trace.nodes.items()}


@pytest.fixture(params=list(FAMILY))
def prior(request):
    return FAMILY[request.param]


# The contract of the family.


@pytest.mark.parametrize("layer", LAYERS)
def test_event_has_the_shape_and_type_of_the_weight(prior, layer):
    for leaf, dtype in itertools.product(("weight", "bias"), (torch.float32, torch.float64)):
        weight = _parameter(LAYERS[layer], leaf, dtype=dtype)
        with pyro.validation_enabled():
            distribution, latents = _prior(prior, weight)
            draws = distribution.sample(torch.Size([3]))
            log_prob = distribution.log_prob(draws)
        assert distribution.event_shape == weight.shape
        assert distribution.batch_shape == ()
        assert draws.shape == (3, *weight.shape)
        assert log_prob.shape == (3,)
        assert log_prob.isfinite().all()
        assert {tensor.dtype for tensor in (draws, log_prob, *latents.values())} == {dtype}
        assert distribution.support.check(draws).all()


@pytest.mark.parametrize("leaf", ["weight", "bias"])
def test_draws_follow_the_density(prior, leaf):
    """Of one weight: the integral of the density against 4000 draws, by Kolmogorov's distance.

    It exceeds 2.2 / sqrt(n) once in 10^4 samples; it is far above for a scale that is 5% off.
    """
    weight = _parameter(nn.Conv2d(1, 1, 1), leaf, dtype=torch.float64)
    distribution, _ = _prior(prior, weight, seed=3)
    torch.manual_seed(0)
    draws = distribution.sample(torch.Size([4000])).flatten().numpy()
    # Fine at the centre, of a mixture's spike too, and wide in the tails.
    half = np.geomspace(1e-7, 300.0, 20_000)
    centre = float(distribution.mean.squeeze())
    grid = centre + np.concatenate([-half[::-1], [0.0], half])
    values = torch.from_numpy(grid).reshape(-1, *weight.shape)
    density = distribution.log_prob(values).exp().numpy()
    cdf = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    assert cdf[-1] == pytest.approx(1.0, abs=2e-4)
    at = np.interp(np.sort(draws), grid, cdf)
    distance = np.abs(at - (np.arange(4000) + 0.5) / 4000).max()
    assert distance < 2.2 / math.sqrt(4000)


def test_repr_makes_it_again(prior):
    again = eval(repr(prior), vars(priors))  # noqa: S307
    assert again == prior
    assert hash(again) == hash(prior)
    assert copy.deepcopy(prior) == prior
    with pytest.raises(dataclasses.FrozenInstanceError):
        prior.nonsense = 1


def test_settings_that_mean_nothing_are_refused(prior):
    for field, nonsense in itertools.product(
        dataclasses.fields(prior), [math.nan, -math.inf, "sideways", [], True]
    ):
        with pytest.raises(BayescrError, match=f"{type(prior).__name__} {field.name} .*expected"):
            dataclasses.replace(prior, **{field.name: nonsense})


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: priors.Normal(scale=0.0), "above 0"),
        (lambda: priors.FanInNormal(gain=-1.0), "above 0"),
        (lambda: priors.FanInNormal(bias_scale=0.0), "above 0"),
        (lambda: priors.Laplace(scale=0.0), "above 0"),
        (lambda: priors.StudentT(df=2.0), "above 2"),
        (lambda: priors.ScaleMixture(share=1.0), "between 0 and 1"),
        (lambda: priors.ScaleMixture(ratio=0.0), "between 0 and 1"),
        (lambda: priors.ARD(spread=0.0), "above 0"),
        (lambda: priors.ARD(axis="weight"), "one of 'output', 'input'"),
        (lambda: priors.Horseshoe(global_scale=0.0), "above 0"),
        (lambda: priors.Horseshoe(slab_df=0.0), "above 0"),
        (lambda: priors.CorrelatedNormal(lengthscale=0.0), "above 0"),
        (lambda: priors.Empirical(floor=0.0), "above 0"),
    ],
)
def test_settings_at_the_edge_are_refused(make, expected):
    with pytest.raises(BayescrError, match=expected):
        make()


def test_models_find_the_latents_of_a_prior_and_sample_them_first(prior):
    model = BayesianSegmenter(UNet(width=2, depth=2), prior)
    with local_parameters():
        trace = poutine.trace(model).get_trace(torch.zeros(1, 1, 4, 4))
    order = [name for name in trace.stochastic_nodes if name not in ("images", "obs")]
    expected = []
    for name, weight in model.random_weights.items():
        latents = model.hyper_latents(name)
        assert all(latent.startswith(f"{name}_") for latent in latents)
        assert all("." not in latent.removeprefix(name) for latent in latents)
        if weight.dim() == 1:
            assert not latents  # biases have none
        expected += [*latents, name]
    assert order == expected


def test_a_gradient_reaches_what_a_guide_would_move(prior):
    """d log p / d (weight and latents), against differences in float64."""
    weight = _parameter(nn.Conv2d(2, 3, 3), dtype=torch.float64)
    drawn, latents = _prior(prior, weight)
    torch.manual_seed(1)
    # Not at a drawn weight, which may lie on the cusp of a density.
    values = {**latents, "weight": drawn.mean + 0.3 * torch.randn(weight.shape).double()}

    def log_joint(*tensors):
        given = dict(zip(values, tensors, strict=True))
        with poutine.block(), poutine.trace() as trace, poutine.condition(data=given):
            pyro.sample("weight", prior("weight", weight))
        sites = trace.trace.nodes.values()  # not log_prob_sum: its check for NaN upsets gradcheck
        return sum(site["fn"].log_prob(site["value"]) for site in sites)

    inputs = [value.clone().requires_grad_() for value in values.values()]
    assert torch.autograd.gradcheck(log_joint, inputs, rtol=1e-4, atol=1e-6)


# Scales.


@pytest.mark.parametrize("name", HE)
@pytest.mark.parametrize("layer", ["conv", "transposed"])
def test_mean_square_of_weights_is_that_of_he(name, layer):
    """gain^2 / fan_in; 5 standard errors of 400 draws, which are below a twelfth."""
    layers = {
        "conv": nn.Conv2d(6, 16, 3),
        "transposed": nn.ConvTranspose2d(16, 16, 2, stride=2),
    }
    weight = _parameter(layers[layer])
    shares = []
    for seed in range(400):
        distribution, _ = _prior(HE[name], weight, seed)
        with seeded(seed, 1):
            shares.append(distribution.sample().square().mean() * weight.fan_in / 2.0)
    shares = torch.stack(shares)
    error = shares.std() / 20.0
    assert error < 1 / 12
    assert abs(shares.mean() - 1.0) < 5.0 * error


@pytest.mark.parametrize("name", [name for name in HE if name != "horseshoe"])
def test_variances_scale_with_gain_and_fan_in(name):
    """Exact: twice the gain is twice the standard deviation, four times the fan-in half of it."""
    settings = {"spread": 1e-6} if name == "ard" else {}
    prior = dataclasses.replace(HE[name], **settings)
    stddev = {}
    for gain, channels in ((1.0, 1), (2.0, 1), (1.0, 4)):
        weight = _parameter(nn.Conv2d(channels, 2, 3))
        distribution, _ = _prior(dataclasses.replace(prior, gain=gain), weight)
        values = distribution.variance.sqrt()
        torch.testing.assert_close(values, values.new_full(weight.shape, values.flatten()[0]))
        stddev[gain, channels] = values.flatten()[0].item()
    assert stddev[1.0, 1] == pytest.approx(1 / 3, rel=1e-4)
    assert stddev[2.0, 1] == pytest.approx(2 / 3, rel=1e-4)
    assert stddev[1.0, 4] == pytest.approx(1 / 6, rel=1e-4)


@pytest.mark.parametrize("factory", [priors.Laplace, priors.StudentT, priors.ScaleMixture])
def test_scale_is_the_standard_deviation_whatever_the_fan_in(factory):
    weight = torch.zeros(2, 3, 1, 1)  # that has none
    variance = _prior(factory(scale=0.3), weight)[0].variance
    torch.testing.assert_close(variance, torch.full_like(weight, 0.09))


@pytest.mark.parametrize("name", HE)
def test_biases_are_normal(name):
    bias = _parameter(nn.Conv2d(3, 4, 3), "bias")
    distribution, latents = _prior(dataclasses.replace(HE[name], bias_scale=0.7), bias)
    values = torch.linspace(-2.0, 2.0, 4)
    expected = scipy.stats.norm(scale=0.7).logpdf(values.numpy()).sum()
    assert distribution.log_prob(values).item() == pytest.approx(expected, rel=1e-5)
    assert not latents


@pytest.mark.parametrize("name", HE)
def test_activations_keep_their_second_moment(name):
    """Through all layers of a U-Net, 40 draws: E[output^2] / E[input^2] of each is gain^2 = 2,
    which the rectifier halves.

    Within a factor of 1.35: zeros padded at the edges of 8 x 8 maps take up to a sixth. Of 2 for
    scales that are drawn, one a layer or, in the head, one in all, whose mean square over 40 draws
    scatters by a fifth (with a spread of 0.5; the default's has tails that take thousands).
    Correlated kernels add up coherently what is smooth, up to 4.5 times here. A fan-in of the whole
    kernel would make the transposed layers four times too quiet.
    """
    low, high = {
        "ard": (1 / 2, 2.0), "horseshoe": (1 / 2, 2.0), "correlated-normal": (1 / 1.35, 4.5)
    }.get(name, (1 / 1.35, 1.35))  # fmt: skip
    settings = {"spread": 0.5} if name == "ard" else {}
    net = UNet(width=16, depth=3)
    model = BayesianSegmenter(net, dataclasses.replace(HE[name], bias_scale=1e-3, **settings))
    squares = {}

    def hook(path):
        def add(layer, inputs, output):
            before, after = (x.square().mean().double() for x in (inputs[0], output))
            squares.setdefault(path, []).append(after / before)

        return add

    for path, layer in model.net.named_modules():
        if fan_in(layer):
            layer.register_forward_hook(hook(path))
    torch.manual_seed(0)
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad(), local_parameters():
        for _ in range(40):
            model(image)
    ratios = {path: torch.stack(values).mean().item() / 2.0 for path, values in squares.items()}
    assert len(ratios) == 13
    assert low < min(ratios.values()) <= max(ratios.values()) < high, ratios


@pytest.mark.parametrize("name", HE)
def test_a_weight_without_fan_in_is_refused(name):
    with pytest.raises(
        BayescrError, match=f"weight 'shift' has no fan-in: {type(HE[name]).__name__}"
    ):
        HE[name]("shift", torch.zeros(2, 2))


# Densities against their formulas.


def _given(prior, weight, **latents):
    """The density of a weight given the prior's latents."""
    data = {f"weight_{key}": torch.as_tensor(value) for key, value in latents.items()}
    with poutine.block(), poutine.condition(data=data):
        return prior("weight", weight)


def test_independent_densities_equal_their_formulas():
    weight = _parameter(nn.Conv2d(3, 2, 3), dtype=torch.float64)
    torch.manual_seed(0)
    values = torch.randn(weight.shape).double()
    s = 0.9 / math.sqrt(27)
    wide = s / math.sqrt(0.25 + 0.75 * 0.1**2)
    x = values.numpy()
    expected = {
        priors.Normal(loc=0.2, scale=1.5): scipy.stats.norm(0.2, 1.5).logpdf(x),
        priors.FanInNormal(gain=0.9): scipy.stats.norm(0.0, s).logpdf(x),
        priors.Laplace(gain=0.9): scipy.stats.laplace(0.0, s / math.sqrt(2)).logpdf(x),
        priors.StudentT(gain=0.9, df=3.0): scipy.stats.t(3, 0, s / math.sqrt(3)).logpdf(x),
        priors.ScaleMixture(gain=0.9, share=0.25, ratio=0.1): np.log(
            0.25 * scipy.stats.norm(0.0, wide).pdf(x)
            + 0.75 * scipy.stats.norm(0.0, 0.1 * wide).pdf(x)
        ),
    }
    for prior, log_density in expected.items():
        log_prob = _prior(prior, weight)[0].log_prob(values).item()
        assert log_prob == pytest.approx(log_density.sum(), rel=1e-5), prior


def test_a_mixture_draws_each_component_by_its_share():
    """The mean square of 20000 draws, within 5 standard errors: 4 if they were swapped."""
    weight = _parameter(nn.Conv2d(2, 10_000, 1))
    p, _ = _prior(priors.ScaleMixture(share=0.2, ratio=0.1), weight)
    torch.manual_seed(0)
    squares = p.sample().square().flatten()
    torch.testing.assert_close(p.variance, torch.full_like(weight, 1.0))
    assert abs(squares.mean() - 1.0) < 5.0 * squares.std() / math.sqrt(20_000) < 0.2


def test_a_mixture_keeps_its_density_where_floats_end():
    """Far out both components are 0 in float32, their logarithms are not."""
    prior = priors.ScaleMixture()("weight", _parameter(nn.Conv2d(1, 1, 1)))
    log_prob = prior.log_prob(torch.full((1, 1, 1, 1), 1e4))
    assert -1e9 < log_prob.item() < -1e6


@pytest.mark.parametrize("axis", ["output", "input"])
@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 2, 3), nn.ConvTranspose2d(3, 2, 2, stride=2), nn.Linear(3, 2)]
)
def test_ard_gives_each_channel_its_scale(layer, axis):
    """Channels of a transposed convolution lie along the other axis."""
    weight = _parameter(layer)
    count = {"output": 2, "input": 3}[axis]
    scales = torch.arange(1.0, count + 1)
    prior = priors.ARD(axis=axis)
    stddev = _given(prior, weight, scale=scales).variance.sqrt()
    is_transposed = isinstance(layer, nn.ConvTranspose2d)
    along = int((axis == "input") != is_transposed)
    for channel in range(count):
        assert (stddev.select(along, channel) == scales[channel]).all()


def test_ard_scales_have_the_second_moment_of_he():
    model = BayesianSegmenter(nn.Conv2d(4, 3, 3), priors.ARD(gain=0.7, spread=0.8))
    (scale,) = model.hyper_latents("weight").values()
    h = 0.7 / 6.0
    assert scale.event_shape == (3,)
    base = scale.base_dist.base_dist
    second_moment = (2 * base.loc + 2 * base.scale**2).exp()
    torch.testing.assert_close(second_moment, torch.full((3,), h**2))
    median = base.loc.exp()
    torch.testing.assert_close(median, torch.full((3,), h * math.exp(-(0.8**2))))


def test_the_density_of_ard_is_bounded_with_its_maximum_where_it_says():
    """Of 4 weights at 0, n = 4, on a grid of log s in steps of 0.01."""
    weight = _parameter(nn.Conv2d(4, 1, 1), dtype=torch.float64)
    prior, h = priors.ARD(spread=0.7), math.sqrt(2 / 4)
    log_scales = torch.linspace(-20.0, 5.0, 2501, dtype=torch.float64)
    (latent,) = BayesianSegmenter(nn.Conv2d(4, 1, 1), prior).hyper_latents("weight").values()
    log_joint = torch.stack([
        _given(prior, weight, scale=s.exp()[None]).log_prob(torch.zeros_like(weight))
        + latent.log_prob(s.exp()[None])
        for s in log_scales
    ])  # fmt: skip
    best = log_scales[log_joint.argmax()].item()
    assert best == pytest.approx(math.log(h) - 6 * 0.7**2, abs=0.01)


@pytest.mark.parametrize("slab_df", [None, 4.0])
@pytest.mark.parametrize("axis", ["output", "input", "weight"])
def test_horseshoe_scales_equal_their_formula(axis, slab_df):
    weight = _parameter(nn.Conv2d(3, 2, 3))
    prior = priors.Horseshoe(gain=0.9, global_scale=0.3, slab=1.7, slab_df=slab_df, axis=axis)
    shape = {"output": (2,), "input": (3,), "weight": (2, 3, 3, 3)}[axis]
    torch.manual_seed(0)
    latents = {"global": torch.tensor(0.4), "local": torch.rand(shape) * 4}
    c = 1.7
    if slab_df:
        latents["slab"], c = torch.tensor(2.0), math.sqrt(2.0)
    stddev = _given(prior, weight, **latents).variance.sqrt()
    along = {"output": (2, 1, 1, 1), "input": (1, 3, 1, 1), "weight": shape}[axis]
    tau, local = 0.4, latents["local"].reshape(along)
    regularised = (c**2 * local**2 / (c**2 + tau**2 * local**2)).sqrt()
    expected = (0.9 / math.sqrt(27) * tau * regularised).expand(weight.shape)
    torch.testing.assert_close(stddev, expected)
    latent_priors = BayesianSegmenter(nn.Conv2d(3, 2, 3), prior).hyper_latents("weight")
    assert list(latent_priors) == [f"weight_{name}" for name in latents]
    assert latent_priors["weight_global"].log_prob(torch.tensor(0.4)).item() == pytest.approx(
        scipy.stats.halfcauchy(scale=0.3).logpdf(0.4), rel=1e-5
    )
    assert latent_priors["weight_local"].log_prob(latents["local"]).item() == pytest.approx(
        scipy.stats.halfcauchy.logpdf(latents["local"].numpy()).sum(), rel=1e-5
    )
    if slab_df:  # of c^2, whose mean is slab_df slab^2 / (slab_df - 2)
        assert latent_priors["weight_slab"].log_prob(torch.tensor(2.0)).item() == pytest.approx(
            scipy.stats.invgamma(2.0, scale=2.0 * 1.7**2).logpdf(2.0), rel=1e-5
        )


@pytest.mark.parametrize(("global_scale", "slab"), [(1.4, 1.4), (0.1, 2.0), (3.0, 0.5)])
def test_mean_square_under_the_horseshoe_equals_its_formula(global_scale, slab):
    """By 1500 quantiles of either Cauchy, in which the integrand is bounded and smooth."""
    quantiles = (np.arange(1500) + 0.5) / 1500
    cauchy = np.tan(0.5 * np.pi * quantiles)
    u = global_scale * cauchy[:, None] * cauchy[None]
    expected = (u**2 / (1 + u**2 / slab**2)).mean()
    a = slab / global_scale
    formula = slab**2 * (1 + 2 * a / math.pi * math.log(a)) / (1 + a**2)
    assert formula == pytest.approx(expected, rel=3e-3)


def test_the_horseshoe_is_a_density_at_the_tails_of_its_latents():
    """Cauchy draws reach 1e8 and, once in 2^24 draws of float32, exactly 0."""
    weight = _parameter(nn.Conv2d(2, 2, 3))
    for extreme in (0.0, 1e-30, 1e18):
        given = _given(
            priors.Horseshoe(), weight, **{"global": extreme, "local": torch.full((2,), extreme)}
        )
        assert given.log_prob(given.sample()).isfinite()
        assert given.log_prob(torch.full_like(weight, 0.1)).isfinite()


def test_points_refuse_the_horseshoe():
    model = BayesianSegmenter(nn.Conv2d(1, 1, 1), priors.Horseshoe())
    with pytest.raises(BayescrError, match=r"has no maximum.*priors\.ARD\(\)"):
        guides.MAP()(model)


@pytest.mark.parametrize("prior", [priors.ARD(axis="input"), priors.ARD(), priors.Horseshoe()])
def test_channels_that_are_in_groups_already_are_refused(prior):
    layer = nn.ConvTranspose2d(4, 4, 2, groups=2)
    with pytest.raises(BayescrError, match=r"weight 'weight' has no axis of .*priors\.Select"):
        BayesianSegmenter(layer, prior)(torch.zeros(1, 4, 2, 2))
    pyro.clear_param_store()


# Correlated kernels.


def _dense(weight, prior):
    """The covariance of all numbers of a weight, (P, P), entry by entry from the definition."""
    index = list(itertools.product(*map(range, weight.shape)))
    covariance = torch.zeros(len(index), len(index), dtype=torch.float64)
    for i, j in itertools.product(range(len(index)), repeat=2):
        if index[i][:2] == index[j][:2]:
            distance = math.dist(index[i][2:], index[j][2:])
            covariance[i, j] = math.exp(-distance / prior.lengthscale)
    return prior.gain**2 / weight.fan_in * covariance


KERNELS = ["conv", "conv 1x5", "transposed", "1d", "3d", "conv 1x1", "linear"]


@pytest.mark.parametrize("lengthscale", [0.3, 1.0, 20.0])
@pytest.mark.parametrize("layer", KERNELS)
def test_correlated_normal_equals_the_dense_normal(layer, lengthscale):
    weight = _parameter(LAYERS[layer], dtype=torch.float64)
    prior = priors.CorrelatedNormal(gain=0.9, lengthscale=lengthscale)
    p, _ = _prior(prior, weight)
    dense = dist.MultivariateNormal(torch.zeros(weight.numel()).double(), _dense(weight, prior))
    torch.manual_seed(0)
    values = torch.randn((5, *weight.shape)).double()
    torch.testing.assert_close(p.log_prob(values), dense.log_prob(values.flatten(1)))
    assert p.log_prob(values[0]).shape == ()
    torch.testing.assert_close(p.variance.flatten(), dense.variance)

    mean, scale = torch.randn(weight.shape).double(), 0.2 + torch.rand(weight.shape).double()
    factor = torch.randn(weight.numel(), 2).double()
    normal = dist.Normal(mean, scale).to_event(weight.dim())
    low_rank = guides.low_rank.LowRankNormal(mean, scale, factor)
    for q, shared in ((normal, 0.0 * factor), (low_rank, factor)):
        covariance = torch.diag(scale.flatten() ** 2) + shared @ shared.T
        q_dense = dist.MultivariateNormal(mean.flatten(), covariance)
        torch.testing.assert_close(
            closed_form_kl(q, p), torch.distributions.kl_divergence(q_dense, dense)
        )
    assert isinstance(p, KernelNormal) == (math.prod(weight.shape[2:]) > 1)


def test_draws_of_correlated_kernels_have_the_kernels_covariance():
    """Entries of a sample covariance scatter by less than sqrt(2) s^2 / sqrt(n): 5 of those."""
    torch.manual_seed(0)
    weight = _parameter(nn.Conv2d(2, 1, (2, 3)))
    prior = priors.CorrelatedNormal(lengthscale=1.5)
    p, _ = _prior(prior, weight)
    draws = p.rsample(torch.Size([40_000])).flatten(1)
    expected = _dense(weight, prior).float()
    assert ((draws.T.cov() - expected).abs() < 5 * math.sqrt(2) * expected[0, 0] / 200).all()
    assert (draws.mean(0).abs() < 5 * expected[0, 0].sqrt() / 200).all()


def test_a_constant_image_gains_what_the_docstring_says():
    weight = _parameter(nn.Conv2d(1, 1, 3))
    gains = {
        length: _dense(weight, priors.CorrelatedNormal(lengthscale=length)).sum().item() / 2.0
        for length in (1e-3, 1.0, 1e4)
    }
    assert gains[1e-3] == pytest.approx(1.0)
    assert gains[1.0] == pytest.approx(2.8, abs=0.05)
    assert gains[1e4] == pytest.approx(9.0, abs=0.01)


# Latents under guides: the KL.

LATENTS = {
    "ard": priors.ARD(spread=0.8),
    "horseshoe": priors.Horseshoe(global_scale=0.7),
    "horseshoe by weight": priors.Horseshoe(axis="weight"),
}
MEAN, SCALE = 0.4, 0.3  # of q(w)
LATENT = {"scale": (-0.4, 0.35), "global": (-0.5, 0.4), "local": (0.3, 0.5)}  # of log latent


def _quadrature(prior):
    """KL of q(latents) q(w) from the prior of one weight with fan-in 1, by Gauss and Hermite."""
    nodes, shares = np.polynomial.hermite_e.hermegauss(80)
    shares = shares / shares.sum()
    h, names = prior.gain, ["scale"] if isinstance(prior, priors.ARD) else ["global", "local"]
    if isinstance(prior, priors.ARD):
        p = {"scale": scipy.stats.lognorm(prior.spread, scale=h * math.exp(-(prior.spread**2)))}
    else:
        p = {
            "global": scipy.stats.halfcauchy(scale=prior.global_scale),
            "local": scipy.stats.halfcauchy(),
        }
    kl = 0.0
    for index in itertools.product(range(len(nodes)), repeat=len(names)):
        x = {}
        term = 0.0
        for name, i in zip(names, index, strict=True):
            mean, scale = LATENT[name]
            x[name] = math.exp(mean + scale * nodes[i])
            log_q = -0.5 * nodes[i] ** 2 - math.log(scale * math.sqrt(2 * math.pi) * x[name])
            term += log_q
        if isinstance(prior, priors.ARD):
            s = x["scale"]
        else:
            u = x["global"] * x["local"]
            s = h * u / math.sqrt(1 + (u / prior.slab) ** 2)
        term += 0.5 * (SCALE**2 + MEAN**2) / s**2 - 0.5 + math.log(s / SCALE)
        kl += math.prod(shares[i] for i in index) * term
    for name in names:  # no cross terms: on a line
        x = np.exp(LATENT[name][0] + LATENT[name][1] * nodes)
        kl -= shares @ p[name].logpdf(x)
    return kl


def _toy(prior, factory):
    """One weight, with a guide whose factors are those above."""
    model = BayesianSegmenter(nn.Conv2d(1, 1, 1, bias=False), prior)
    torch.manual_seed(0)
    guide = build_guide(factory, model, in_channels=1)
    factors = {"weight": (MEAN, SCALE)}
    factors |= {
        name: LATENT[name.removeprefix("weight_")] for name in model.hyper_latents("weight")
    }
    with torch.no_grad(), local_parameters():
        for name, (mean, scale) in factors.items():
            if factory is AutoNormal:
                getattr(guide.locs, name).fill_(mean)
                setattr(guide.scales, name, torch.full_like(getattr(guide.scales, name), scale))
            else:
                guide.site(name).loc.fill_(mean)
                guide.site(name).log_scale.fill_(math.log(scale))
    return model, guide


_PIXEL = (torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1))


@pytest.mark.parametrize(
    "factory", [guides.MeanField(), AutoNormal], ids=["MeanField", "AutoNormal"]
)
@pytest.mark.parametrize("name", LATENTS)
def test_kl_with_latents_equals_quadrature(name, factory):
    """Means of 200 draws, by closed forms and by the draws alone: each within 5 standard errors.

    Where q(w) is drawn itself, closed forms leave the noise of the latents alone.
    """
    prior = LATENTS[name]
    model, guide = _toy(prior, factory)
    expected = _quadrature(prior)
    spread = {}
    with torch.no_grad(), local_parameters():
        for analytic in (True, False):
            elbo = AnnealedELBO(analytic_kl=analytic)
            draws = torch.stack([elbo.terms(model, guide, *_PIXEL).kl for _ in range(200)])
            spread[analytic] = draws.std().item()
            error = spread[analytic] / math.sqrt(200)
            assert error < 0.1 * expected
            assert abs(draws.mean().item() - expected) < 5.0 * error
    if factory is not AutoNormal:
        assert spread[True] < spread[False]


@pytest.mark.parametrize("name", LATENTS)
def test_autonormal_agrees_with_pyros_estimator_draw_by_draw(name):
    model, guide = _toy(LATENTS[name], AutoNormal)
    losses = {}
    for key, elbo in {"annealed": AnnealedELBO(), "trace": Trace_ELBO()}.items():
        torch.manual_seed(5)
        with local_parameters(), torch.no_grad():
            losses[key] = [float(elbo.differentiable_loss(model, guide, *_PIXEL)) for _ in range(5)]
    assert losses["annealed"] == pytest.approx(losses["trace"], rel=1e-5)


# Shrinkage.

RELEVANT = 3


def _trained(prior, *, steps=200):
    """Mean field on labels that three of six input channels decide; guide and E[w^2]^0.5."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(24, 6, 8, 8, generator=generator)
    logit = 2.0 * (image[:, 0].abs() + image[:, 1] - image[:, 2].relu()) - 1.5
    target = (torch.rand(logit.shape, generator=generator) < logit.sigmoid()).float()[:, None]
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(6, 8, 1), nn.ReLU(), nn.Conv2d(8, 1, 1))
    model = BayesianSegmenter(net, prior)
    guide = build_guide(guides.MeanField(), model, in_channels=6)
    optimiser = torch.optim.Adam(guide.parameters(), lr=0.04)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, total_iters=steps)
    with local_parameters():
        for _ in range(steps):
            optimiser.zero_grad()
            AnnealedELBO().differentiable_loss(model, guide, image, target).backward()
            optimiser.step()
            decay.step()
    site = guide.site("0.weight")
    with torch.no_grad():
        second_moment = site.loc.square() + (2.0 * site.log_scale).exp()
        return guide, second_moment.mean((0, 2, 3)).sqrt()


@pytest.fixture(scope="module")
def without_shrinkage():
    return _trained(priors.FanInNormal())[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prior", "latent"),
    [
        (priors.ARD(axis="input"), "scale"),
        (priors.Horseshoe(axis="input"), "local"),
    ],
    ids=["ard", "horseshoe"],
)
def test_channels_that_carry_nothing_are_shrunk(prior, latent, without_shrinkage):
    """Scales of the three idle channels fall below a quarter of the others' least, their weights
    below half of what a prior of one scale leaves; those needed keep at least 70% of theirs.

    Found: a ninth, a quarter, and 80%.
    """
    guide, size = _trained(prior)
    with torch.no_grad():
        scales = guide.site(f"0.weight_{latent}").median()
    assert scales[RELEVANT:].max() < 0.25 * scales[:RELEVANT].min()
    assert (size[RELEVANT:] < 0.5 * without_shrinkage[RELEVANT:]).all()
    assert (size[:RELEVANT] > 0.7 * without_shrinkage[:RELEVANT]).all()


# Priors from a network, and by name.


def test_empirical_is_centred_on_the_start_with_its_size():
    layer = nn.Conv2d(2, 3, 3)
    model = BayesianSegmenter(layer, priors.Empirical(scale=0.3, floor=0.01))
    nn.init.zeros_(model.net.bias)
    for name, weight in model.random_weights.items():
        p = model.prior(name, weight)
        rms = {"weight": weight.square().mean().sqrt().item(), "bias": 0.01}[name]
        assert torch.equal(p.mean, weight)
        torch.testing.assert_close(p.variance.sqrt(), torch.full_like(weight, 0.3 * rms))


def test_empirical_trains_nothing():
    plain = nn.Parameter(torch.randn(2, 3))
    p = priors.Empirical()("weight", plain)
    assert not p.mean.requires_grad
    assert not p.log_prob(torch.zeros(2, 3)).requires_grad


def test_empirical_follows_a_fits_start_stays_there_and_is_saved(tmp_path):
    rng = np.random.default_rng(0)
    truths = rng.random((3, 1, 16, 16)) < 0.1
    frames = rng.normal(100.0, 5.0, (3, 16, 16)) + 40.0 * truths[:, 0]
    train = PatchDataset.from_frames(list(frames), list(truths), patch=None)
    model = BayesianSegmenter(UNet(width=2, depth=1), priors.Empirical(scale=0.2))
    start = fit(model, guides.MAP(), train, epochs=2, learning_rate=0.05)
    posterior = fit(model, guides.MeanField(), train, start=start, epochs=2)
    loaded = Posterior.load(posterior.save(tmp_path))
    for fitted in (posterior, loaded):
        assert fitted.model.prior == priors.Empirical(scale=0.2)
        for name, weight in fitted.model.random_weights.items():
            centre = fitted.model.prior(name, weight).mean
            assert torch.equal(centre, start.median()[name])
            assert not torch.equal(centre, fitted.median()[name])
            assert not torch.equal(centre, model.random_weights[name])


def _laplace(name, parameter):
    return dist.Laplace(0.0, 0.1).expand(parameter.shape).to_event(parameter.dim())


def test_select_takes_the_first_pattern_that_fits():
    prior = priors.Select(
        priors={
            "head.weight": priors.ARD(),
            "*.bias": None,
            "down1.*": _laplace,
            "up1.*": priors.Select(priors={"*.conv1.*": priors.Normal(), "*": None}),
            "*": priors.FanInNormal(),
        }
    )
    assert prior.of("head.weight") == priors.ARD()
    assert prior.of("head.bias") is None
    assert prior.of("down1.conv1.weight") is _laplace
    assert prior.of("up1.conv1.weight") == priors.Normal()
    assert prior.of("up1.conv2.weight") is None
    assert prior.of("down2.conv1.weight") == priors.FanInNormal()

    model = BayesianSegmenter(UNet(width=2, depth=2), prior)
    assert list(model.random_weights) == [
        "down1.conv1.weight", "down1.conv2.weight", "down2.conv1.weight", "down2.conv2.weight",
        "up1.conv1.weight", "head.weight",
    ]  # fmt: skip
    assert set(model.hyper_latents("head.weight")) == {"head.weight_scale"}
    with local_parameters():
        trace = poutine.trace(model).get_trace(torch.zeros(1, 1, 4, 4))
    assert isinstance(trace.nodes["down1.conv1.weight"]["fn"].base_dist, dist.Laplace)
    assert isinstance(trace.nodes["down2.conv1.weight"]["fn"].base_dist, dist.Normal)
    assert "net.head.bias" in dict(model.named_parameters())
    assert "net.head.weight" not in dict(model.named_parameters())


def test_select_by_default_is_the_default_prior():
    weight = _parameter(nn.Conv2d(3, 4, 3))
    p, q = (_prior(prior, weight)[0] for prior in (priors.Select(), priors.FanInNormal()))
    assert torch.equal(p.variance, q.variance)


def test_select_is_read_only_keeps_its_order_and_is_made_again_by_its_repr():
    table = {"head.*": priors.ARD(axis="input"), "*.bias": None, "*": priors.Select()}
    prior = priors.Select(priors=table)
    table["*"] = None  # the user's own table is not looked at again
    assert prior.of("down1.weight") == priors.FanInNormal()
    with pytest.raises(TypeError):
        prior.priors["*"] = None
    again = eval(repr(prior), vars(priors))  # noqa: S307
    assert again == prior
    assert hash(again) == hash(prior)
    assert copy.deepcopy(prior) == prior
    reversed_ = priors.Select(priors=dict(reversed([*prior.priors.items()])))
    assert reversed_ != prior  # the first that fits: order matters


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "expected a table of patterns"),
        ({3: priors.Normal()}, "pattern 3: expected a text"),
        ({"*": priors.Normal}, r"class Normal for '\*': expected a prior; .* Normal\(\)"),
        ({"*": "normal"}, r"'normal' for '\*': expected a prior"),
        ({"*": nn.Identity()}, "whose parameters nobody would train"),
    ],
)
def test_select_refuses_what_is_no_table_of_priors(table, message):
    with pytest.raises(BayescrError, match=message):
        priors.Select(priors=table)


def test_select_names_the_weight_that_no_pattern_fits_and_the_way_out():
    prior = priors.Select(priors={"down1.*": priors.Normal()})
    with pytest.raises(
        BayescrError,
        match=r"""no pattern of Select fits weight 'head.weight': .*'down1.\*'; add "\*" for all""",
    ):
        BayesianSegmenter(UNet(width=1, depth=1), prior)
    with pytest.raises(BayescrError, match="weight 'b' is a plain parameter"):
        priors.Select(priors={"*": None})("b", torch.zeros(2))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_priors_live_where_the_weights_do(prior):
    weight = _parameter(nn.Conv2d(2, 3, 3)).cuda()
    weight.fan_in, weight.input_axis, weight.output_axis = 18, 1, 0
    distribution, latents = _prior(prior, weight)
    draw = distribution.sample()
    tensors = (draw, distribution.log_prob(draw), *latents.values())
    assert {tensor.device.type for tensor in tensors} == {"cuda"}
    assert all(tensor.isfinite().all() for tensor in tensors)
