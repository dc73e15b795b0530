"""The Pyro model: sites, plate, masking, selection of random weights."""

from __future__ import annotations

import copy
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from bayescr.errors import BayescrError
from bayescr.models import BayesianSegmenter, UNet, fan_in, likelihoods, priors


def _batch(*, count=3, classes=1, channels=1, size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count, channels, size, size, generator=generator)
    target = (torch.rand(count, classes, size, size, generator=generator) < 0.3).float()
    valid = torch.rand(count, 1, size, size, generator=generator) < 0.8
    return image, target, valid


@pytest.fixture
def model():
    torch.manual_seed(0)
    return BayesianSegmenter(UNet(width=2, depth=2))


def _latents(trace):
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site["is_observed"] and name != "images"
    }


@pytest.mark.parametrize("prior", [factory() for factory in priors.FAMILY.values()])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_every_weight_of_every_layer_is_a_site_named_by_its_path(prior, upsampling):
    net = UNet(width=2, depth=3, upsampling=upsampling)
    model = BayesianSegmenter(net, prior)
    trace = poutine.trace(model).get_trace(*_batch())
    shapes = {name: tuple(weight.shape) for name, weight in net.named_parameters()}
    latents = {name: tuple(site["value"].shape) for name, site in _latents(trace).items()}
    assert latents.items() >= shapes.items()
    assert latents.keys() - shapes.keys() == {
        hyper for name in shapes for hyper in model.hyper_latents(name)
    }
    assert trace.nodes["obs"]["is_observed"]
    pyro.clear_param_store()


def test_the_likelihood_is_scaled_by_num_images_over_batch_and_the_prior_is_not(model):
    log_probs = []
    for num_images in (None, 3, 30):
        pyro.set_rng_seed(0)
        trace = poutine.trace(model).get_trace(*_batch(), num_images=num_images)
        trace.compute_log_prob()
        log_probs.append({name: site["log_prob_sum"] for name, site in trace.nodes.items()
                          if site["type"] == "sample"})  # fmt: skip
    assert log_probs[0]["obs"] == log_probs[1]["obs"]
    assert log_probs[2]["obs"].item() == pytest.approx(10 * log_probs[1]["obs"].item(), rel=1e-6)
    for name in model.random_weights:
        assert log_probs[2][name] == log_probs[1][name]


def test_log_likelihood_equals_a_loop_over_pixels():
    torch.manual_seed(1)
    model = BayesianSegmenter(UNet(width=2, depth=1, num_classes=2))
    image, target, valid = _batch(count=2, classes=2, size=4)
    trace = poutine.trace(model).get_trace(image, target, valid)
    trace.compute_log_prob()
    logits = trace.nodes["_RETURN"]["value"].double()
    by_hand = 0.0
    for b, k, i, j in torch.cartesian_prod(*map(torch.arange, logits.shape)).tolist():
        if valid[b, 0, i, j]:
            p = 1.0 / (1.0 + math.exp(-logits[b, k, i, j]))
            by_hand += math.log(p if target[b, k, i, j] else 1.0 - p)
    assert trace.nodes["obs"]["log_prob_sum"].item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("label", [0.0, 1.0, 255.0, -1.0, math.nan, math.inf])
def test_labels_of_invalid_pixels_change_neither_loss_nor_gradient(label):
    """Bit for bit, whatever stands there; under Pyro's validation too."""
    net = UNet(width=2, depth=2, num_classes=2)
    model = BayesianSegmenter(net, random="head.*")
    image, target, valid = _batch(classes=2)
    results = []
    for labels in (target, target.where(valid, label), torch.where(valid, target, 1 - target)):
        pyro.set_rng_seed(0)
        model.zero_grad()
        trace = poutine.trace(model).get_trace(image, labels, valid)
        loss = -trace.log_prob_sum()
        loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in model.parameters())])
        pyro.clear_param_store()
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert all(value.isfinite().all() for value in results[0])


def test_labels_of_valid_pixels_do_change_the_loss(model):
    image, target, valid = _batch()
    log_probs = set()
    for labels in (target, 1 - target):
        pyro.set_rng_seed(0)
        log_probs.add(poutine.trace(model).get_trace(image, labels, valid).log_prob_sum().item())
    assert len(log_probs) == 2


def test_without_target_the_labels_are_sampled_and_the_logits_recorded(model):
    image, _, _ = _batch()
    trace = poutine.trace(model).get_trace(image)
    assert trace.nodes["obs"]["value"].shape == trace.nodes["logits"]["value"].shape == (3, 1, 8, 8)
    assert set(trace.nodes["obs"]["value"].unique().tolist()) <= {0.0, 1.0}


def test_target_of_another_number_of_classes_is_refused(model):
    image, target, valid = _batch(classes=2)
    with pytest.raises(BayescrError, match=r"target has shape \(3, 2, 8, 8\) but the logits"):
        model(image, target, valid)
    three = BayesianSegmenter(UNet(width=2, depth=1, num_classes=3))
    with pytest.raises(BayescrError, match="num_classes"):
        three(image, target[:, :1], valid)


def test_prior_of_another_event_shape_is_refused_with_the_fix():
    model = BayesianSegmenter(
        UNet(width=2, depth=1), lambda name, weight: dist.Normal(0.0, 1.0).expand(weight.shape)
    )
    with pytest.raises(BayescrError) as error:
        model(_batch()[0])
    assert str(error.value) == (
        "prior for weight 'down1.conv1.weight' has event shape () but the weight is (2, 1, 3, 3): "
        "expand it, `dist.Normal(0, s).expand(shape).to_event(4)`"
    )


@pytest.mark.parametrize(
    ("random", "expected"),
    [
        ("head.*", {"head.weight", "head.bias"}),
        (["head.bias", "down?.conv1.weight"],
         {"head.bias", "down1.conv1.weight", "down2.conv1.weight"}),
        (lambda name, weight: weight.dim() == 1 and name.startswith("up1.up"),
         {"up1.upsample.bias"}),
    ],
)  # fmt: skip
def test_a_selector_says_which_weights_are_random(random, expected):
    net = UNet(width=2, depth=2)
    model = BayesianSegmenter(net, random=random)
    assert set(model.random_weights) == expected
    assert set(_latents(poutine.trace(model).get_trace(*_batch()))) == expected
    plain = {name for name, _ in model.net.named_parameters()}
    assert plain == {name for name, _ in net.named_parameters()} - expected
    pyro.clear_param_store()


def test_plain_parameters_get_gradients():
    model = BayesianSegmenter(UNet(width=4, depth=2), random="head.*")
    names = {name for name, _ in UNet(width=4, depth=2).named_parameters()}
    assert set(model.plain_parameters) == names - {"head.weight", "head.bias"}
    poutine.trace(model).get_trace(*_batch()).log_prob_sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    pyro.clear_param_store()


def test_a_selector_that_selects_nothing_is_refused():
    with pytest.raises(BayescrError, match=r"random='hed\.\*' selects none of down1.conv1.weight"):
        BayesianSegmenter(UNet(width=2), random="hed.*")
    with pytest.raises(BayescrError, match="no weight of the network is random"):
        BayesianSegmenter(nn.BatchNorm2d(1))


def test_normalisation_weights_are_plain_by_default():
    model = BayesianSegmenter(UNet(width=2, depth=2, norm="batch"))
    assert not any("norm" in name for name in model.random_weights)
    assert {name for name, _ in model.named_parameters()} == {
        f"net.{block}.norm{i}.{leaf}"
        for block in ("down1", "down2", "up1") for i in (1, 2) for leaf in ("weight", "bias")
    }  # fmt: skip


def test_the_network_is_copied_and_its_values_are_the_start():
    net = UNet(width=2)
    before = {name: weight.clone() for name, weight in net.named_parameters()}
    model = BayesianSegmenter(net)
    for name, weight in model.random_weights.items():
        assert torch.equal(weight, before[name])
        weight.zero_()
    assert dict(net.named_parameters()).keys() == before.keys()
    assert all(torch.equal(weight, before[name]) for name, weight in net.named_parameters())


def test_any_network_will_do():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(1))  # of no layer: plain
            self.layers = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Tanh())
            self.out = nn.ConvTranspose2d(4, 3, 1)

        def forward(self, image):
            return self.out(self.layers(image)) + self.shift

    model = BayesianSegmenter(Net())
    assert set(model.random_weights) == {
        "layers.0.weight", "layers.0.bias", "out.weight", "out.bias",
    }  # fmt: skip
    assert model(*_batch(classes=3, channels=2)).shape == (3, 3, 8, 8)
    assert BayesianSegmenter(nn.Conv2d(1, 1, 3, padding=1))(_batch()[0]).shape == (3, 1, 8, 8)
    pyro.clear_param_store()


def test_a_prior_may_sample_its_own_latents():
    def ard(name, weight):
        scale = pyro.sample(f"{name}_scale", dist.HalfNormal(1.0))
        return dist.Normal(0.0, scale).expand(weight.shape).to_event(weight.dim())

    model = BayesianSegmenter(UNet(width=2, depth=1), ard, random="head.*")
    latents = list(_latents(poutine.trace(model).get_trace(*_batch())))
    assert latents == ["head.weight_scale", "head.weight", "head.bias_scale", "head.bias"]
    pyro.clear_param_store()


def test_copies_share_nothing(model):
    twin = copy.deepcopy(model)
    image = _batch()[0]
    weights = {name: weight.clone() for name, weight in model.random_weights.items()}
    for weight in twin.random_weights.values():
        weight.add_(1.0)
    assert all(torch.equal(weights[name], value) for name, value in model.random_weights.items())
    assert torch.equal(model.logits(image, weights), twin.logits(image, weights))


def test_computing_in_changes_the_precision_of_the_network_alone(model):
    image = _batch()[0]
    weights = model.random_weights
    exact = model.logits(image, weights)
    with model.computing_in(torch.bfloat16):
        rough = model.logits(image, weights)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05)  # 8 bits of mantissa
    assert torch.equal(model.logits(image, weights), exact)  # and back again


def test_set_base_rate_starts_every_pixel_there():
    for random in (None, "down1.*"):  # the head random, and plain
        model = BayesianSegmenter(UNet(width=2, depth=2), random=random)
        model.set_base_rate(0.02)
        weights = {name: torch.zeros_like(w) for name, w in model.random_weights.items()}
        bias = model.net.head.bias
        assert torch.sigmoid(bias).item() == pytest.approx(0.02)
        if random is None:
            weights["head.bias"] = bias
            assert torch.allclose(model.logits(_batch()[0], weights).sigmoid(), torch.tensor(0.02))
    BayesianSegmenter(nn.Conv2d(1, 1, 1)).set_base_rate(0.5)  # a network that cannot use it


# Priors and fan-in.


def test_prior_settings():
    weight = torch.zeros(2, 3)
    weight.fan_in = 3
    assert priors.Normal(loc=0.5, scale=2.0)("w", weight).base_dist.mean.unique().item() == 0.5
    fan_in_normal = priors.FanInNormal(gain=3.0, bias_scale=0.1)
    assert fan_in_normal("w", weight).base_dist.stddev[0, 0] == pytest.approx(math.sqrt(3.0))
    bias = torch.zeros(2)
    assert fan_in_normal("b", bias).base_dist.stddev[0] == pytest.approx(0.1)
    for make in (
        lambda: priors.Normal(scale=0.0), lambda: priors.Normal(scale=math.nan),
        lambda: priors.FanInNormal(gain=-1.0), lambda: priors.FanInNormal(bias_scale=0.0),
    ):  # fmt: skip
        with pytest.raises(BayescrError, match="expected a number above 0"):
            make()
    with pytest.raises(BayescrError, match="weight 'shift' has no fan-in"):
        priors.FanInNormal()("shift", torch.zeros(2, 2))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, groups=2, padding=1),
        nn.Conv2d(4, 2, 1), nn.ConvTranspose2d(3, 2, 2, stride=2), nn.ConvTranspose2d(3, 2, 1),
        nn.ConvTranspose2d(4, 4, 4, stride=2, groups=2), nn.Conv1d(2, 3, 5, padding=2),
    ],
    ids=str,
)  # fmt: skip
def test_fan_in_is_the_number_of_inputs_an_output_sums(layer):
    """Counted: with all weights and inputs 1 an inner output is the number of its terms."""
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    dims = layer.weight.dim() - 2
    out = layer(torch.ones(1, layer.in_channels, *[16] * dims))
    centre = (0, 0, *[size // 2 for size in out.shape[2:]])
    assert fan_in(layer) == out[centre].item()


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(16, 2, 3, stride=2), nn.ConvTranspose2d(8, 4, 3, stride=2, groups=2),
        nn.ConvTranspose2d(4, 2, (5, 2), stride=(3, 2)), nn.ConvTranspose2d(16, 2, 1, stride=2),
    ],
    ids=str,
)  # fmt: skip
def test_fan_in_where_outputs_differ_is_their_mean(layer):
    """Counted over 60 x 60 outputs, a whole number of periods, far from the border."""
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    terms = layer(torch.ones(1, layer.in_channels, 50, 50))[0, 0, 12:72, 12:72]
    assert fan_in(layer) == round(terms.mean().item())


def test_fan_in_of_a_layer_is_at_least_one():
    assert fan_in(nn.ConvTranspose2d(1, 1, 1, stride=4)) == 1


def test_fan_in_of_layers_without_sums():
    assert fan_in(nn.Linear(5, 2)) == 5
    assert fan_in(nn.BatchNorm2d(3)) == fan_in(nn.ReLU()) == 0


def test_he_initial_weights_have_the_scale_of_the_default_prior():
    """A standard deviation of n draws scatters by 1 / sqrt(2 n) of itself: 5 of those."""
    torch.manual_seed(0)
    model = BayesianSegmenter(UNet(width=16, depth=2))
    for name, weight in model.random_weights.items():
        if name.endswith("weight") and "conv" in name:
            ratio = weight.std().item() * math.sqrt(model._fan_in[name] / 2)
            assert ratio == pytest.approx(1.0, abs=5 / math.sqrt(2 * weight.numel())), name


def test_feature_axes_are_those_of_the_input_channels():
    model = BayesianSegmenter(UNet(width=2, depth=2))
    assert model.feature_axis("down1.conv1.weight") is None  # fed by the image
    assert model.feature_axis("down1.conv2.weight") == 1
    assert model.feature_axis("up1.upsample.weight") == 0
    assert model.feature_axis("head.weight") == 1
    assert model.feature_axis("head.bias") is None


def test_likelihood_family_takes_logits_target_and_valid():
    for factory in likelihoods.FAMILY.values():
        trace = poutine.trace(factory()).get_trace(torch.zeros(2, 1, 4, 4), None, None)
        assert "obs" in trace.nodes


def test_a_prior_may_draw_its_scales_in_a_plate():
    def by_channel(name, parameter):
        if parameter.dim() == 1:
            return dist.Normal(0.0, 1.0).expand(parameter.shape).to_event(1)
        with pyro.plate(f"{name}_channels", len(parameter)):
            scale = pyro.sample(f"{name}_scale", dist.HalfCauchy(1.0))
        return dist.Normal(0.0, scale.reshape(-1, 1, 1, 1)).expand(parameter.shape).to_event(4)

    model = BayesianSegmenter(UNet(width=2, upsampling="bilinear"), by_channel)
    latents = model.hyper_latents("down1.conv1.weight")
    assert {name: tuple(prior.shape()) for name, prior in latents.items()} == {
        "down1.conv1.weight_scale": (2,)
    }
