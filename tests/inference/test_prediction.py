"""Maps from draws, against a loop in numpy; and their way into files and figures."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, VarianceUncertainty
from astropy.wcs import WCS
from matplotlib.figure import Figure

from bayescr.data import read_frame
from bayescr.errors import BayescrError
from bayescr.inference import Prediction, RunningPrediction

MAPS = ("probability", "logit", "entropy", "expected_entropy", "mutual_information", "std")


def _predict(logits, **result):
    running = RunningPrediction()
    for draw in logits:
        running.add(torch.as_tensor(draw))
    return running.result(**result)


def _entropy(p):
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.nansum([p * np.log(p), (1 - p) * np.log1p(-p)], axis=0)


def test_maps_equal_numpy_over_all_draws():
    logits = 3.0 * np.random.default_rng(0).normal(size=(37, 2, 5, 4))
    p = 1 / (1 + np.exp(-logits))
    mean = p.mean(0)
    expected = {
        "probability": mean,
        "logit": np.log(mean) - np.log1p(-mean),
        "entropy": _entropy(mean),
        "expected_entropy": _entropy(p).mean(0),
        "mutual_information": _entropy(mean) - _entropy(p).mean(0),
        "std": p.std(0),
    }
    prediction = _predict(logits)
    assert prediction.num_samples == 37
    for name, value in expected.items():
        got = getattr(prediction, name)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-7, err_msg=name)


def test_one_class_has_no_class_axis():
    prediction = _predict(np.zeros((2, 1, 3, 4)))
    assert {getattr(prediction, name).shape for name in MAPS} == {(3, 4)}
    assert prediction.valid.shape == (3, 4)
    assert prediction.valid.all()


def test_extreme_logits_stay_finite():
    extremes = [0.0, 50.0, -50.0, 1e4, -1e4, np.inf, -np.inf, 1e-30]
    pairs = torch.tensor(list(itertools.product(extremes, extremes))).T[:, None, None]
    for logits in (pairs, pairs.float(), pairs[:1]):
        prediction = _predict(logits)
        for name in MAPS:
            assert np.isfinite(getattr(prediction, name)).all(), name
        assert (prediction.mutual_information >= 0).all()
        assert (prediction.entropy <= np.log(2) + 1e-6).all()
        assert ((prediction.probability >= 0) & (prediction.probability <= 1)).all()


def test_the_logit_ranks_where_the_probability_rounds():
    prediction = _predict(np.array([[[[-300.0, -200.0, 30.0, 60.0]]]]))
    np.testing.assert_allclose(prediction.logit, [[-300.0, -200.0, 30.0, 60.0]], rtol=1e-5)
    assert prediction.probability[0, 2] == prediction.probability[0, 3] == 1.0


def test_certain_disagreement_is_all_epistemic():
    """Half of the draws sure of 1, half of 0: one bit of mutual information, no noise."""
    prediction = _predict(np.array([50.0, -50.0]).reshape(2, 1, 1, 1))
    assert prediction.mutual_information.item() == pytest.approx(np.log(2))
    assert prediction.expected_entropy.item() == pytest.approx(0.0, abs=1e-6)
    assert prediction.std.item() == pytest.approx(0.5)


def test_equal_draws_have_no_epistemic_part():
    logits = np.random.default_rng(0).normal(size=(1, 1, 6, 6)).repeat(9, axis=0)
    prediction = _predict(logits)
    assert prediction.mutual_information.max() < 1e-7
    assert prediction.std.max() < 1e-7


def test_mutual_information_is_never_negative():
    rng = np.random.default_rng(1)
    for scale in (1e-6, 1e-3, 1.0, 30.0):
        logits = rng.normal(size=(1, 1, 8, 8)) + scale * rng.normal(size=(5, 1, 8, 8))
        assert _predict(logits).mutual_information.min() >= 0.0


def test_spread_of_tiny_probabilities_is_resolved():
    """Squares of p about 1e-9 would vanish beside a sum of squares taken about 0 in float32."""
    logits = np.log(np.array([1e-9, 2e-9, 3e-9])).reshape(3, 1, 1, 1)
    assert _predict(logits).std.item() == pytest.approx(np.sqrt(2 / 3) * 1e-9, rel=1e-3)


def test_memory_does_not_grow_with_draws():
    running = RunningPrediction()
    held = set()
    for _ in range(20):
        running.add(torch.randn(1, 4, 4))
        tensors = [*running._sums.values(), running._reference]
        held.add(sum(tensor.numel() for tensor in tensors))
    assert len(held) == 1
    assert not [value for value in vars(running).values() if isinstance(value, list)]


def test_draws_added_are_not_changed():
    logits = torch.randn(1, 4, 4)
    before = logits.clone()
    running = RunningPrediction()
    running.add(logits)
    running.add(logits)
    assert torch.equal(logits, before)


def test_no_draw_no_maps():
    with pytest.raises(BayescrError, match="num_samples must be at least 1"):
        RunningPrediction().result()


@pytest.fixture
def frame():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.1, 2.2]
    wcs.wcs.crpix = [4.0, 3.0]
    wcs.wcs.cdelt = [-1e-5, 1e-5]
    data = np.random.default_rng(0).normal(100, 5, (6, 8)).astype(np.float32)
    header = fits.Header({"OBJECT": "M 92", "EXPTIME": 120.0, "BUNIT": "electron", "CRVAL1": 150.1})
    return CCDData(data, unit=u.electron, wcs=wcs, header=header)


@pytest.fixture
def prediction(frame):
    valid = np.ones((6, 8), bool)
    valid[0, :2] = False
    logits = np.random.default_rng(2).normal(size=(4, 1, 6, 8))
    return _predict(logits, valid=valid, frame=frame)


def test_masks(prediction):
    assert prediction.mask(0.5).dtype == bool
    assert not prediction.mask(0.0)[0, :2].any()  # unusable
    assert prediction.mask(0.0)[prediction.valid].all()
    assert not prediction.mask(1.0).any()
    np.testing.assert_array_equal(prediction.mask(0.3),
                                  (prediction.probability > 0.3) & prediction.valid)  # fmt: skip
    for threshold in (-0.1, 1.1, np.nan):
        with pytest.raises(BayescrError, match="expected a probability from 0 to 1"):
            prediction.mask(threshold)


@pytest.mark.parametrize("name", ["out.fits", "out.fits.gz"])
def test_files_hold_the_maps_and_the_frame_they_belong_to(prediction, frame, tmp_path, name):
    path = tmp_path / "new" / name
    prediction.write(path, threshold=0.4)
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == [
            "SCI", "PROB", "ENTROPY", "MUTUAL_INFORMATION", "CRMASK", "DQ",
        ]  # fmt: skip
        for hdu, expected in (
            ("SCI", frame.data), ("PROB", prediction.probability), ("ENTROPY", prediction.entropy),
            ("MUTUAL_INFORMATION", prediction.mutual_information),
        ):  # fmt: skip
            assert hdus[hdu].header["BITPIX"] == -32
            np.testing.assert_array_equal(hdus[hdu].data, expected)
        assert hdus["CRMASK"].header["BITPIX"] == 8
        np.testing.assert_array_equal(hdus["CRMASK"].data, prediction.mask(0.4))
        assert hdus["CRMASK"].header["BCRTHRES"] == 0.4
        assert hdus["PROB"].header["BCRNSAMP"] == 4
        assert hdus["SCI"].header["OBJECT"] == "M 92"
        assert hdus["SCI"].header["BUNIT"] == "electron"
        sky = frame.wcs.pixel_to_world_values(2.0, 5.0)
        np.testing.assert_allclose(WCS(hdus["PROB"].header).pixel_to_world_values(2.0, 5.0), sky)
    assert [file.name for file in path.parent.iterdir()] == [name]  # no half of another


@pytest.mark.parametrize(
    ("rates", "cards"),
    [
        (None, {}),
        ((0.002,), {"BCRRAT": 0.002}),
        ((0.002, 0.1), {"BCRRAT0": 0.002, "BCRRAT1": 0.1}),
    ],
)
def test_files_tell_a_base_rate_that_was_chosen(tmp_path, rates, cards):
    logits = np.zeros((1, len(rates or [1]), 4, 4))
    prediction = dataclasses.replace(_predict(logits), base_rate=rates)
    prediction.write(tmp_path / "out.fits")
    header = fits.getheader(tmp_path / "out.fits", "PROB")
    assert {key: header[key] for key in header if key.startswith("BCRRAT")} == cards


def test_another_prior_asks_for_the_draws(prediction):
    with pytest.raises(BayescrError, match="not made by `posterior.predict`"):
        prediction.with_prior(0.1)
    assert prediction.base_rate is None


def test_files_read_back_as_the_frame_unusable_pixels_and_uncertainty_included(frame, tmp_path):
    frame.data[3, 3] = np.nan
    frame.header["EXTVER"] = 2
    frame.uncertainty = VarianceUncertainty(frame.data.astype(float) ** 2)
    valid = np.isfinite(frame.data)
    valid[0, :2] = False
    prediction = _predict(np.zeros((1, 1, 6, 8)), valid=valid, frame=frame)
    prediction.write(tmp_path / "out.fits")
    again = read_frame(tmp_path / "out.fits")
    np.testing.assert_array_equal(again.data, frame.data)
    np.testing.assert_array_equal(again.mask, ~valid)
    np.testing.assert_allclose(again.uncertainty.array, frame.data, rtol=1e-6)  # float32
    assert again.unit == frame.unit
    assert again.header["OBJECT"] == "M 92"
    with fits.open(tmp_path / "out.fits") as hdus:
        assert hdus["DQ"].header["BITPIX"] == 16
        np.testing.assert_array_equal(hdus["DQ"].data, np.where(valid, 0, 4))


def test_a_frame_made_by_hand_has_a_plain_header(tmp_path):
    for meta in (None, {"object": "M 92", "bunit": "adu"}):
        frame = CCDData(np.ones((4, 4), np.float32), unit="electron", meta=meta)
        prediction = _predict(np.zeros((1, 1, 4, 4)), frame=frame)
        assert "BUNIT" not in prediction.to_ccddata().header
        prediction.write(tmp_path / "out.fits", overwrite=True)
        again = read_frame(tmp_path / "out.fits")
        assert again.unit == u.electron
        assert again.header.get("OBJECT") == (meta and "M 92")


def test_cards_of_a_wcs_that_could_not_be_read_are_kept(frame, tmp_path):
    frame.wcs = None
    _predict(np.zeros((1, 1, 6, 8)), frame=frame).write(tmp_path / "out.fits")
    assert fits.getheader(tmp_path / "out.fits", "SCI")["CRVAL1"] == 150.1


def test_files_are_not_replaced_unless_asked(prediction, tmp_path):
    path = tmp_path / "out.fits"
    prediction.write(path)
    before = path.read_bytes()
    with pytest.raises(BayescrError, match="exists already"):
        prediction.write(path, threshold=0.9)
    with pytest.raises(BayescrError, match="threshold"):
        prediction.write(path, threshold=2.0, overwrite=True)
    assert path.read_bytes() == before
    prediction.write(path, threshold=0.9, overwrite=True)
    assert path.read_bytes() != before


def test_without_a_frame_there_are_maps_all_the_same(tmp_path):
    prediction = _predict(np.zeros((1, 1, 4, 4)))
    prediction.write(tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as hdus:
        assert "SCI" not in [hdu.name for hdu in hdus]
    assert prediction.to_ccddata().wcs is None


def test_ccddata_carries_maps_mask_wcs_and_header(prediction, frame):
    ccd = prediction.to_ccddata()
    np.testing.assert_array_equal(ccd.data, prediction.probability)
    np.testing.assert_array_equal(ccd.uncertainty.array, prediction.std)
    np.testing.assert_array_equal(ccd.mask, ~prediction.valid)
    assert ccd.unit == u.dimensionless_unscaled
    assert ccd.wcs is frame.wcs
    assert ccd.header["OBJECT"] == "M 92"
    assert not {"BUNIT", "CRVAL1"} & set(ccd.header)  # of the frame; `unit` and `wcs` say it
    ccd.header["OBJECT"] = "other"
    assert frame.header["OBJECT"] == "M 92"


def test_several_classes_go_the_same_way(frame, tmp_path):
    logits = np.random.default_rng(2).normal(size=(2, 3, 6, 8))
    prediction = _predict(logits, frame=frame)
    assert prediction.mask().shape == (3, 6, 8)
    assert prediction.to_ccddata().mask.shape == (3, 6, 8)
    prediction.write(tmp_path / "out.fits")
    assert fits.getdata(tmp_path / "out.fits", "PROB").shape == (3, 6, 8)
    axes = prediction.plot().axes
    assert len(axes) == 3 * 4 + 3 * 3  # panels and colour bars
    assert [axis.get_ylabel() for axis in axes[:12:4]] == ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_plots_draw(prediction, threshold):
    """All pixels flagged, some, and none; drawn to the end, for warnings come late."""
    for shown in (prediction, _predict(np.zeros((1, 1, 4, 4)))):
        figure = shown.plot(threshold=threshold)
        assert isinstance(figure, Figure)
        figure.canvas.draw()


def test_a_prediction_cannot_be_changed(prediction):
    assert isinstance(prediction, Prediction)
    with pytest.raises(AttributeError):
        prediction.num_samples = 3
