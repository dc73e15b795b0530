import numpy as np
import pytest

from bayescr.data import PatchDataset, read_labelled, write_labelled
from bayescr.data.formats import FORMATS
from bayescr.errors import BayescrError

FOLDERS = ("deepcr", "pairs")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_recognised_and_lands_as_bayescrs_own(tmp_path, make, name):
    """What is learnt from a file is what is learnt from its conversion."""
    images = [make(seed=k, exposure=f"visit-{k}") for k in range(2)]
    target = tmp_path / "in" if name in FOLDERS else tmp_path / "in.fits"
    write_labelled(images, target, format=name)
    read = read_labelled(target)
    assert len(read) == 2
    write_labelled(read, tmp_path / "out.fits")
    landed = read_labelled(tmp_path / "out.fits")
    for one, other in zip(read, landed, strict=True):
        np.testing.assert_array_equal(one.frame.data, other.frame.data)
        assert one.frame.unit == other.frame.unit
    pairs = zip(*(PatchDataset.from_labelled(x, patch=8) for x in (read, landed)), strict=True)
    for one, other in pairs:
        assert all(one[key].equal(other[key]) for key in ("image", "target", "valid"))


def test_a_folder_of_several_formats(tmp_path, make):
    write_labelled([make(exposure="a")], tmp_path / "a")
    write_labelled([make(exposure="b")], tmp_path / "b" / "c.fits", format="cosmic-conn")
    write_labelled([make(exposure="d")], tmp_path / "d", format="pairs")
    write_labelled([make()], tmp_path / "e" / "f", format="deepcr")
    assert [image.exposure for image in read_labelled(tmp_path)] == ["a", "b", "d", "e_f"]
    assert len(read_labelled(tmp_path / "e", format="deepcr")) == 1


def test_what_cannot_be(tmp_path, make):
    with pytest.raises(BayescrError, match="no such file or folder"):
        read_labelled(tmp_path / "none")
    with pytest.raises(BayescrError, match="no image in"):
        read_labelled(tmp_path)
    with pytest.raises(BayescrError, match="unknown format 'deep-cr': did you mean 'deepcr'"):
        write_labelled([make()], tmp_path, format="deep-cr")
    with pytest.raises(BayescrError, match="no images were given to write"):
        write_labelled([], tmp_path)
    with pytest.raises(BayescrError, match="is a file name: format 'pairs' writes a folder"):
        write_labelled([make()], tmp_path / "a.fits", format="pairs")
