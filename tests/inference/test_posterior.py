"""The posterior object: draws, prediction, agreement with Pyro's own predictive."""

from __future__ import annotations

import numpy as np
import pyro
import pytest
import torch
from astropy.nddata import CCDData
from torch import nn

from bayescr.data import PatchDataset, Scaling
from bayescr.errors import BayescrError
from bayescr.evaluation import evaluate
from bayescr.inference import Posterior, RunningPrediction, guides
from bayescr.inference._pyro import build_guide
from bayescr.models import BayesianSegmenter, UNet

MAPS = ("probability", "logit", "entropy", "expected_entropy", "mutual_information", "std")


@pytest.fixture(scope="module")
def frame():
    data = np.random.default_rng(5).normal(100.0, 5.0, (37, 45)).astype(np.float32)
    data[20, 20:30] += 200.0
    mask = np.zeros(data.shape, bool)
    mask[:, 3] = True
    return CCDData(data, unit="electron", mask=mask)


def _close(a, b, tolerance=1e-5):
    for name in MAPS:
        np.testing.assert_allclose(
            getattr(a, name), getattr(b, name), rtol=tolerance, atol=tolerance, err_msg=name
        )


def _wrap(net, factory=None, in_channels=1, **settings):
    """A posterior without a fit."""
    torch.manual_seed(0)
    model = BayesianSegmenter(net, **settings).eval()
    factory = factory or guides.MeanField(init_scale=0.3)
    guide = build_guide(factory, model, in_channels=in_channels)
    return Posterior(
        model=model, guide=guide, guide_factory=factory, scaling=Scaling(), in_channels=in_channels
    )


def test_predict_equals_pyros_predictive_on_the_same_draws(fitted, any_guide_name, frame):
    posterior = fitted(any_guide_name)
    prediction = posterior.predict(frame, num_samples=5, seed=2, precision="float32")
    image, valid = posterior.scaling(frame)
    stock = posterior.predictive(num_samples=5, seed=2)(torch.from_numpy(image)[None])
    assert stock["logits"].shape == stock["obs"].shape == (5, 1, 1, 37, 45)
    running = RunningPrediction()
    for logits in stock["logits"]:
        running.add(logits[0])
    _close(prediction, running.result(valid))
    np.testing.assert_array_equal(prediction.valid, valid[0])
    assert prediction.frame is frame


def test_prediction_touches_nobodys_random_numbers_nor_pyro(fitted, any_guide_name, frame):
    posterior = fitted(any_guide_name)
    posterior.__dict__.pop("_is_point", None)  # cached by whoever came first
    torch.manual_seed(9)
    before = torch.get_rng_state()
    posterior.predict(frame, num_samples=3)
    posterior.draw(2)
    if not hasattr(posterior.guide, "members"):  # a mixture has no single centre
        posterior.median()
    list(posterior.logits(torch.zeros(1, 8, 8), num_samples=2))
    assert torch.equal(before, torch.get_rng_state())
    assert not list(pyro.get_param_store())


def test_more_draws_begin_with_the_same(fitted, any_guide_name):
    posterior = fitted(any_guide_name)
    few, many = posterior.draw(2, seed=1), posterior.draw(5, seed=1)
    assert all(torch.equal(few[name], many[name][:2]) for name in few)
    maps = [list(posterior.logits(torch.zeros(1, 8, 8), num_samples=n, seed=1)) for n in (2, 4)]
    assert all(torch.equal(a, b) for a, b in zip(*maps, strict=False))


def test_seeds_differ(fitted):
    posterior = fitted("mean-field")
    a, b = posterior.draw(2, seed=0), posterior.draw(2, seed=1)
    assert not torch.equal(a["head.weight"], b["head.weight"])
    assert not torch.equal(a["head.weight"][0], a["head.weight"][1])
    assert not torch.equal(a["head.weight"][0], b["head.weight"][1])


def test_draws_have_the_shapes_of_the_weights_and_can_be_chosen(fitted):
    posterior = fitted("low-rank")
    draws = posterior.draw(3)
    assert {name: value.shape[1:] for name, value in draws.items()} == {
        name: weight.shape for name, weight in posterior.model.random_weights.items()
    }
    chosen = posterior.draw(3, sites=["head.bias"])
    assert list(chosen) == ["head.bias"]
    assert torch.equal(chosen["head.bias"], draws["head.bias"])
    with pytest.raises(BayescrError, match="no latent 'head.bia': there are down1"):
        posterior.draw(1, sites=["head.bia"])
    with pytest.raises(BayescrError, match="num_samples is 0"):
        posterior.draw(0)


def test_given_draws_are_used(fitted, frame):
    posterior = fitted("mean-field")
    draws = posterior.draw(3, seed=4)
    _close(
        posterior.predict(frame, draws=draws), posterior.predict(frame, num_samples=3, seed=4), 0
    )
    with pytest.raises(BayescrError, match="draws lack weight 'down1.conv1.weight'"):
        posterior.predict(frame, draws=posterior.draw(2, sites=["head.bias"]))


def _count_passes(monkeypatch):
    """A list that grows by one with each pass through a U-Net on more than the smallest image."""
    passes, forward = [], UNet.forward

    def counted(self, image):
        if image.shape[-1] != 32:
            passes.append(1)
        return forward(self, image)

    monkeypatch.setattr(UNet, "forward", counted)
    return passes


@pytest.mark.parametrize("name", ["map", "AutoDelta"])
def test_a_point_mass_needs_one_pass_and_gives_the_maps_of_many(fitted, frame, name, monkeypatch):
    posterior = fitted(name)
    draws = posterior.draw(6)
    assert posterior.is_deterministic
    passes = _count_passes(monkeypatch)
    short = posterior.predict(frame, num_samples=6, precision="float32")
    assert len(passes) == 1
    assert short.num_samples == 6
    assert posterior.predict(frame, tolerance=0.01).num_samples == 1
    assert len(passes) == 2
    _close(short, posterior.predict(frame, draws=draws, precision="float32"), 1e-6)
    assert len(passes) == 8
    assert short.std.max() == 0.0
    assert short.mutual_information.max() < 1e-6


def test_no_draws_at_all_are_refused(fitted, frame):
    posterior = fitted("mean-field")
    nothing = {name: values[:0] for name, values in posterior.draw(1).items()}
    for draws in ({}, nothing):
        with pytest.raises(BayescrError, match=r"draws are empty.*posterior\.draw\(8\)"):
            posterior.predict(frame, draws=draws)


@pytest.mark.parametrize("classes", [1, 3])
def test_num_classes_are_the_maps_of_the_network(classes):
    assert _wrap(UNet(width=2, num_classes=classes)).num_classes == classes
    assert _wrap(nn.Conv2d(1, classes, 1)).num_classes == classes  # which does not say it


def test_evaluate_refuses_a_posterior_of_other_classes_before_it_predicts(make_frames):
    dataset = PatchDataset.from_frames(*make_frames(count=1, num_classes=2), patch=None)
    with pytest.raises(BayescrError, match="has 1 classes but the dataset has 2"):
        evaluate({"one": _wrap(UNet(width=2))}, dataset)


def test_tile_and_batch_change_nothing(fitted, frame):
    posterior = fitted("mean-field")
    whole = posterior.predict(frame, num_samples=2, tile=None, precision="float32")
    for tile, batch in ((256, 1), (16, 1), (11, 4)):
        _close(
            whole,
            posterior.predict(frame, num_samples=2, tile=tile, batch=batch, precision="float32"),
        )
    with pytest.raises(BayescrError, match="tile is 0"):
        posterior.predict(frame, num_samples=1, tile=0)


def test_the_scaling_is_that_of_the_whole_frame(fitted, frame):
    """Another gain and bias level: the same maps."""
    posterior = fitted("mean-field")
    shifted = CCDData(frame.data.astype(float) * 2.5 + 1000.0, unit="adu", mask=frame.mask)
    a, b = (posterior.predict(f, num_samples=2, precision="float32") for f in (frame, shifted))
    np.testing.assert_allclose(a.probability, b.probability, atol=1e-3)


def test_plain_arrays_are_frames(fitted, frame):
    posterior = fitted("mean-field")
    prediction = posterior.predict(frame.data, num_samples=2)
    assert prediction.frame is None
    assert prediction.probability.shape == frame.data.shape


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 5)])
def test_tiny_frames_work(fitted, size):
    array = np.random.default_rng(0).normal(size=size)
    assert fitted("mean-field").predict(array, num_samples=2).probability.shape == size


def test_statistics_over_space_work_on_the_whole_frame(frame):
    posterior = _wrap(UNet(width=2, norm="group"))
    _close(
        posterior.predict(frame, num_samples=2, tile=8, precision="float32"),
        posterior.predict(frame, num_samples=2, tile=None, precision="float32"), 0,
    )  # fmt: skip


class _Pooled(nn.Module):
    """A network of stride 4 that does not say so."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.MaxPool2d(4), nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Upsample(scale_factor=4),
            nn.Conv2d(2, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, image):
        return self.layers(image)


def test_a_users_own_network_is_cut_only_if_it_says_its_stride(frame):
    array = frame.data[:36, :44]
    for net, stride in ((_Pooled(), None), (_Pooled(), 4), (nn.Conv2d(1, 1, 5, padding=2), None)):
        if stride is not None:
            net.stride = stride
        posterior = _wrap(net)
        _close(
            posterior.predict(array, num_samples=2, tile=10, precision="float32"),
            posterior.predict(array, num_samples=2, tile=None, precision="float32"),
        )  # fmt: skip


def test_several_input_channels():
    posterior = _wrap(UNet(in_channels=3, width=2), in_channels=3)
    image = torch.randn(3, 20, 30)
    whole, cut = (next(iter(posterior.logits(image, num_samples=1, tile=t))) for t in (None, 8))
    assert whole.shape == (1, 20, 30)
    torch.testing.assert_close(cut, whole, rtol=1e-5, atol=1e-5)
    with pytest.raises(BayescrError, match=r"image has shape \(1, 20, 30\): expected \(3, H, W\)"):
        next(iter(posterior.logits(image[:1], num_samples=1)))


def test_bfloat16_is_near(fitted, frame):
    """Eight bits of mantissa through eight layers: a few per cent of the logits' scale."""
    posterior = fitted("mean-field")
    exact = posterior.predict(frame, num_samples=2, precision="float32")
    rough = posterior.predict(frame, num_samples=2, precision="bfloat16")
    assert 0 < np.abs(rough.logit - exact.logit).max() <= 0.05 * np.abs(exact.logit).max() + 0.02
    with pytest.raises(BayescrError, match="unknown precision"):
        posterior.predict(frame, precision="half")


def test_maps_are_streamed():
    """The first map is there before the second is made."""
    maps = _wrap(UNet(width=1)).logits(torch.zeros(1, 8, 8), num_samples=10**9)
    assert next(maps).shape == (1, 8, 8)


def test_names_are_those_of_the_command_line(fitted, guide_name):
    assert fitted(guide_name).name == guide_name
    assert repr(fitted(guide_name)).startswith(f"Posterior({guide_name}, ")


def test_no_tensor_is_made_on_the_default_device(small_model, any_guide_factory):
    """Under another default device everything must still follow the weights."""
    # An ensemble wants no plain parameters, as normalisation has them.
    is_ensemble = isinstance(any_guide_factory, guides.Ensemble)
    model = small_model(norm="none" if is_ensemble else "layer")
    image = torch.randn(2, 1, 8, 8)
    target, valid = (image > 1).float(), torch.ones(2, 1, 8, 8, dtype=torch.bool)
    posterior = _wrap(UNet(width=2), any_guide_factory)
    guide = build_guide(any_guide_factory, model, in_channels=1)
    from bayescr.inference import AnnealedELBO
    from bayescr.inference._pyro import draw_latents, local_parameters

    with torch.device("meta"):
        if isinstance(any_guide_factory, tuple(guides.FAMILY.values())):
            build_guide(any_guide_factory, model, in_channels=1)
            latents, _ = draw_latents(guide)
            assert {value.device.type for value in latents.values()} == {"cpu"}
            with local_parameters():
                for analytic in (True, False):
                    elbo = AnnealedELBO(analytic_kl=analytic)
                    terms = elbo.terms(model, guide, image, target, valid, num_images=4)
                    assert terms.kl.device == terms.log_likelihood.device == image.device
            running = RunningPrediction()
            for logits in posterior.logits(image[0], num_samples=2, tile=4):
                running.add(logits)
    if isinstance(any_guide_factory, tuple(guides.FAMILY.values())):
        assert running.result().probability.shape == (8, 8)


def test_16_draws_by_default_and_a_tolerance_in_place_of_a_number(fitted, frame):
    posterior = fitted("mean-field")
    assert posterior.predict(frame).num_samples == 16
    loose = posterior.predict(frame, tolerance=0.5)
    assert (loose.num_samples, loose.tolerance) == (6, 0.5)
    wide = _wrap(UNet(width=2), guides.MeanField(init_scale=2.0))
    counts = [wide.predict(frame, tolerance=t).num_samples for t in (0.1, 0.03)]
    assert 6 <= counts[0] < counts[1]
    for also in ({"num_samples": 4}, {"draws": posterior.draw(2)}):
        with pytest.raises(BayescrError, match="tolerance=0.1 says how many.*leave out"):
            posterior.predict(frame, tolerance=0.1, **also)


def test_the_tolerance_bounds_the_error(frame):
    """Against 256 independent draws, whose own error is 1/16 of one draw's standard deviation."""
    posterior = _wrap(UNet(width=2), guides.MeanField(init_scale=1.0))
    exact = posterior.predict(frame, num_samples=256, sampling="independent", seed=9)
    own = np.sqrt(np.mean(exact.std**2) / 256)
    for tolerance in (0.1, 0.05):
        found = posterior.predict(frame, tolerance=tolerance, precision="float32")
        error = np.sqrt(np.mean((found.probability - exact.probability) ** 2))
        assert error <= tolerance + own


def test_bfloat16_moves_the_mean_less_than_16_draws_do(fitted, frame):
    """On the same draws, against the Monte Carlo error that independent ones have."""
    posterior = _wrap(UNet(width=8))
    draws = posterior.draw(16, sampling="independent")
    exact, rough = (
        posterior.predict(frame, draws=draws, precision=p) for p in ("float32", "bfloat16")
    )
    change = rough.probability - exact.probability
    monte_carlo = exact.std / 4
    assert 0 < np.sqrt(np.mean(change**2)) < 0.2 * np.sqrt(np.mean(monte_carlo**2))
    assert np.abs(change).max() < monte_carlo.max()


def test_antithetic_draws_err_less(frame):
    """The means of 8 over 12 seeds lie far closer together than those of independent draws."""
    posterior = _wrap(UNet(width=4), guides.MeanField(init_scale=0.2))
    spread = {}
    for sampling in ("antithetic", "independent"):
        maps = [
            posterior.predict(
                frame, num_samples=8, seed=seed, sampling=sampling, precision="float32"
            ).probability
            for seed in range(12)
        ]
        spread[sampling] = np.sqrt(np.var(maps, axis=0).mean())
    assert spread["antithetic"] < 0.7 * spread["independent"]


def test_a_frame_and_its_maps_may_lie_on_disk(fitted, frame, tmp_path):
    posterior = fitted("mean-field")
    on_disk = np.lib.format.open_memmap(
        tmp_path / "frame.npy", mode="w+", dtype=">f4", shape=frame.data.shape
    )
    on_disk[:] = frame.data
    on_disk.flush()
    data = np.load(tmp_path / "frame.npy", mmap_mode="r")
    lazy = CCDData(data, unit="electron", mask=frame.mask)
    settings = {"num_samples": 2, "tile": 16}
    maps = posterior.predict(lazy, scratch=tmp_path / "maps", **settings)
    plain = posterior.predict(frame, **settings)
    for name in (*MAPS, "valid"):
        value = getattr(maps, name)
        assert isinstance(value, np.memmap)
        assert (tmp_path / "maps" / f"{name}.npy").stat().st_size > value.nbytes
        np.testing.assert_array_equal(value, getattr(plain, name), err_msg=name)
    np.testing.assert_array_equal(maps.mask(0.2), plain.mask(0.2))
    maps.write(tmp_path / "out.fits")
    assert (tmp_path / "out.fits").exists()
    with pytest.raises(BayescrError, match=r"scratch folder '.*maps' is not empty"):
        posterior.predict(lazy, scratch=tmp_path / "maps", **settings)
    np.testing.assert_array_equal(maps.logit, plain.logit)
    with pytest.raises(BayescrError, match=r"cannot write in scratch folder '.*out\.fits'"):
        posterior.predict(lazy, scratch=tmp_path / "out.fits", **settings)


def test_a_changed_guide_is_noticed(frame):
    posterior = _wrap(UNet(width=2))
    before = posterior.predict(frame, num_samples=2)
    posterior.guide.weights.head.weight.loc.data.add_(1.0)
    assert np.abs(posterior.predict(frame, num_samples=2).logit - before.logit).max() > 0.01


def test_nan_is_an_error_and_leaves_nothing(frame, tmp_path):
    posterior = _wrap(UNet(width=2))
    posterior.guide.weights.head.weight.loc.data.fill_(np.nan)
    for settings in ({"num_samples": 2}, {"tolerance": 0.1}):
        with pytest.raises(BayescrError, match="gives NaN: did its training diverge"):
            posterior.predict(frame, scratch=tmp_path / "maps", **settings)
        assert not list((tmp_path / "maps").iterdir())


def test_several_classes_and_batches_to_a_tolerance(frame):
    """The class and the tile with the largest variance decide for those they go with."""
    posterior = _wrap(UNet(width=2, num_classes=3), guides.MeanField(init_scale=1.0))
    settings = {"tolerance": 0.05, "tile": 16, "precision": "float32"}
    one, four = (posterior.predict(frame, batch=batch, **settings) for batch in (1, 4))
    assert one.probability.shape == four.probability.shape == (3, 37, 45)
    assert 6 <= one.num_samples <= four.num_samples


@pytest.mark.parametrize("tile", ["large", "256"])
def test_tiles_are_numbers(fitted, frame, tile):
    with pytest.raises(
        BayescrError, match=f"tile is '{tile}': expected a number of pixels, 'auto'"
    ):
        fitted("mean-field").predict(frame, tile=tile)


def test_layers_without_random_weights_run_once_a_tile(frame, monkeypatch):
    posterior = _wrap(UNet(width=2), random="head.*")
    runs = []
    convolve = nn.Conv2d.forward
    monkeypatch.setattr(
        nn.Conv2d, "forward", lambda self, x: runs.append(x.shape[-1]) or convolve(self, x)
    )
    prediction = posterior.predict(frame, num_samples=8, tile=None, precision="float32")
    assert runs.count(45) + runs.count(46) == 4 + 8  # two blocks of full size once, 8 heads
    monkeypatch.undo()
    image, _ = posterior.scaling(frame)
    stock = posterior.predictive(8)(torch.from_numpy(image)[None])
    running = RunningPrediction()
    for logits in stock["logits"]:
        running.add(logits[0])
    _close(prediction, running.result())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_agrees_with_the_cpu(small_model, datasets, frame, any_guide_factory):
    """The same weights on either device: convolutions differ in the order of their sums only."""
    from bayescr.inference import fit

    posterior = fit(
        small_model(), any_guide_factory, datasets[0], validation=datasets[1], epochs=2,
        batch_size=2, device="cuda", precision="float32",
    )  # fmt: skip
    assert posterior.device.type == "cuda"
    assert np.isfinite(posterior.history.to_numpy()).all()
    cuda_state = torch.cuda.get_rng_state()
    draws = posterior.draw(3)
    torch.backends.cudnn.allow_tf32, before = False, torch.backends.cudnn.allow_tf32
    try:
        on_gpu = posterior.predict(frame, draws=draws, precision="float32")
    finally:
        torch.backends.cudnn.allow_tf32 = before
    assert torch.equal(cuda_state, torch.cuda.get_rng_state())
    stock = posterior.predictive(2)(torch.zeros(1, 1, 16, 16, device="cuda"))
    assert stock["logits"].device.type == "cuda"
    on_cpu = posterior.predict(
        frame,
        draws={name: value.cpu() for name, value in draws.items()},
        device="cpu",
        precision="float32",
    )
    _close(on_gpu, on_cpu, 1e-4)
    rough = posterior.predict(frame, draws=draws, device="cuda")
    assert np.abs(rough.probability - on_gpu.probability).max() < 0.05
    cut = posterior.predict(frame, draws=draws, tile=16, batch=4, precision="bfloat16")
    assert np.abs(rough.probability - cut.probability).max() < 0.05
    assert posterior.predict(frame, tolerance=0.2).num_samples >= 1
    again = [posterior.predict(frame, num_samples=3).logit for _ in range(2)]
    np.testing.assert_array_equal(*again)
