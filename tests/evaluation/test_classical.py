"""Adapters against fakes that record their calls, and against the packages where installed."""

from __future__ import annotations

import json
import logging
import sys
import types
import warnings

import numpy as np
import pytest
import torch
from astropy import log
from astropy import units as u
from astropy.nddata import CCDData

from bayescr.errors import BayescrError
from bayescr.evaluation.classical import (
    FAMILY,
    Astroscrappy,
    CosmicCoNN,
    DeepCR,
    LACosmic,
    unavailable,
)
from bayescr.evaluation.classical._frames import electrons, read_noise
from bayescr.evaluation.classical._sweep import FACTORS, check_factors, sweep
from bayescr.simulation import simulate_exposure

ROW = np.array([[0.0, 3.0, 10.0, 100.0]])


def frame_of(data=ROW, *, unit=u.electron, mask=None, **header):
    return CCDData(np.asarray(data, np.float32), unit=unit, mask=mask, meta=header)


@pytest.fixture
def fake(monkeypatch):
    """Puts modules of the given content where the packages would be."""

    def install(name, **content):
        module = types.ModuleType(name)
        for key, value in content.items():
            setattr(module, key, value)
        monkeypatch.setitem(sys.modules, name, module)

    return install


# --- the sweep -----------------------------------------------------------------------------------


def test_the_sweep_scores_the_highest_threshold():
    score = sweep(lambda factor: 10.0 * factor - 1.0 < ROW, (0.25, 0.5, 1.0, 2.0, 4.0))
    # Steps are log(2) wide: never, at 0.25, at 1, at all five.
    expected = np.log([[0.25 / np.sqrt(2), 0.25 * np.sqrt(2), np.sqrt(2), 4.0 * np.sqrt(2)]])
    np.testing.assert_allclose(score, expected, rtol=1e-6)
    assert score.dtype == np.float32


def test_a_flag_at_the_default_decides_the_sign_whatever_other_thresholds_say():
    flagged = {0.5: [1, 0, 0, 1], 1.0: [0, 1, 0, 1], 2.0: [1, 0, 1, 0]}
    score = sweep(lambda factor: np.array([flagged[factor]]) == 1, (0.5, 1.0, 2.0))
    half = np.log(2.0) / 2.0
    np.testing.assert_allclose(score, [[-half, half, -3 * half, half]], rtol=1e-6)


def test_one_threshold_gives_the_mask():
    np.testing.assert_array_equal(sweep(lambda _: ROW > 5.0, (1.0,)) > 0.0, ROW > 5.0)


def test_the_default_factors_hold_the_default():
    check_factors(FACTORS)
    assert len(FACTORS) >= 20


@pytest.mark.parametrize("factors", [(), (0.5, 2.0), (2.0, 1.0), (0.0, 1.0), (1.0, 1.0)])
def test_factors_that_cannot_be_swept_are_refused(factors):
    with pytest.raises(BayescrError, match="factors are"):
        Astroscrappy(factors=factors)
    with pytest.raises(BayescrError, match="factors are"):
        LACosmic(factors=factors)


# --- what a package needs to know of a frame -----------------------------------------------------


def test_pixels_come_in_electrons_and_finite():
    generator = np.random.default_rng(0)
    counts = generator.normal(50.0, 3.0, (32, 32))
    counts[3, 4], counts[5, 6] = np.nan, np.inf
    mask = np.zeros(counts.shape, bool)
    mask[0, 0] = True
    frame = frame_of(counts, unit=u.adu, mask=mask)
    data, unusable = electrons(frame, gain=2.0)
    assert data.dtype == np.float32
    expected = mask.copy()
    expected[3, 4] = expected[5, 6] = True
    np.testing.assert_array_equal(unusable, expected)
    finite = np.isfinite(counts)
    np.testing.assert_allclose(data[finite], 2.0 * counts[finite], rtol=1e-6)
    # The sky is the mode of 1000 pixels of noise 6: known to a fraction of that.
    np.testing.assert_allclose(data[~finite], 100.0, atol=3.0)
    assert np.isnan(frame.data[3, 4])  # the frame is left alone


def test_electrons_feel_no_gain_and_counts_need_one():
    np.testing.assert_array_equal(electrons(frame_of(), gain=2.0)[0], ROW)
    with pytest.raises(BayescrError, match="frame is in 'adu'.*give its gain"):
        electrons(frame_of(unit=u.adu), gain=None)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"READNSE": 4.2, "READNSEA": 9.0}, 4.2),
        ({"RDNOISE": 7.0}, 7.0),
        ({"READNSE": "unknown", "READNOIS": 3}, 3.0),
        ({"READNSEA": 3.0, "READNSEB": 4.0, "READNSEC": 0.0}, np.sqrt(12.5)),
    ],
)
def test_the_read_noise_is_that_of_the_header(header, expected):
    frame = frame_of(**header)
    assert read_noise(frame, frame.data, np.zeros(ROW.shape, bool)) == pytest.approx(expected)


@pytest.mark.parametrize("sky", [0.0, 100.0])
def test_or_what_the_sky_says_of_it(sky):
    generator = np.random.default_rng(1)
    noise = 5.0
    data = generator.poisson(sky, (256, 256)) + generator.normal(0.0, noise, (256, 256))
    found = read_noise(frame_of(data), data, np.zeros(data.shape, bool))
    # The variance, 125 at most, is measured on about 16,000 independent differences: to 1.4, so
    # that its root less the sky is known to 0.14. This is three times that.
    assert found == pytest.approx(noise, abs=0.45)


# --- the adapters, package faked -----------------------------------------------------------------


@pytest.mark.parametrize("order", ["mask first", "mask last"])
def test_the_two_laplacians_and_their_order(fake, order):
    """A package that flags data > 10 x threshold and gives (mask, clean), or (clean, mask)."""
    calls = []

    def detect_cosmics(data, **options):
        calls.append((data.copy(), options))
        flagged = (data > options["sigclip"]) & ~options["inmask"]
        return flagged, np.zeros_like(data)  # a clean image that would flag nothing

    def remove_cosmics(data, contrast, threshold, neighbor, **options):
        calls.append((data.copy(), {"all": (contrast, threshold, neighbor), **options}))
        assert log.level >= logging.WARNING
        return np.zeros_like(data), (data > threshold) & ~options["mask"]

    fake("astroscrappy", detect_cosmics=detect_cosmics)
    fake("lacosmic", remove_cosmics=remove_cosmics)
    settings = {"gain": 2.0, "background": 1.0, "factors": (0.25, 1.0, 4.0)}
    mask = np.array([[False, False, False, True]])
    frame = frame_of(unit=u.adu, mask=mask, READNSE=4.0)
    before = log.level
    if order == "mask first":
        score = Astroscrappy(sigclip=10.0, sigfrac=0.4, objlim=3.0, **settings).score(frame)
        seen = sorted(options["sigclip"] for _, options in calls)
        options = calls[0][1]
        assert (options["sigfrac"], options["objlim"], options["gain"]) == (0.4, 3.0, 1.0)
        np.testing.assert_array_equal(options["inmask"], mask)
    else:
        method = LACosmic(cr_threshold=10.0, neighbor_threshold=4.0, contrast=3.0, **settings)
        score = method.score(frame)
        seen = sorted(options["all"][1] for _, options in calls)
        options = calls[0][1]
        assert all(
            given["all"] == (3.0, at, 0.4 * at)
            for (_, given) in calls
            for at in [given["all"][1]]
        )  # fmt: skip
        assert options["effective_gain"] == 1.0
        np.testing.assert_array_equal(options["mask"], mask)
    assert log.level == before
    assert seen == [2.5, 10.0, 40.0]
    assert options["readnoise"] == 4.0
    for data, _ in calls:
        np.testing.assert_array_equal(data, 2.0 * ROW + 1.0)
    # Of 1, 7, 21 and a masked 201: below all, at 2.5, at 10, and never.
    np.testing.assert_array_equal(score > 0.0, [[False, False, True, False]])
    assert score[0, 0] == score[0, 3] < score[0, 1] < score[0, 2]


class Doubling(torch.nn.Module):
    """A network of the shape that deepCR and Cosmic-CoNN have: ``outc``, then a sigmoid."""

    def __init__(self):
        super().__init__()
        self.outc = torch.nn.Conv2d(1, 1, 1)
        with torch.no_grad():
            self.outc.weight.fill_(2.0)
            self.outc.bias.fill_(-20.0)

    def forward(self, x):
        return torch.sigmoid(self.outc(x))


def test_deepcr_gives_logits_through_its_own_call(fake):
    class FakeDeepCR:
        def __init__(self, *, mask, device, hidden):
            assert (mask, device, hidden) == ("ACS-WFC", "CPU", 32)
            self.maskNet = torch.nn.Module()
            self.maskNet.module = inner = Doubling()
            self.maskNet.forward = lambda x: inner(x)

        def clean(self, image, threshold=0.5, binary=True):
            assert not binary
            output = self.maskNet(torch.from_numpy(image)[None, None])
            assert not output.requires_grad
            return output.squeeze().numpy()[None]

    fake("deepCR", deepCR=FakeDeepCR)
    fake("learned_models", mask_dict={"ACS-WFC": None})
    method = DeepCR()
    score = method.score(frame_of())
    np.testing.assert_array_equal(score, 2.0 * ROW - 20.0)  # 180 would be p = 1 in float32
    assert score.dtype == np.float32
    # The hooks are gone: the model is as it was.
    image = torch.from_numpy(ROW.astype(np.float32))[None, None]
    assert method._model.maskNet(image).detach().max() == 1.0
    with pytest.raises(BayescrError, match="mask is 'ACS': expected one of ACS-WFC, or a file"):
        DeepCR(mask="ACS").score(frame_of())


def test_cosmic_conn_gives_logits_and_leaves_globals_alone(fake):
    answered = slice(0, 3)

    class FakeModel:
        def __init__(self):
            self.network = Doubling()

        def detect_cr(self, image):
            mask = np.zeros_like(image)
            if answered.stop == 0:
                return mask
            part = torch.from_numpy(image[:, answered])[None, None]
            mask[:, answered] = self.network(part).numpy()[0, 0]
            return mask

    def init_model(name):
        assert name == "HST_ACS_WFC"
        torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
        logging.getLogger().addHandler(logging.NullHandler())
        return FakeModel()

    fake("cosmic_conn", init_model=init_model)
    before = (torch.backends.cudnn.benchmark, logging.getLogger().handlers[:])
    score = CosmicCoNN().score(frame_of())
    assert (torch.backends.cudnn.benchmark, logging.getLogger().handlers) == before
    # Logits -20, -14, 0 (p = 0.5: not flagged); the last pixel has no answer, so the lowest.
    np.testing.assert_allclose(score, [[-20.0, -14.0, 0.0, -20.0]], atol=1e-30)
    assert not (score > 0.0).any()
    answered = slice(0, 0)
    with pytest.raises(BayescrError, match="gives no answer for a frame of"):
        CosmicCoNN().score(frame_of())


def test_weights_that_are_not_there_are_refused():
    with pytest.raises(BayescrError, match="model is 'hst': expected HST_ACS_WFC"):
        CosmicCoNN(model="hst")


@pytest.mark.parametrize("adapter", FAMILY.values(), ids=FAMILY)
def test_a_missing_package_has_a_reason(monkeypatch, adapter):
    method = adapter()
    monkeypatch.setitem(sys.modules, method.package, None)
    reason = unavailable(method)
    assert method.package in reason
    assert method.install in reason
    assert "\n" not in reason
    with pytest.raises(BayescrError, match="pip install"):
        method.score(frame_of())


def test_a_method_of_ones_own_is_always_available(fake):
    assert unavailable(object()) is None
    fake("astroscrappy")
    assert unavailable(Astroscrappy()) is None


@pytest.mark.parametrize("adapter", FAMILY.values(), ids=FAMILY)
def test_provenance_is_json_and_names_the_settings(adapter):
    method = adapter(gain=1.5)
    provenance = json.loads(json.dumps(method.provenance))
    assert provenance["package"] == method.package
    assert provenance["settings"]["gain"] == 1.5
    assert type(method.is_probability) is bool
    assert hash(method) == hash(adapter(gain=1.5))


# --- the packages themselves ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def exposure():
    """One with unusable pixels, one of them NaN."""
    made = simulate_exposure("extragalactic", size=128, seed=0)
    made.frame.mask[10, 10] = True
    made.frame.data[10, 10] = np.nan
    return made


def call_astroscrappy(data, mask, noise):
    package = pytest.importorskip("astroscrappy", reason="astroscrappy is not installed")
    return package.detect_cosmics(data, inmask=mask, readnoise=noise)[0]


def call_lacosmic(data, mask, noise):
    package = pytest.importorskip("lacosmic", reason="lacosmic is not installed")
    options = {"mask": mask, "effective_gain": 1.0, "readnoise": noise}
    return package.remove_cosmics(data, 5.0, 4.5, 1.35, **options)[1]


def call_deepcr(data, mask, noise):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("deepCR", reason="deepCR is not installed")
        model = package.deepCR(mask="ACS-WFC")
    return model.clean(data) == 1


def call_cosmic_conn(data, mask, noise):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("cosmic_conn", reason="cosmic_conn is not installed")
        model = package.init_model("HST_ACS_WFC")
    return model.detect_cr(data.copy()) > 0.5


@pytest.mark.parametrize(
    ("method", "call"),
    [
        (Astroscrappy(), call_astroscrappy),
        (LACosmic(factors=(0.5, 1.0, 2.0)), call_lacosmic),
        (DeepCR(), call_deepcr),
        (CosmicCoNN(), call_cosmic_conn),
    ],
    ids=["astroscrappy", "lacosmic", "deepCR", "Cosmic-CoNN"],
)
def test_above_zero_is_what_the_package_flags(exposure, method, call):
    data, mask = electrons(exposure.frame, gain=None)
    flagged = call(data, mask, exposure.frame.header["READNSE"])
    score = method.score(exposure.frame)
    assert score.dtype == np.float32
    assert np.isfinite(score).all()
    np.testing.assert_array_equal(score > 0.0, flagged)
    usable = ~exposure.frame.mask
    truth = exposure.cosmic_rays[usable]
    # Simulated rays are found: a mask or a sky in the wrong place would not do this.
    assert np.mean(score[usable][truth] > 0.0) > 0.6
    assert np.mean(score[usable][~truth] > 0.0) < 0.01
