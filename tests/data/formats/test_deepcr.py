import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bayescr.data import PatchDataset, read_labelled, with_sky, write_labelled
from bayescr.errors import BayescrError

fixed = settings(derandomize=True, deadline=None, max_examples=50)


def patch(planes=3, *, side=8, seed=0):
    rng = np.random.default_rng(seed)
    masks = rng.random((planes - 1, side, side)) < 0.2
    return np.concatenate([rng.normal(0, 5, (1, side, side)), masks]).astype(np.float32)


def visit(tmp_path, name="10595/2"):
    """A folder as the published one: two patches of a visit, and their sky."""
    folder = tmp_path / "f606w" / name
    folder.mkdir(parents=True)
    np.save(folder / "1_a.npy", patch(seed=1))
    np.save(folder / "2_a.npy", patch(2, seed=2))
    np.save(folder / "sky.npy", np.array([30.0, 50.0]))
    return folder


def test_planes_are_image_truth_and_where_not_to_learn(tmp_path):
    folder = visit(tmp_path)
    three, two = read_labelled(folder)
    np.testing.assert_array_equal(three.frame.data, patch(seed=1)[0])
    np.testing.assert_array_equal(three.truth, patch(seed=1)[1] == 1)
    np.testing.assert_array_equal(three.reliable, patch(seed=1)[2] == 0)
    assert two.reliable is None
    assert three.exposure == two.exposure == "10595_2"
    assert three.frame.unit == "adu"


def test_an_ignored_pixel_is_shown_but_not_learnt_from(tmp_path):
    (item,) = PatchDataset.from_labelled(read_labelled(visit(tmp_path) / "1_a.npy"), patch=None)
    ignored = patch(seed=1)[2] == 1
    np.testing.assert_array_equal(item["valid"][0], ~ignored)
    assert item["image"][0].numpy()[ignored].all()


@fixed
@given(factor=st.floats(-0.9, 3.0))
def test_the_sky_is_added_at_will(tmp_path_factory, factor):
    images = read_labelled(visit(tmp_path_factory.mktemp("sky")))
    for image, level, name in zip(images, (30.0, 50.0), ("1", "2"), strict=True):
        plain = patch(3 if name == "1" else 2, seed=int(name))[0]
        expected = plain + np.float32(factor * level)
        np.testing.assert_array_equal(with_sky(image, factor).frame.data, expected)
        np.testing.assert_array_equal(image.frame.data, plain)  # the given one stays


def test_no_sky_no_sum(tmp_path):
    np.save(tmp_path / "1_a.npy", patch())
    (image,) = read_labelled(tmp_path)
    with pytest.raises(BayescrError, match="sky of exposure .* put a sky.npy"):
        with_sky(image)


@fixed
@given(st.data())
def test_any_patch_comes_back(tmp_path_factory, data):
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
    pixels = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-1e6, 1e6, width=32)))
    masks = data.draw(hnp.arrays(bool, (data.draw(st.integers(1, 2)), *shape)))
    folder = tmp_path_factory.mktemp("any")
    np.save(folder / "1_x.npy", np.stack([pixels, *masks]).astype(np.float32))
    np.save(folder / "sky.npy", np.array([7.25]))
    images = read_labelled(folder)
    write_labelled(images, folder / "again", format="deepcr")
    (again,) = read_labelled(folder / "again")
    np.testing.assert_array_equal(again.frame.data, pixels)
    np.testing.assert_array_equal(again.truth, masks[0])
    reliable = np.ones(shape, bool) if again.reliable is None else again.reliable
    np.testing.assert_array_equal(reliable, ~masks[1] if len(masks) == 2 else True | masks[0])
    assert again.frame.header["SKYLEVEL"] == 7.25


def test_what_deepcr_cannot_say_becomes_ignore(tmp_path, make):
    image = make()
    image.frame.data[3, 3] = np.nan
    write_labelled([image], tmp_path, format="deepcr")
    stack = np.load(tmp_path / "1_visit-1.npy")
    assert (stack.shape, stack.dtype, stack[0, 3, 3]) == ((3, 12, 20), np.float32, 0.0)
    np.testing.assert_array_equal(stack[2] == 1, image.mask | ~image.reliable)
    assert not (tmp_path / "sky.npy").exists()


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (np.zeros((4, 8, 8)), r"has shape \(4, 8, 8\): expected \(2, H, W\)"),
        (np.zeros((8, 8)), r"have shape \(8, 8\)|patch have shape"),
        (np.array([{"a": 1}], dtype=object), "cannot read patch"),
    ],
)
def test_files_that_are_no_patches(tmp_path, stack, message):
    np.save(tmp_path / "1_a.npy", stack, allow_pickle=True)
    with pytest.raises(BayescrError, match=message):
        read_labelled(tmp_path)


@pytest.mark.parametrize("name", ["x.npy", "0_x.npy", "3_x.npy"])
def test_a_patch_without_its_sky(tmp_path, name):
    np.save(tmp_path / name, patch())
    np.save(tmp_path / "sky.npy", np.array([1.0, 2.0]))
    with pytest.raises(BayescrError, match="no sky level: expected a name .* from 1 to 2"):
        read_labelled(tmp_path)
