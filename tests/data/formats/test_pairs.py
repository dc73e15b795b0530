import numpy as np
import pytest
from astropy.io import fits

from bayescr.data import read_labelled, write_labelled
from bayescr.errors import BayescrError


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz"])
def test_an_image_and_its_mask(tmp_path, suffix):
    rng = np.random.default_rng(0)
    data = rng.normal(50, 5, (9, 11)).astype(np.float32)
    mask = (rng.random((9, 11)) < 0.2).astype(np.int16) * 7
    fits.PrimaryHDU(data).writeto(tmp_path / f"night{suffix}")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(mask)]).writeto(tmp_path / "night_mask.fits")
    (image,) = read_labelled(tmp_path)  # the mask is no image of its own
    np.testing.assert_array_equal(image.frame.data, data)
    np.testing.assert_array_equal(image.truth, mask != 0)
    assert (image.exposure, image.reliable) == ("night", None)


def test_pairs_come_back(tmp_path, make, assert_same):
    images = [make(seed=k, exposure=f"visit-{k}") for k in range(3)]
    images.append(make(seed=9, exposure="visit-9", plain=True))
    write_labelled(images, tmp_path, format="pairs")
    assert len(list(tmp_path.iterdir())) == 3 * 3 + 2
    again = read_labelled(tmp_path)
    for one, other in zip(again, images, strict=True):
        assert_same(one, other, "truth", *(["reliable"] if other.reliable is not None else []))
    assert again[0].field == "gc"
    assert again[-1].reliable is None


def test_a_mask_of_another_name(tmp_path):
    fits.PrimaryHDU(np.ones((4, 4))).writeto(tmp_path / "a.fits")
    fits.PrimaryHDU(np.eye(4)).writeto(tmp_path / "other.fits")
    (image,) = read_labelled(tmp_path / "a.fits", mask=tmp_path / "other.fits")
    np.testing.assert_array_equal(image.truth, np.eye(4) == 1)


def test_pairs_that_are_none(tmp_path, make):
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.ones((4, 4))).writeto(path)
    with pytest.raises(BayescrError, match="'.*a.fits' has no truth: expected"):
        read_labelled(path)
    with pytest.raises(BayescrError, match="has no mask: expected 'a_mask.fits' beside it"):
        read_labelled(path, format="pairs")
    fits.PrimaryHDU(np.eye(5)).writeto(tmp_path / "a_mask.fits")
    with pytest.raises(BayescrError, match=r"has shape \(5, 5\) but its frame \(4, 4\)"):
        read_labelled(path)
    with pytest.raises(BayescrError, match="exposure 'visit-1' has several images"):
        write_labelled([make(), make()], tmp_path / "x", format="pairs")
    several = [fits.ImageHDU(np.ones((4, 4)), name="SCI", ver=k) for k in (1, 2)]
    fits.HDUList([fits.PrimaryHDU(), *several]).writeto(path, overwrite=True)
    with pytest.raises(BayescrError, match="holds 2 images, for which one mask is too little"):
        read_labelled(path, format="pairs")
