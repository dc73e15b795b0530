"""Fitting: learning, determinism, early stopping, hooks, isolation."""

from __future__ import annotations

import functools
import inspect
import json
import re

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import autoguide
from torch import nn

from bayescr._random import seeded
from bayescr.data import PatchDataset, Scaling
from bayescr.errors import BayescrError
from bayescr.inference import Posterior, annealing, fit, gradients, guides, svi
from bayescr.inference._pyro import draw_latents, local_parameters
from bayescr.inference._validation import validation_nll
from bayescr.models import BayesianSegmenter, UNet, priors

quick = functools.partial(fit, epochs=2, batch_size=2, precision="float32")


def _flat(posterior):
    modules = (posterior.model, posterior.guide)
    return {f"{i}.{k}": v for i, m in enumerate(modules) for k, v in m.state_dict().items()}


def _same(a, b):
    a, b = _flat(a), _flat(b)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_every_guide_fits_and_leaves_no_trace(small_model, any_guide_factory, datasets):
    model = small_model()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    settings = dict(pyro.settings.get())
    validate = torch.distributions.Distribution._validate_args
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    posterior = quick(model, any_guide_factory, datasets[0], validation=datasets[1])
    assert isinstance(posterior, Posterior)
    members = getattr(any_guide_factory, "members", 1)  # trained one after the other
    assert list(posterior.history.epoch) == [1, 2] * members
    assert np.isfinite(posterior.history.to_numpy()).all()
    assert not posterior.model.training
    assert not posterior.guide.training
    assert not list(pyro.get_param_store())
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert dict(pyro.settings.get()) == settings
    assert torch.distributions.Distribution._validate_args == validate
    assert all(torch.equal(weights[name], weight) for name, weight in model.state_dict().items())


def test_same_seed_same_bytes_and_another_seed_others(small_model, datasets):
    """Augmentation included; that files and maps of every guide agree is tested with the files."""
    train = datasets[0].augmented()
    first, second, other = (
        quick(small_model(), guides.LowRank(), train, seed=seed) for seed in (3, 3, 4)
    )
    assert _same(first, second)
    assert not _same(first, other)
    assert first.history.equals(second.history)


def test_the_callers_random_numbers_do_not_matter(small_model, datasets):
    fits = []
    for state in (0, 1):
        model = small_model()
        torch.manual_seed(state)
        fits.append(quick(model, guides.LowRank(), datasets[0]))
    assert _same(*fits)


def test_two_posteriors_share_no_tensor(small_model, any_guide_factory, datasets):
    is_ensemble = isinstance(any_guide_factory, guides.Ensemble)  # wants no plain parameters
    model = small_model(random=None if is_ensemble else "head.*")
    fits = [quick(model, any_guide_factory, datasets[0], seed=s) for s in (0, 1)]
    pointers = [{t.data_ptr() for t in _flat(posterior).values()} for posterior in fits]
    assert not pointers[0] & pointers[1]
    before = fits[1].draw(1)
    for parameter in fits[0].guide.parameters():
        parameter.data.add_(1.0)
    after = fits[1].draw(1)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_map_learns_the_toy(make_frames):
    """Bright pixels on noise: the NLL falls far below that of the base rate, 0.28 nat."""
    dataset = PatchDataset.from_frames(*make_frames(count=6, size=32), patch=None)
    train, validation = dataset.split(0.75, 0.25)
    posterior = fit(
        BayesianSegmenter(UNet(width=4, depth=1)), guides.MAP(), train, validation=validation,
        epochs=25, batch_size=2, learning_rate=2e-2, precision="float32",
    )  # fmt: skip
    nll = posterior.history.validation_nll
    assert nll.iloc[0] > 0.15
    assert nll.iloc[-1] < 0.05
    assert posterior.history.nll.iloc[-1] < 0.05


def test_the_exact_posterior_of_one_weight_is_found(make_frames):
    """Only a bias b is random and the image says nothing: p(b | y) by quadrature.

    With n pixels, k positive: log p(b | y) = k log s(b) + (n - k) log s(-b) - b^2 / 2 + const.
    A normal fits it well at n = 288; single draws make the last steps scatter by some 0.2 of
    its spread, so that mean and spread must agree to 0.4 and 0.2 of that.
    """
    frames, truths = make_frames(count=2, size=12)
    train = PatchDataset.from_frames(frames, truths, patch=None)
    net = nn.Conv2d(1, 1, 1)
    nn.init.zeros_(net.weight).requires_grad_(False)
    nn.init.constant_(net.bias, -2.0)
    prior = priors.Normal(scale=1.0)
    posterior = fit(
        BayesianSegmenter(net, prior, random="bias"), guides.MeanField(init_scale=0.02), train,
        epochs=250, batch_size=2, learning_rate=0.04, clip_norm=None, precision="float32",
        kl_schedule=annealing.constant(),
    )  # fmt: skip
    n, k = sum(t.size for t in truths), sum(t.sum() for t in truths)
    b = np.linspace(-5, 0, 5001)
    log_p = -k * np.logaddexp(0, -b) - (n - k) * np.logaddexp(0, b) - b**2 / 2
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = (p * b).sum()
    std = np.sqrt((p * (b - mean) ** 2).sum())
    site = posterior.guide.weights.bias
    assert site.loc.item() == pytest.approx(mean, abs=0.4 * std)
    assert site.log_scale.exp().item() == pytest.approx(std, rel=0.2)


def test_a_tempered_fit_says_its_temperature(small_model, datasets):
    schedule = annealing.linear(final=0.25)
    posterior = quick(small_model(), guides.MeanField(), datasets[0], kl_schedule=schedule)
    assert posterior.temperature == 0.25
    assert "temperature=0.25" in repr(posterior)
    assert posterior.history.kl_weight.iloc[-1] == 0.25
    assert quick(small_model(), guides.MAP(), datasets[0]).temperature == 1.0


def test_plain_functions_are_schedules(small_model, datasets):
    posterior = quick(
        small_model(), guides.MeanField(), datasets[0], kl_schedule=lambda x: x**2,
        learning_rate=0.01, learning_rate_schedule=lambda x: 1.0 - x,
    )  # fmt: skip
    assert posterior.history.kl_weight.tolist() == [0.25, 1.0]
    assert posterior.history.learning_rate.tolist() == pytest.approx([0.005, 0.0])


def _scripted(monkeypatch, nlls, weights):
    """Hand out validation NLLs from a list, and note the weights at which they were asked for."""
    script = iter(nlls)

    def validation_nll(model, guide, *args):
        weights.append({name: value.clone() for name, value in guide.state_dict().items()})
        return next(script)

    monkeypatch.setattr(svi, "validation_nll", validation_nll)


def _kept(posterior, weights):
    """The epoch whose weights the posterior has."""
    state = posterior.guide.state_dict()
    return [
        epoch for epoch, theirs in enumerate(weights, 1)
        if all(torch.equal(state[name], theirs[name]) for name in state)
    ]  # fmt: skip


def test_the_best_eligible_weights_are_kept(small_model, datasets, monkeypatch):
    """Six epochs, full kl_weight from the fourth: the lowest NLL before that does not count."""
    weights = []
    _scripted(monkeypatch, [0.5, 0.1, 0.2, 0.4, 0.3, 0.35], weights)
    posterior = quick(
        small_model(), guides.MeanField(), datasets[0], validation=datasets[1], epochs=6,
        kl_schedule=lambda x: min(1.0, x / 0.6),
    )  # fmt: skip
    assert _kept(posterior, weights) == [5]
    assert posterior.provenance["kept_epoch"] == 5
    assert posterior.history.validation_nll.tolist() == [0.5, 0.1, 0.2, 0.4, 0.3, 0.35]


def test_statistics_and_plain_parameters_go_back_with_the_guide(small_model, datasets, monkeypatch):
    weights, nets = [], []
    _scripted(monkeypatch, [0.2, 0.5, 0.6], weights)
    scripted = svi.validation_nll

    def also_note_the_net(model, *args):
        nets.append({name: value.clone() for name, value in model.state_dict().items()})
        return scripted(model, *args)

    monkeypatch.setattr(svi, "validation_nll", also_note_the_net)
    posterior = quick(
        small_model(norm="batch"), guides.MeanField(), datasets[0], validation=datasets[1],
        epochs=3, kl_schedule=annealing.constant(),
    )  # fmt: skip
    for name, value in posterior.model.state_dict().items():
        assert torch.equal(value, nets[0][name]), name
    assert not torch.equal(nets[0]["net.down1.norm1.running_mean"],
                           nets[2]["net.down1.norm1.running_mean"])  # fmt: skip


def test_patience_counts_epochs_since_the_best(small_model, datasets, monkeypatch):
    weights = []
    _scripted(monkeypatch, [0.9, 0.5, 0.6, 0.55, 0.7, 0.1], weights)
    posterior = quick(
        small_model(), guides.MAP(), datasets[0], validation=datasets[1], epochs=6, patience=3,
        kl_schedule=annealing.constant(),
    )  # fmt: skip
    assert len(posterior.history) == 5
    assert _kept(posterior, weights) == [2]


def test_patience_does_not_stop_a_warm_up(small_model, datasets, monkeypatch):
    _scripted(monkeypatch, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [])
    posterior = quick(
        small_model(), guides.MAP(), datasets[0], validation=datasets[1], epochs=6, patience=1,
        kl_schedule=lambda x: x,
    )  # fmt: skip
    assert len(posterior.history) == 6
    assert posterior.provenance["kept_epoch"] == 6


def test_patience_counts_only_epochs_that_could_win(small_model, datasets, monkeypatch):
    """Full kl_weight at the even epochs: the ramps between them use up no patience."""
    weights = []
    _scripted(monkeypatch, [0.9, 0.5, 0.9, 0.6, 0.9, 0.4, 0.9, 0.6, 0.9, 0.7, 0.9, 0.1], weights)
    posterior = quick(
        small_model(), guides.MAP(), datasets[0], validation=datasets[1], epochs=12, patience=2,
        kl_schedule=lambda x: 1.0 if round(12 * x) % 2 == 0 else 0.5,
    )  # fmt: skip
    assert len(posterior.history) == 10
    assert _kept(posterior, weights) == [6]


def test_weights_without_a_finite_nll_are_not_kept(small_model, datasets, monkeypatch):
    weights = []
    _scripted(monkeypatch, [float("nan"), 0.3, float("nan")], weights)
    posterior = quick(
        small_model(), guides.MAP(), datasets[0], validation=datasets[1], epochs=3,
        kl_schedule=annealing.constant(),
    )  # fmt: skip
    assert _kept(posterior, weights) == [2]


def test_validation_nll_equals_brute_force(small_model, datasets):
    posterior = quick(
        small_model(), guides.MeanField(init_scale=0.5), datasets[0], validation=datasets[1],
        epochs=1, validation_samples=3,
    )  # fmt: skip
    with seeded(0):
        draws = [draw_latents(posterior.guide)[0] for _ in range(3)]
    total, count = 0.0, 0
    for item in (datasets[1][i] for i in range(len(datasets[1]))):
        image = item["image"][None]
        maps = [posterior.model.logits(image, draw)[0].double().sigmoid() for draw in draws]
        p = torch.stack(maps).mean(0)
        likelihood = torch.where(item["target"] > 0, p, 1 - p)[item["valid"]]
        total, count = total - likelihood.log().sum().item(), count + likelihood.numel()
    assert posterior.history.validation_nll[0] == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize(("factory", "passes"), [(guides.MAP(), 1), (guides.MeanField(), 5)])
def test_validation_of_a_point_mass_needs_one_pass(small_model, datasets, monkeypatch, factory,
                                                   passes):  # fmt: skip
    posterior = quick(small_model(), factory, datasets[0], epochs=1)
    seen = []
    logits = posterior.model.logits
    monkeypatch.setattr(
        type(posterior.model), "logits", lambda self, *args: seen.append(1) or logits(*args)
    )
    with local_parameters():
        validation_nll(posterior.model, posterior.guide, datasets[1], 5, batch_size=99)
    assert len(seen) == passes


def test_loss_of_the_history_is_that_of_the_bound(small_model, datasets):
    row = quick(small_model(), guides.MeanField(), datasets[0], epochs=1, batch_size=99,
                kl_schedule=annealing.constant(0.5)).history.iloc[0]  # fmt: skip
    pixels = sum(int(datasets[0][i]["valid"].sum()) for i in range(len(datasets[0])))
    assert row.loss == pytest.approx(row.nll + 0.5 * row.kl / pixels, rel=1e-5)


def test_start_begins_at_the_centre_of_another_fit(small_model, datasets, any_guide_factory):
    """At a learning rate of nothing a guide stays where it starts."""
    if isinstance(any_guide_factory, guides.Ensemble):
        pytest.skip("a mixture has no single centre")
    first = quick(small_model(norm="batch"), guides.MAP(), datasets[0])
    second = quick(
        small_model(seed=7, norm="batch"), any_guide_factory, datasets[0], start=first,
        learning_rate=1e-12,
    )  # fmt: skip
    median = second.median()
    for name, value in first.median().items():
        torch.testing.assert_close(median[name], value, rtol=1e-5, atol=1e-6)
    for name, value in first.model.named_parameters():
        torch.testing.assert_close(dict(second.model.named_parameters())[name], value)
    assert second.provenance["start"] == "map"


def test_a_fit_tells_the_factory_whether_it_was_given_a_start(small_model, datasets, fitted):
    told = []

    def factory(model):
        told.append(model.is_started)
        return guides.MAP()(model)

    model = small_model()
    names = list(model.state_dict())
    once = quick(model, factory, datasets[0], epochs=1, start=fitted("map"))
    quick(once.model, factory, datasets[0], epochs=1)  # its model was started, this fit is not
    assert told == [True, False]
    assert not model.is_started
    assert list(once.model.state_dict()) == names


@pytest.mark.parametrize(
    "factory",
    [
        guides.SWAG(),
        guides.Ensemble(guide=guides.SWAG(), members=2),
        guides.Ensemble(guide=guides.SWAG(), members=2, together=True),
    ],
)
def test_patience_is_refused_where_the_last_steps_are_needed(small_model, datasets, factory):
    with pytest.raises(BayescrError, match=r"patience=2 would stop (SWAG|Ensemble) early, which"):
        quick(small_model(), factory, datasets[0], validation=datasets[1], patience=2)


def test_start_from_another_network_is_refused(small_model, datasets, fitted):
    other = BayesianSegmenter(UNet(width=3, depth=2))
    with pytest.raises(BayescrError, match=r"start has \(2, 1, 3, 3\) for weight 'down1.conv1"):
        quick(other, guides.MAP(), datasets[0], start=fitted("map"))
    deeper = BayesianSegmenter(UNet(width=2, depth=3))
    with pytest.raises(BayescrError, match="start has nothing for weight 'down3"):
        quick(deeper, guides.MAP(), datasets[0], start=fitted("map"))


def test_start_from_a_guide_without_a_centre_is_refused(small_model, datasets):
    class Nowhere(nn.Module):
        """A guide that draws and has no median()."""

        def __init__(self, model):
            super().__init__()
            self.inner = guides.MeanField()(model)

        def forward(self, *args, **kwargs):
            return self.inner(*args, **kwargs)

    def flow(model):
        return autoguide.AutoIAFNormal(model)

    for factory, name in ((Nowhere, "nowhere"), (flow, "flow")):
        first = quick(small_model(random="head.*"), factory, datasets[0], epochs=1)
        with pytest.raises(BayescrError, match=rf"guide '{name}' has no median\(\)"):
            quick(small_model(), guides.MAP(), datasets[0], start=first)


def test_provenance_names_the_data(small_model, make_frames):
    frames, truths = make_frames(count=2)

    def described(frames=frames, *, patch=16, augment=False, seed=0):
        train = PatchDataset.from_frames(frames, truths, patch=patch, augment=augment)
        posterior = quick(small_model(), guides.MAP(), train, epochs=1, seed=seed)
        return json.loads(json.dumps(posterior.provenance))["train_data"]

    once = described()
    assert {name: once[name] for name in ("items", "patch", "augment")} == {
        "items": 8, "patch": 16, "augment": False,
    }  # fmt: skip
    assert re.fullmatch("[0-9a-f]{64}", once["sha256"])
    # Flips and turns are not the data: the hash is that of what they act on, whatever the seed.
    assert described(augment=True, seed=5) == {**once, "augment": True}
    assert described([frames[0], frames[1][::-1]])["sha256"] != once["sha256"]
    whole = described(patch=None)
    assert (whole["items"], whole["patch"]) == (2, None)


def test_guides_are_told_of_steps_and_of_the_end(small_model, datasets):
    told = []

    class Listening(guides.WeightGuide):
        def on_step(self, *, step, fraction):
            told.append((step, fraction))

        def finalize(self, model, train, *, kl_weight):
            assert not model.training
            assert train is datasets[0]
            told.append("end")

    def listening(model):
        mean_field = guides.MeanField()(model)
        return Listening(model, lambda name, start: mean_field.weights.get_submodule(name))

    quick(small_model(), listening, datasets[0], batch_size=2, epochs=1)
    assert told == [(1, 0.5), (2, 1.0), "end"]


def test_model_with_plain_parameters_trains_both(small_model, datasets):
    model = small_model(random="head.*")
    posterior = quick(model, guides.MeanField(), datasets[0])
    for (name, before), after in zip(
        model.named_parameters(), posterior.model.parameters(), strict=True
    ):
        assert not torch.equal(before, after), name


def test_the_head_starts_at_the_base_rate(small_model, datasets):
    posterior = quick(small_model(), guides.MAP(), datasets[0], learning_rate=1e-12)
    rate = float(datasets[0].positive_fraction)
    assert posterior.provenance["base_rate"] == pytest.approx([rate], abs=1e-3)
    bias = posterior.draw(1)["head.bias"]
    assert torch.sigmoid(bias).item() == pytest.approx(rate, abs=1e-3)


def test_labels_of_invalid_pixels_do_not_change_a_fit(small_model, make_frames, guide_factory):
    """The whole chain, dataset included, to the last bit."""
    frames, truths = make_frames(count=3, size=16)
    ignore = [np.random.default_rng(i).random((16, 16)) < 0.2 for i in range(3)]
    fits = [
        quick(small_model(), guide_factory,
              PatchDataset.from_frames(frames, labels, ignore=ignore, patch=None))
        for labels in (truths, [t ^ i for t, i in zip(truths, ignore, strict=True)])
    ]  # fmt: skip
    assert _same(*fits)


def test_several_classes(make_frames):
    frames, truths = make_frames(count=3, size=16, num_classes=3)
    train = PatchDataset.from_frames(frames, truths, patch=None)
    posterior = quick(BayesianSegmenter(UNet(width=2, num_classes=3)), guides.MeanField(), train)
    assert posterior.predict(frames[0], num_samples=2).probability.shape == (3, 16, 16)
    with pytest.raises(BayescrError, match="num_classes"):
        quick(BayesianSegmenter(UNet(width=2)), guides.MAP(), train)


def test_autoguides_with_lazy_shapes_and_unused_starts(small_model, datasets):
    """An autoguide whose start is its own business is left alone, without a warning."""
    model = small_model(random="head.*")
    posterior = quick(model, autoguide.AutoMultivariateNormal, datasets[0])
    assert posterior.name == "auto-multivariate-normal"
    partial = functools.partial(autoguide.AutoNormal, init_scale=0.01)
    assert quick(model, partial, datasets[0]).name == "auto-normal"


def test_bfloat16_trains(small_model, datasets):
    posterior = quick(small_model(), guides.MeanField(), datasets[0], precision="bfloat16")
    assert posterior.provenance["settings"]["precision"] == "bfloat16"
    assert np.isfinite(posterior.history.loss).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"validation_samples": 0}, "validation_samples is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0"),
        ({"patience": 0}, "patience is 0"),
        ({"patience": 3}, "patience=3 needs validation data"),
        ({"precision": "float61"}, "unknown precision 'float61'"),
        ({"kl_schedule": lambda x: x - 0.5}, "kl_schedule is -0.5 at 0.0 of the steps"),
        ({"kl_schedule": lambda x: float("nan")}, "kl_schedule is nan at 0.0"),
        ({"kl_schedule": lambda x: float("inf") if x == 1 else x}, "kl_schedule is inf at 1.0"),
        ({"learning_rate_schedule": lambda x: -x}, "learning_rate_schedule is -0.1 at 0.1"),
        ({"device": "gpu0"}, "unknown device 'gpu0'"),
        ({"learning_rate": 1e30}, "the loss is (nan|inf) at step"),
    ],
)
def test_bad_settings_are_named(small_model, datasets, settings, message):
    with pytest.raises(BayescrError, match=message):
        fit(
            small_model(),
            guides.MeanField(),
            datasets[0],
            **{"epochs": 3, "batch_size": 1} | settings,
        )


def test_bad_data_is_named(small_model, make_frames, datasets):
    train, validation = datasets
    with pytest.raises(BayescrError, match="is in both train and validation"):
        quick(small_model(), guides.MAP(), train, validation=train)
    frames, truths = make_frames(count=1)
    names = {"exposures": ["elsewhere"], "patch": None}
    other = PatchDataset.from_frames(frames, truths, scaling=Scaling(softening=9.0), **names)
    with pytest.raises(BayescrError, match="use one Scaling for both"):
        quick(small_model(), guides.MAP(), train, validation=other)
    both = [np.concatenate([truth, truth]) for truth in truths]
    with pytest.raises(BayescrError, match="validation has 2 classes, train 1"):
        quick(small_model(), guides.MAP(), train,
              validation=PatchDataset.from_frames(frames, both, **names))  # fmt: skip


def test_validation_without_a_valid_pixel_is_refused(small_model, make_frames, datasets):
    frames, truths = make_frames(count=1)
    blind = PatchDataset.from_frames(frames, truths, exposures=["elsewhere"], patch=None)
    for frame in blind._frames:
        frame.valid[:], frame.target[:] = False, False
    with pytest.raises(BayescrError, match="the validation set has no valid pixel"):
        quick(small_model(), guides.MAP(), datasets[0], validation=blind)


@pytest.mark.parametrize("net", [UNet(in_channels=2, width=2), nn.Conv2d(2, 1, 1)])
def test_a_network_of_other_channels_is_refused(datasets, net):
    with pytest.raises(
        BayescrError, match=r"1 channel\(s\) but the network in_channels=2: make it"
    ):
        quick(BayesianSegmenter(net), guides.MAP(), datasets[0])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"guide": guides.MeanField}, "guide is the class MeanField: give its settings, MeanFie"),
        ({"guide": guides.SWAG}, "guide is the class SWAG: give its settings, SWAG()"),
        ({"guide": "mean-field"}, "guide is the text 'mean-field': look it up, guides.MeanField()"),
        ({"estimator": gradients.Flipout}, "estimator is the class Flipout: give its settings, Fl"),
        ({"kl_schedule": annealing.linear}, "if it makes one, call it, linear()"),
        ({"kl_schedule": annealing.constant}, "KL schedule makes a schedule and is none: call it"),
        ({"kl_schedule": 1.0}, "KL schedule is 1.0: expected something to call with (fraction)"),
        ({"learning_rate_schedule": annealing.swa}, "learning-rate schedule takes (start, final,"),
        ({"epochs": 2.5}, "epochs is 2.5: expected a whole number from 1 up"),
        ({"batch_size": "2"}, "batch_size is '2': expected a whole number from 1 up"),
    ],
)
def test_a_thing_in_the_wrong_place_is_named_at_once(small_model, datasets, settings, says):
    with pytest.raises(BayescrError) as caught:
        fit(small_model(), train=datasets[0], **{"guide": guides.MAP(), **settings})
    assert says in str(caught.value)


def test_a_guide_that_is_made_already_is_refused(small_model, datasets):
    model = small_model()
    with pytest.raises(BayescrError, match="a guide that is made for one model already: give what"):
        fit(model, guides.MeanField()(model), datasets[0])


def test_fit_names_no_guide():
    """What a guide needs it says itself."""
    source = inspect.getsource(svi)
    assert not [name for name in guides.__all__ if f"guides.{name}(" in source.split("Example:")[0]]
    assert "isinstance(guide" not in source


def test_a_prior_with_latents_of_its_own_goes_all_the_way(small_model, datasets, tmp_path):
    """Horseshoe-like scales under a stock autoguide: fitted, predicted, saved and loaded."""

    def half_cauchy(name, weight):
        scale = pyro.sample(f"{name}_scale", dist.HalfCauchy(weight.new_tensor(0.5)))
        return dist.Normal(0.0, scale).expand(weight.shape).to_event(weight.dim())

    model = small_model(prior=half_cauchy)
    posterior = quick(model, autoguide.AutoNormal, datasets[0], validation=datasets[1])
    draws = posterior.draw(3)
    assert (draws["head.weight_scale"] > 0).all()
    image = torch.randn(1, 1, 12, 12)
    stock = posterior.predictive(3)(image)["logits"]
    ours = torch.stack(list(posterior.logits(image[0], num_samples=3)))
    torch.testing.assert_close(ours, stock[:, 0], rtol=1e-5, atol=1e-5)
    loaded = Posterior.load(posterior.save(tmp_path), model=model)
    assert _same(posterior, loaded)


def test_validation_judges_what_prediction_draws(small_model, datasets):
    """Not relaxed masks, which only training sees: the last epoch's value comes out again."""
    from bayescr.inference._validation import validation_nll

    posterior = quick(
        small_model(), guides.ConcreteDropout(init_p=0.4), datasets[0], validation=datasets[1],
        kl_schedule=annealing.constant(), epochs=1, validation_samples=8,
    )  # fmt: skip
    again = validation_nll(posterior.model, posterior.guide, datasets[1], 8, 16)
    assert posterior.history.validation_nll.iloc[-1] == pytest.approx(again, rel=1e-6)
