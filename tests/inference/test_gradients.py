"""The gradient estimators against closed forms, brute force and one another.

Where draws are averaged, tolerances are 5 standard errors of what is compared.
"""

from __future__ import annotations

import dataclasses
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import autoguide
from torch import nn
from torch.func import functional_call, jacrev
from torch.nn import functional

from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO, fit, gradients, guides
from bayescr.inference._pyro import build_guide, local_parameters
from bayescr.inference.gradients import (
    Flipout,
    LocalReparameterisation,
    WeightDraws,
    flipout,
    local_reparameterisation,
)
from bayescr.inference.guides import WeightGuide
from bayescr.inference.guides._weights import Point
from bayescr.inference.guides.mean_field import _Normal
from bayescr.models import BayesianSegmenter, UNet, priors

LAYERWISE = [Flipout(), LocalReparameterisation()]

layerwise = pytest.mark.parametrize("estimator", LAYERWISE, ids=lambda one: type(one).__name__)


def _made(net, factory=None, **settings):
    """A model, and a guide whose spread is half the size of its means: noise to be seen."""
    model = BayesianSegmenter(net, **settings)
    return model, build_guide(factory or guides.MeanField(init_scale=0.5), model, in_channels=1)


def _logits(model, guide, estimator, image):
    with local_parameters(), estimator(model, guide):
        return model.logits(image, guide())


def _output(model, guide, estimator, image):
    """As `_logits`, of a network whose output has not the size of the image."""
    with local_parameters(), estimator(model, guide):
        return functional_call(model.net, guide(), (image,))


def _net():
    """Every logit depends on one pixel of each layer's output, so that all estimators agree."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(2, 2, 2, stride=2), nn.ReLU(),
        nn.Conv2d(2, 1, 1),
    )  # fmt: skip


def _batch(count=3, size=8):
    source = torch.Generator().manual_seed(1)
    image = torch.randn(count, 1, size, size, generator=source)
    return image, (image > 0.3).float(), torch.rand(image.shape, generator=source) < 0.9


def _loss_and_gradient(model, guide, estimator):
    """Negative log-likelihood and its gradient, as one vector."""
    image, target, valid = _batch()
    logits = _logits(model, guide, estimator, image)
    loss = functional.binary_cross_entropy_with_logits(logits[valid], target[valid])
    gradient = torch.autograd.grad(loss, list(guide.parameters()))
    return torch.cat([loss.detach()[None], *(g.flatten() for g in gradient)])


def _sample(count, draw, *args):
    torch.manual_seed(2)
    draws = torch.stack([draw(*args) for _ in range(count)]).double()
    return draws.mean(0), draws.std(0) / math.sqrt(count)


@pytest.fixture(scope="module")
def noisy():
    """Model, guide, and mean and standard error of loss and gradients by weight draws."""
    model, guide = _made(_net())
    for name, site in guide.sites():
        nn.init.constant_(site.log_scale, math.log(0.6))
        if name.endswith("weight"):
            nn.init.normal_(site.loc)
    return model, guide, _sample(400, _loss_and_gradient, model, guide, WeightDraws())


@layerwise
def test_expected_loss_and_gradients_are_those_of_weight_draws(estimator, noisy):
    model, guide, (expected, its_error) = noisy
    mean, error = _sample(400, _loss_and_gradient, model, guide, estimator)
    error = torch.hypot(error, its_error)
    assert ((mean - expected).abs() <= 5 * error).all()
    # The noise is seen: without it the loss would be another.
    logits = model.logits(_batch()[0], guide.median())
    _, target, valid = _batch()
    at_mean = functional.binary_cross_entropy_with_logits(logits[valid], target[valid])
    assert (expected[0] - at_mean).abs() > 8 * error[0]


LAYERS = {
    "1x1": (lambda: nn.Conv2d(2, 3, 1), (2, 4, 3)),
    "no bias": (lambda: nn.Conv2d(2, 3, 3, bias=False), (2, 4, 4)),
    "stride": (lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1), (2, 5, 4)),
    "dilated": (lambda: nn.Conv2d(2, 4, 3, dilation=2, padding="same"), (2, 5, 4)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2), (4, 4, 4)),
    "depthwise": (lambda: nn.Conv2d(3, 3, 3, padding=1, groups=3), (3, 4, 4)),
    "reflect": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 4, 4)),
    "circular": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 2, stride=2), (2, 3, 4)),
    "transposed, padded": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        (4, 3, 3),
    ),
    "transposed, gaps": (lambda: nn.ConvTranspose2d(2, 3, 1, stride=2, bias=False), (2, 3, 3)),
    "1d": (lambda: nn.Conv1d(2, 3, 3), (2, 7)),
    "1d, transposed": (lambda: nn.ConvTranspose1d(2, 3, 3), (2, 5)),
    "3d": (lambda: nn.Conv3d(2, 3, 2), (2, 3, 3, 3)),
    "3d, transposed": (lambda: nn.ConvTranspose3d(2, 3, 2), (2, 3, 3, 2)),
    "linear": (lambda: nn.Linear(3, 4), (3,)),
    "linear over pixels": (lambda: nn.Linear(3, 4), (2, 5, 3)),
}


@pytest.fixture(params=LAYERS)
def one_layer(request):
    """Model, guide and images of a network that is one layer."""
    make, shape = LAYERS[request.param]
    torch.manual_seed(0)
    model = BayesianSegmenter(make())
    guide = guides.MeanField(init_scale=0.5)(model)
    for _, site in guide.sites():
        nn.init.normal_(site.loc)
        nn.init.uniform_(site.log_scale, -2.0, 0.0)
    return model, guide, torch.randn(3, *shape)


def test_local_reparameterisation_has_the_mean_and_variance_of_each_activation(
    one_layer, monkeypatch
):
    """A layer is linear in its weights, y = J w: mean J m and variance J^2 s^2, J by autograd.

    The noise is set to 1, so that what is added to the mean is the standard deviation.
    """
    model, guide, image = one_layer
    mean = {name: site.loc.detach() for name, site in guide.sites()}
    jacobian = jacrev(lambda weights: functional_call(model.net, weights, (image,)))(mean)
    variance = sum(
        (jacobian[name].square() * site.log_scale.exp().square()).flatten(image.dim()).sum(-1)
        for name, site in guide.sites()
    )
    expected = functional_call(model.net, mean, (image,))
    drawn = {}
    for noise in (torch.zeros_like, torch.ones_like):
        monkeypatch.setattr(local_reparameterisation, "_noise", noise)
        drawn[noise] = _output(model, guide, LocalReparameterisation(), image)
    torch.testing.assert_close(drawn[torch.zeros_like], expected, rtol=1e-4, atol=1e-5)
    spread = drawn[torch.ones_like] - drawn[torch.zeros_like]
    torch.testing.assert_close(spread, variance.sqrt(), rtol=1e-3, atol=1e-5)


def _flipped_weight(layer, mean, drawn, into, out):
    """Each number of a weight with the sign of its input channel and of its output channel."""
    groups = getattr(layer, "groups", 1)
    is_transposed = getattr(layer, "transposed", False)
    signs = torch.empty(mean.shape[:2])
    for first in range(mean.shape[0]):
        for second in range(mean.shape[1]):
            group = first // (mean.shape[0] // groups)
            other = group * mean.shape[1] + second
            o, i = (other, first) if is_transposed else (first, other)
            signs[first, second] = out[o] * into[i]
    signs = signs.reshape(*signs.shape, *[1] * (mean.dim() - 2))
    return mean + signs * (drawn - mean)


def test_flipout_gives_each_image_the_drawn_weights_with_signs_flipped(one_layer, monkeypatch):
    """Image by image through the plain layer, with weights put together number by number."""
    model, guide, image = one_layer
    signs, made = [], flipout._signs
    monkeypatch.setattr(flipout, "_signs", lambda *args: signs.append(made(*args)) or signs[-1])
    with local_parameters(), Flipout()(model, guide):
        drawn = guide()
        logits = functional_call(model.net, drawn, (image,))
    into, out = (one.reshape(len(image), -1) for one in signs)
    assert set(into.flatten().tolist()) | set(out.flatten().tolist()) == {-1.0, 1.0}
    layer = model.net
    for n, one in enumerate(image):
        mean = guide.site("weight").loc
        weights = {"weight": _flipped_weight(layer, mean, drawn["weight"], into[n], out[n])}
        if "bias" in drawn:
            mean = guide.site("bias").loc
            weights["bias"] = mean + out[n] * (drawn["bias"] - mean)
        expected = functional_call(layer, weights, (one[None],))[0]
        torch.testing.assert_close(logits[n], expected, rtol=1e-4, atol=1e-5)


def test_signs_are_fair_and_new_for_every_image_and_channel():
    """A mean of n signs scatters by 1 / sqrt(n), a product of two columns as well."""
    torch.manual_seed(0)
    signs = flipout._signs(torch.empty(4000, 3, 2, 2), 1)
    assert signs.shape == (4000, 3, 1, 1)
    products = signs.flatten(1).T @ signs.flatten(1) / 4000
    torch.testing.assert_close(products, torch.eye(3), rtol=0.0, atol=5 / math.sqrt(4000))
    assert signs.mean((0, 2, 3)).abs().max() < 5 / math.sqrt(4000)
    neighbours = signs[1:] * signs[:-1]
    assert neighbours.mean((0, 2, 3)).abs().max() < 5 / math.sqrt(3999)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_noise_is_standard_normal_in_any_layout(dtype):
    """Mean, variance and fourth moment of n numbers scatter by sqrt(1, 2, 96) / sqrt(n)."""
    torch.manual_seed(0)
    image = torch.empty(4, 10, 20, 25, dtype=dtype)
    for like in (image, image.to(memory_format=torch.channels_last), image[:, ::2].movedim(1, 3)):
        noise = local_reparameterisation._noise(like)
        assert noise.shape == like.shape
        assert noise.dtype == dtype
        power = [noise.double().pow(k).mean().item() for k in (1, 2, 4)]
        tolerance = [5 * math.sqrt(k / noise.numel()) for k in (1, 2, 96)]
        assert power == [pytest.approx(m, abs=t) for m, t in zip((0, 1, 3), tolerance, strict=True)]
        neighbours = (noise[1:] * noise[:-1]).double().mean().item()
        assert abs(neighbours) < 5 / math.sqrt(noise[1:].numel())
        if like.stride()[1] == 1:
            assert noise.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "estimator", [WeightDraws(), *LAYERWISE], ids=lambda one: type(one).__name__
)
def test_the_spread_of_an_image_wide_mean(estimator):
    """A 1x1 convolution of P pixels x_pc: the mean logit is linear in the weights.

    One draw for the image: sum_c s_c^2 mean_p(x_pc)^2 + s_b^2. A draw for each pixel:
    (sum_c s_c^2 mean_p(x_pc^2) + s_b^2) / P. A variance of n draws scatters by sqrt(2 / n).
    """
    torch.manual_seed(0)
    model = BayesianSegmenter(nn.Conv2d(3, 1, 1))
    guide = guides.MeanField(init_scale=0.5)(model)
    image = torch.randn(2, 3, 8, 8) + 1.0
    scale = guide.site("weight").log_scale.exp().detach().reshape(3)
    of_bias = guide.site("bias").log_scale.exp().item() ** 2
    coherent = (image.mean((2, 3)).square() * scale.square()).sum(1) + of_bias
    each = (image.square().mean((2, 3)) * scale.square()).sum(1) + of_bias
    is_local = isinstance(estimator, LocalReparameterisation)
    expected = each / 64 if is_local else coherent
    assert (each / 64 < coherent / 10).all()  # the two are told apart

    torch.manual_seed(1)
    count = 1000
    with torch.no_grad():
        means = torch.stack(
            [_logits(model, guide, estimator, image).mean((1, 2, 3)) for _ in range(count)]
        )
    torch.testing.assert_close(means.var(0), expected, rtol=5 * math.sqrt(2 / count), atol=0.0)
    correlation = torch.corrcoef(means.T)[0, 1]
    if isinstance(estimator, WeightDraws):
        assert correlation.abs() > 0.9  # what one draw does to an image it does to the other
    else:
        assert correlation.abs() < 5 / math.sqrt(count)


def _unit_normal(logits, target, valid):
    return pyro.sample("obs", dist.Normal(logits, 1.0).to_event(3), obs=target)


@pytest.mark.parametrize(
    "estimator", [WeightDraws(), *LAYERWISE], ids=lambda one: type(one).__name__
)
def test_the_variance_of_the_gradient(estimator):
    """y = w x, x = 1 at N images of P pixels, unit-normal labels: d(-log p)/dm = sum(y) - const.

    Var = (NP)^2 s^2 for one draw, N P^2 s^2 for one an image, N P s^2 for one a pixel.
    A variance of n draws scatters by sqrt(2 / n).
    """
    net = nn.Conv2d(1, 1, 1, bias=False)
    model, guide = _made(net, likelihood=_unit_normal)
    images, pixels, count = 6, 9, 600
    image = torch.ones(images, 1, 3, 3)
    site, elbo = guide.site("weight"), AnnealedELBO()
    torch.manual_seed(0)
    found = []
    for _ in range(count):
        with local_parameters(), estimator(model, guide):
            terms = elbo.terms(model, guide, image, image)
        found.append(torch.autograd.grad(-terms.log_likelihood, site.loc)[0].flatten())
    factor = {
        "WeightDraws": (images * pixels) ** 2,
        "Flipout": images * pixels**2,
        "LocalReparameterisation": images * pixels,
    }[type(estimator).__name__]
    expected = factor * site.log_scale.exp().item() ** 2
    variance = torch.cat(found).var().item()
    assert variance == pytest.approx(expected, rel=5 * math.sqrt(2 / count))


def test_in_a_unet_flipout_scatters_less_than_weight_draws(small_model):
    """The sum of the variances over all gradients falls with the number of images, here 8."""
    model = small_model()
    guide = build_guide(guides.MeanField(init_scale=0.2), model, in_channels=1)
    image, target, _ = _batch(count=8)

    def gradient(estimator):
        logits = _logits(model, guide, estimator, image)
        loss = functional.binary_cross_entropy_with_logits(logits, target)
        parameters = [site.loc for _, site in guide.sites()]
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    total = {}
    for estimator in (WeightDraws(), Flipout()):
        _, error = _sample(60, gradient, estimator)
        total[estimator] = error.square().sum()
    assert total[Flipout()] < 0.4 * total[WeightDraws()]


def test_local_reparameterisation_averages_noise_away_behind_a_layer_that_sums_pixels():
    """Logit = sum of three pixels of w x: (sum x)^2 s^2 in truth, sum x^2 s^2 here.

    This is what the docstring warns of: it is a property, and a change of it would be news.
    """
    summing = nn.Conv2d(1, 1, (1, 3), bias=False)
    nn.init.ones_(summing.weight)
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), summing)
    model = BayesianSegmenter(net, random="0.weight")
    guide = guides.MeanField(init_scale=0.5)(model)
    image = torch.tensor([[[[1.0, 2.0, -0.5]]]])
    scale = guide.site("0.weight").log_scale.exp().item()
    for estimator, factor in ((Flipout(), 2.5**2), (LocalReparameterisation(), 5.25)):
        torch.manual_seed(0)
        with torch.no_grad():
            logits = torch.stack(
                [_output(model, guide, estimator, image).flatten() for _ in range(600)]
            )
        expected = scale**2 * factor
        assert logits.var().item() == pytest.approx(expected, rel=5 * math.sqrt(2 / 600))


def _terms(model, guide, estimator, *, seed=0, **options):
    torch.manual_seed(seed)
    with local_parameters(), estimator(model, guide):
        return AnnealedELBO(**options).terms(model, guide, *_batch(), num_images=7)


@layerwise
@pytest.mark.parametrize("analytic", [True, False])
def test_the_kl_is_not_touched(estimator, analytic):
    model, guide = _made(_net())
    terms = _terms(model, guide, estimator, analytic_kl=analytic)
    plain = _terms(model, guide, WeightDraws(), analytic_kl=analytic)
    assert terms.kl.item() == plain.kl.item()
    assert terms.log_likelihood.item() != plain.log_likelihood.item()


def _with_hyper_latent(name, weight):
    scale = pyro.sample(f"{name}_scale", dist.LogNormal(weight.new_tensor(-0.5), 0.3))
    return dist.Normal(0.0, scale).expand(weight.shape).to_event(weight.dim())


@layerwise
def test_hyper_latents_of_the_prior_change_nothing(estimator):
    """q of a weight does not depend on them: same KL draw by draw, same mean of the likelihood."""
    model, guide = _made(_net(), prior=_with_hyper_latent)
    terms = {}
    for one in (estimator, WeightDraws()):
        with torch.no_grad():
            terms[one] = [_terms(model, guide, one, seed=seed) for seed in range(60)]
    kl, plain = ([term.kl.item() for term in found] for found in terms.values())
    assert kl == plain
    assert len(set(kl)) > 1
    likelihood, plain = (
        torch.stack([term.log_likelihood for term in found]).double() for found in terms.values()
    )
    error = math.hypot(likelihood.std(), plain.std()) / math.sqrt(60)
    assert abs(likelihood.mean() - plain.mean()) < 5 * error


@layerwise
def test_particles_are_passes_of_their_own(estimator):
    model, guide = _made(_net())
    together = _terms(model, guide, estimator, num_particles=2)
    torch.manual_seed(0)
    with local_parameters(), estimator(model, guide):
        each = [
            AnnealedELBO().terms(model, guide, *_batch(), num_images=7).log_likelihood
            for _ in range(2)
        ]
    assert each[0].item() != each[1].item()
    assert together.log_likelihood.item() == pytest.approx(sum(each).item() / 2, rel=1e-5)


@layerwise
def test_layers_of_points_run_as_they_are(estimator):
    model, guide = _made(_net(), guides.MAP())
    image, _, _ = _batch()
    expected = _logits(model, guide, WeightDraws(), image)
    assert torch.equal(_logits(model, guide, estimator, image), expected)


@layerwise
@pytest.mark.parametrize("random", ["*.weight", "*.bias"])
@pytest.mark.parametrize("others", ["points", "plain"])
def test_weight_or_bias_alone_may_be_random(estimator, random, others):
    """Mean and variance of the logits of a 1x1 convolution, by formula; one pixel at a time."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 1, 1))
    model = BayesianSegmenter(net, random=random if others == "plain" else None)
    leaf = random.removeprefix("*.")
    guide = WeightGuide(
        model,
        lambda name, start: _Normal(start, 0.5) if name.endswith(leaf) else Point(start),
    )
    image = torch.tensor([[[[1.5]]], [[[-0.5]]]])
    with torch.no_grad():
        draws = torch.stack([_logits(model, guide, estimator, image).flatten() for _ in range(500)])
        scale = guide.site(f"0.{leaf}").log_scale.exp().item()
        expected = scale * (image.abs() if leaf == "weight" else torch.ones(2)).flatten()
        torch.testing.assert_close(draws.std(0), expected, rtol=5 / math.sqrt(1000), atol=0.0)
        mean = net(image).flatten()
        assert ((draws.mean(0) - mean).abs() < 5 * expected / math.sqrt(500)).all()


class _SideBySide(nn.Module):
    def __init__(self, members):
        super().__init__()
        self.side_by_side = nn.ModuleList(members)


@layerwise
def test_members_side_by_side_have_each_their_own_means(estimator):
    """With hardly any spread each bound is that at the member's means."""
    model = BayesianSegmenter(_net())
    torch.manual_seed(0)
    members = [guides.MeanField(init_scale=1e-6)(model) for _ in range(2)]
    for _, site in members[1].sites():
        nn.init.normal_(site.loc)
    ensemble = _SideBySide(members)
    terms = _terms(model, ensemble, estimator)
    alone = [_terms(model, one, WeightDraws()).log_likelihood.item() for one in members]
    assert abs(alone[0] - alone[1]) > 1.0
    assert terms.log_likelihood.item() == pytest.approx(sum(alone) / 2, rel=1e-3)


@layerwise
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_precision_and_layout(small_model, estimator, dtype):
    """With hardly any spread the loss is that of weight draws, to rounding; bfloat16 has 8 bits."""
    model = small_model()
    image, target, _ = _batch(size=12)
    image = image.to(memory_format=torch.channels_last)
    losses = []
    for one, spread in ((WeightDraws(), 1e-6), (estimator, 1e-6), (estimator, 0.3)):
        guide = build_guide(guides.MeanField(init_scale=spread), model, in_channels=1)
        with local_parameters(), model.computing_in(dtype), one(model, guide):
            loss = AnnealedELBO(kl_weight=0.0).differentiable_loss(model, guide, image, target)
        loss.backward()
        losses.append(loss.item())
        for name, parameter in guide.named_parameters():
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name
    assert losses[1] == pytest.approx(losses[0], rel=1e-2 if dtype == torch.bfloat16 else 1e-4)


@layerwise
def test_blank_inputs_have_finite_gradients(estimator):
    """The variance is zero where the input is: its root must not spoil the gradient."""
    model, guide = _made(nn.Conv2d(1, 1, 3, padding=1, bias=False))
    image = torch.zeros(2, 1, 6, 6)
    image[1, 0, 2, 2] = 1.0
    with local_parameters(), estimator(model, guide):
        AnnealedELBO().loss_and_grads(model, guide, image, (image > 0).float())
    assert all(parameter.grad.isfinite().all() for parameter in guide.parameters())


# What is refused.


def _refusal(estimator, model, guide, image=None):
    image = torch.randn(4, 1, 8, 8) if image is None else image
    with pytest.raises(BayescrError) as caught:
        _logits(model, guide, estimator, image)
    message = str(caught.value)
    assert type(estimator).__name__ in message
    assert "gradients.WeightDraws()" in message
    assert "\n" not in message
    return message


@layerwise
@pytest.mark.parametrize(
    ("factory", "named"),
    [
        (guides.LowRank(), "LowRankNormal"),
        (guides.MCDropout(), "ChannelDropout"),
        (autoguide.AutoNormal, "AutoNormal"),
        (autoguide.AutoLowRankMultivariateNormal, "AutoLowRankMultivariateNormal"),
    ],
)
def test_guides_without_independent_normals_are_refused(small_model, estimator, factory, named):
    model = small_model()
    guide = build_guide(factory, model, in_channels=1)
    message = _refusal(estimator, model, guide)
    assert named in message
    assert type(guide).__name__ in message
    assert "guides.MeanField()" in message


class _DrawsMore(_Normal):
    """Scales its weight by another latent: not drawn from its own distribution alone."""

    def sample(self, name):
        return super().sample(name)


@layerwise
def test_guides_with_another_way_to_draw_are_refused(small_model, estimator):
    model = small_model()
    guide = WeightGuide(model, lambda name, start: _DrawsMore(start, 0.1))
    assert "_DrawsMore for weight 'down1.conv1.weight'" in _refusal(estimator, model, guide)


@layerwise
def test_every_guide_of_the_family_is_right_or_refused(small_model, guide_factory, estimator):
    """What is not refused has normal factors or points, so that the tests above speak for it."""
    model = small_model()
    guide = build_guide(guide_factory, model, in_channels=1)
    try:
        logits = _logits(model, guide, estimator, torch.randn(2, 1, 12, 12))
    except BayescrError as error:
        assert "gradients.WeightDraws()" in str(error)  # noqa: PT017  either will do
    else:
        assert logits.isfinite().all()
        for member in getattr(guide, "side_by_side", [guide]):
            for name in model.random_weights:
                q = member.site(name)()
                assert isinstance(getattr(q, "base_dist", q), dist.Normal | dist.Delta)


class _Standardised(nn.Conv2d):
    def forward(self, input):
        return self._conv_forward(input, self.weight - self.weight.mean(), self.bias)


class _Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.conv(self.conv(x))


class _ByHand(_Twice):
    def forward(self, x):
        return functional.conv2d(x, self.conv.weight, self.conv.bias)


class _Pixelwise(nn.Module):
    """A linear layer over pixels as rows: an image's rows would get different signs."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, x):
        return self.linear(x.flatten()[:, None]).reshape(x.shape)


@layerwise
@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Sequential(_Standardised(1, 1, 3)), "'0.weight' belongs to a _Standardised"),
        (
            nn.Sequential(nn.Conv2d(1, 2, 1), nn.GroupNorm(1, 2)),
            "'1.weight' belongs to a GroupNorm",
        ),
        (_Twice(), "layer 'conv' is called twice"),
        (_ByHand(), "layer 'conv' has random weights but the network does not call it"),
    ],
)
def test_layers_that_would_go_wrong_are_refused(estimator, net, words):
    model = BayesianSegmenter(net, priors.Normal(), random="*")
    message = _refusal(estimator, model, guides.MeanField()(model))
    assert words in message
    assert "`random=`" in message


def test_flipout_wants_images_along_the_first_axis():
    model = BayesianSegmenter(_Pixelwise())
    guide = guides.MeanField()(model)
    message = _refusal(Flipout(), model, guide)
    assert "layer 'linear' is given (256, 1), the network 4 images" in message
    logits = _logits(model, guide, LocalReparameterisation(), torch.randn(4, 1, 8, 8))
    assert logits.shape == (4, 1, 8, 8)


# What is left behind: nothing.


def _is_as_it_was(model, guide):
    modules = [*model.net.modules(), *guide.modules()]
    return not any(
        "forward" in vars(one) or one._forward_hooks or one._forward_pre_hooks for one in modules
    )


class _Breaks(nn.Module):
    def forward(self, x):
        raise RuntimeError("broken")


@layerwise
@pytest.mark.parametrize("net", [_net(), nn.Conv2d(1, 1, 1)], ids=["net", "one layer"])
def test_layers_are_put_back(estimator, net):
    model, guide = _made(net)
    with estimator(model, guide):
        assert not _is_as_it_was(model, guide)
        with pytest.raises(BayescrError, match="does not run as torch's"):
            estimator(model, guide).__enter__()  # one at a time
    assert _is_as_it_was(model, guide)


@layerwise
def test_layers_are_put_back_after_an_error(estimator):
    model, _ = _made(_net())
    model.net.append(_Breaks())
    guide = guides.MeanField()(model)
    with pytest.raises(RuntimeError, match="broken"):
        _terms(model, guide, estimator)
    assert _is_as_it_was(model, guide)
    model.net.pop(-1)
    assert _terms(model, guide, estimator).log_likelihood.isfinite()


@layerwise
def test_a_fit_runs_is_reproduced_and_predicts_by_weight_draws(small_model, datasets, estimator):
    settings = {"epochs": 2, "batch_size": 2, "precision": "float32"}
    posteriors = [
        fit(small_model(), guides.MeanField(), datasets[0], estimator=one, seed=seed, **settings)
        for one, seed in ((estimator, 0), (estimator, 0), (estimator, 1), (WeightDraws(), 0))
    ]
    medians = [torch.cat([v.flatten() for v in one.median().values()]) for one in posteriors]
    assert torch.equal(medians[0], medians[1])
    assert not torch.equal(medians[0], medians[2])
    assert not torch.equal(medians[0], medians[3])
    posterior = posteriors[0]
    assert posterior.provenance["settings"]["estimator"] == repr(estimator)
    assert _is_as_it_was(posterior.model, posterior.guide)
    image = datasets[0][0]["image"][None]
    draws = posterior.draw(2)
    weights = {name: draws[name][1] for name in posterior.model.random_weights}
    logits = posterior.model.logits(image, weights)
    torch.testing.assert_close(logits, functional_call(posterior.model.net, weights, (image,)))


def test_the_family_has_names_and_defaults():
    assert set(gradients.FAMILY) == {"weight-draws", "flipout", "local-reparameterisation"}
    for factory in gradients.FAMILY.values():
        assert dataclasses.is_dataclass(factory)
        assert eval(repr(factory()), vars(gradients)) == factory()


def test_the_whole_elbo_reaches_every_parameter():
    torch.manual_seed(0)
    for estimator in LAYERWISE:
        model = BayesianSegmenter(UNet(width=2, norm="layer", upsampling="bilinear"))
        guide = build_guide(guides.MeanField(), model, in_channels=1)
        image, target, valid = _batch(size=12)
        with local_parameters(), estimator(model, guide):
            AnnealedELBO(kl_weight=0.0).loss_and_grads(model, guide, image, target, valid)
        for name, parameter in [*guide.named_parameters(), *model.named_parameters()]:
            assert parameter.grad.abs().sum() > 0, name
