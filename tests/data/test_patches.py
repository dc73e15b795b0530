import gc
import itertools
import pickle
import weakref

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from torch.utils.data import DataLoader

from bayescr.data import PatchDataset, Scaling, read_frame
from bayescr.data.formats import native
from bayescr.errors import BayescrError


def frames_and_truths(count=4, shape=(100, 150), seed=0):
    rng = np.random.default_rng(seed)
    frames = rng.normal(100.0, 5.0, (count, *shape)).astype(np.float32)
    return list(frames), list(rng.random((count, *shape)) < 0.02)


def test_an_item():
    frames, truths = frames_and_truths()
    dataset = PatchDataset.from_frames(frames, truths, patch=64)
    item = dataset[0]
    assert item["image"].shape == item["target"].shape == item["valid"].shape == (1, 64, 64)
    assert (item["image"].dtype, item["target"].dtype) == (torch.float32, torch.float32)
    assert item["valid"].dtype == torch.bool
    assert item["exposure"] == dataset.exposures[0] == "exposure-0"
    assert dataset.num_classes == 1
    assert dataset.scaling == Scaling()
    assert dataset.fields == {}


def test_patches_are_cut_from_the_frame_scaled_as_a_whole():
    frames, truths = frames_and_truths(1, (100, 150))
    scaled, _ = Scaling(softening=2.0)(frames[0])
    dataset = PatchDataset.from_frames(frames, truths, patch=64, scaling=Scaling(softening=2.0))
    assert len(dataset) == 2 * 3
    corners = list(itertools.product((0, 36), (0, 64, 86)))
    for item, (row, column) in zip(dataset, corners, strict=True):
        window = np.s_[:, row : row + 64, column : column + 64]
        np.testing.assert_array_equal(item["image"], scaled[window])


@pytest.mark.parametrize("patch", [1, 7, 32, 50, 64, 99, 100, 128, 200, None])
def test_every_valid_pixel_counts_exactly_once(patch):
    frames, truths = frames_and_truths(1, (50, 70))
    frames[0] = np.arange(50 * 70, dtype=np.float32).reshape(50, 70)  # tells pixels apart
    bad = np.zeros((50, 70), bool)
    bad[3:5, 60:] = True
    dataset = PatchDataset.from_frames(frames, truths, ignore=[bad], patch=patch)
    values = torch.cat([item["image"][item["valid"]] for item in dataset])
    expected, valid = Scaling()(frames[0], mask=bad)
    np.testing.assert_array_equal(np.sort(values), np.sort(expected[valid]))
    positives = sum(item["target"].sum() for item in dataset)
    assert positives == (truths[0] & ~bad).sum()
    shapes = {item["image"].shape for item in dataset}
    assert shapes == {(1, patch, patch) if patch else (1, 50, 70)}


def test_a_frame_smaller_than_the_patch_is_extended_by_invalid_pixels():
    frames, truths = frames_and_truths(1, (40, 90))
    (item,) = PatchDataset.from_frames(frames, truths, patch=128)
    assert item["image"].shape == (1, 128, 128)
    assert item["valid"][:, :40, :90].all()
    assert item["valid"].sum() == 40 * 90
    assert not item["image"][~item["valid"]].any()


def test_truth_of_unusable_pixels_is_dropped():
    frames, truths = frames_and_truths(1, (20, 20))
    truths[0] = np.full((20, 20), 5)  # nonsense, but only where nothing is used
    truths[0][10:] = 1
    mask = np.zeros((20, 20), bool)
    mask[:10] = True
    (item,) = PatchDataset.from_frames([CCDData(frames[0], unit="adu", mask=mask)], truths)
    assert item["target"].sum() == 10 * 20
    assert not item["target"][:, :10].any()


def test_base_rate_over_valid_pixels():
    frames, truths = frames_and_truths(3, (50, 70))
    ignore = [np.random.default_rng(9).random((50, 70)) < 0.3 for _ in frames]
    dataset = PatchDataset.from_frames(frames, truths, ignore=ignore, patch=32)
    usable = ~np.stack(ignore)
    assert dataset.positive_fraction.tolist() == [np.stack(truths)[usable].mean()]


def test_several_classes():
    frames, truths = frames_and_truths(2, (64, 64))
    both = [np.stack([truth, ~truth, truth * 0]) for truth in truths]
    dataset = PatchDataset.from_frames(frames, both, patch=32)
    assert dataset.num_classes == 3
    assert dataset[0]["target"].shape == (3, 32, 32)
    rate = np.mean(truths)
    assert dataset.positive_fraction.tolist() == pytest.approx([rate, 1 - rate, 0.0])


def test_batches_through_a_loader():
    frames, truths = frames_and_truths()
    batch = next(iter(DataLoader(PatchDataset.from_frames(frames, truths, patch=32), batch_size=8)))
    assert batch["image"].shape == (8, 1, 32, 32)
    assert len(batch["exposure"]) == 8


def symmetries(plane):
    turned = [np.rot90(plane, k) for k in range(4)]
    return turned + [np.fliplr(p) for p in turned]


def test_augmentation_draws_the_eight_symmetries_and_turns_all_planes_alike():
    frames, truths = frames_and_truths(1, (16, 16))
    plain = PatchDataset.from_frames(frames, truths, patch=16)
    (item,) = plain
    expected = {p.tobytes(): k for k, p in enumerate(symmetries(item["image"][0].numpy()))}
    targets = symmetries(item["target"][0].numpy())
    torch.manual_seed(0)
    dataset = plain.augmented()
    drawn = []
    for _ in range(400):
        turned = dataset[0]
        drawn.append(expected[turned["image"][0].numpy().tobytes()])
        np.testing.assert_array_equal(turned["target"][0], targets[drawn[-1]])
    # 400 draws, 50 +- 6.6 for each of 8: 25 lie 3.8 sigma below.
    assert np.bincount(drawn, minlength=8).min() > 25
    np.testing.assert_array_equal(plain[0]["image"], item["image"])  # the original stays plain


def test_augmentation_keeps_the_shape_of_frames_that_are_not_square():
    frames, truths = frames_and_truths(1, (10, 14))
    dataset = PatchDataset.from_frames(frames, truths, patch=None, augment=True)
    torch.manual_seed(0)
    images = [dataset[0]["image"] for _ in range(60)]
    assert {image.shape for image in images} == {(1, 10, 14)}
    assert len({image.numpy().tobytes() for image in images}) == 4


def test_augmentation_follows_torchs_seed():
    frames, truths = frames_and_truths(1, (64, 64))
    dataset = PatchDataset.from_frames(frames, truths, patch=16, augment=True)
    torch.manual_seed(3)
    first = torch.stack([item["image"] for item in dataset])
    torch.manual_seed(3)
    assert torch.equal(first, torch.stack([item["image"] for item in dataset]))


def test_split_keeps_exposures_whole_and_loses_none():
    frames, truths = frames_and_truths(10, (20, 20))
    exposures = [f"visit-{k // 2}" for k in range(10)]  # two chips each
    dataset = PatchDataset.from_frames(frames, truths, exposures=exposures, patch=16)
    parts = dataset.split(0.6, 0.2, 0.2, seed=1)
    held = [set(part.exposures) for part in parts]
    assert [len(names) for names in held] == [3, 1, 1]
    assert set.union(*held) == set(exposures)
    assert sum(len(part) for part in parts) == len(dataset)
    assert all(part.scaling == dataset.scaling for part in parts)


def test_split_follows_its_seed():
    frames, truths = frames_and_truths(12, (4, 4))
    dataset = PatchDataset.from_frames(frames, truths, patch=None)
    first = [part.exposures for part in dataset.split(0.5, 0.5, seed=7)]
    assert first == [part.exposures for part in dataset.split(0.5, 0.5, seed=7)]
    assert any(first != [p.exposures for p in dataset.split(0.5, 0.5, seed=s)] for s in range(3))


@pytest.mark.parametrize("seed", range(5))
def test_split_spreads_every_field(seed):
    frames, truths = frames_and_truths(12, (4, 4))
    names = [f"{field}{k}" for field in "abc" for k in range(4)]
    fields = {name: name[0] for name in names}
    dataset = PatchDataset.from_frames(frames, truths, exposures=names, fields=fields, patch=None)
    for part, count in zip(dataset.split(0.5, 0.25, 0.25, seed=seed), (2, 1, 1), strict=True):
        assert sorted(part.fields.values()) == sorted("abc" * count)
        assert set(part.fields) == set(part.exposures)


def test_split_gives_every_part_an_exposure():
    frames, truths = frames_and_truths(3, (4, 4))
    dataset = PatchDataset.from_frames(frames, truths, patch=None)
    assert [len(part) for part in dataset.split(0.98, 0.01, 0.01)] == [1, 1, 1]
    assert [len(part) for part in dataset.split(0.4)] == [1]


@pytest.mark.parametrize("fractions", [(), (0.8, 0.3), (1.0, 0.0), (-0.5, 0.5)])
def test_split_by_impossible_fractions(fractions):
    frames, truths = frames_and_truths()
    with pytest.raises(BayescrError, match="expected positive numbers"):
        PatchDataset.from_frames(frames, truths).split(*fractions)


def test_split_of_too_few_exposures():
    frames, truths = frames_and_truths(1)
    with pytest.raises(BayescrError, match=r"1 exposure\(s\) cannot be split into 2 parts"):
        PatchDataset.from_frames(frames, truths).split(0.5, 0.5)


def test_from_npy_arrays_and_files_agree(tmp_path):
    frames, truths = frames_and_truths(3, (32, 32))
    ignore = np.zeros((3, 32, 32), np.uint8)
    ignore[0, 4, 4] = 1
    arrays = {"images": np.stack(frames), "targets": np.stack(truths), "ignore": ignore}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    held = PatchDataset.from_npy(**arrays)
    read = PatchDataset.from_npy(**{name: tmp_path / f"{name}.npy" for name in arrays})
    assert len(held) == len(set(held.exposures)) == 3
    assert not held[0]["valid"][0, 4, 4]
    assert held[0]["valid"].sum() == 32 * 32 - 1
    for one, other in zip(held, read, strict=True):
        assert one["exposure"] == other["exposure"]
        assert all(torch.equal(one[key], other[key]) for key in ("image", "target", "valid"))


def test_from_npy_with_exposures():
    images, targets = (np.stack(stack) for stack in frames_and_truths(4, (8, 8)))
    dataset = PatchDataset.from_npy(images, targets, exposures=["a", "a", "b", "b"])
    assert dataset.exposures == ["a", "a", "b", "b"]
    assert len(dataset.split(0.5, 0.5)[0]) == 2


def test_from_npy_never_unpickles(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BayescrError, match="cannot read images .*expected a .npy file"):
        PatchDataset.from_npy(tmp_path / "a.npy", np.zeros((1, 4, 4)))


def test_from_npy_of_unusable_arrays(tmp_path):
    with pytest.raises(BayescrError, match="cannot read images .*none.npy"):
        PatchDataset.from_npy(tmp_path / "none.npy", np.zeros((1, 4, 4)))
    with pytest.raises(BayescrError, match=r"images have shape \(4, 4\).*\(N, H, W\)"):
        PatchDataset.from_npy(np.zeros((4, 4)), np.zeros((1, 4, 4)))


SKY = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 20.0,
    "CRPIX2": 10.0, "CDELT1": -1e-4, "CDELT2": 1e-4, "CUNIT1": "deg", "CUNIT2": "deg",
}  # fmt: skip


def write_exposure(path, *, chips=1, field="gc", truth_shape=(40, 50), seed=0, compress=False):
    kind = fits.CompImageHDU if compress else fits.ImageHDU

    def image(pixels, *, name, ver):
        return kind(pixels, header=fits.Header({"EXTVER": ver}), name=name)

    rng = np.random.default_rng(seed)
    hdus = [fits.PrimaryHDU()]
    hdus[0].header["FIELD"] = field
    for version in range(1, chips + 1):
        science = image(rng.normal(50, 5, (40, 50)).astype(np.float32), name="SCI", ver=version)
        science.header.update(SKY, BUNIT="ELECTRONS")
        flags = np.zeros((40, 50), np.int16)
        flags[version, version] = 256
        truth = (rng.random(truth_shape) < 0.05).astype(np.uint8)
        hdus += [
            science,
            image(flags, name="DQ", ver=version),
            image(truth, name="CRMASK", ver=version),
        ]
    fits.HDUList(hdus).writeto(path)
    return path


def test_from_directory(tmp_path):
    write_exposure(tmp_path / "b-0.5.fits", field="eg", seed=1)
    write_exposure(tmp_path / "a.fits.gz", chips=2, seed=2)
    (tmp_path / "README.txt").write_text("not an exposure")
    dataset = PatchDataset.from_directory(tmp_path, patch=None)
    assert dataset.exposures == ["a", "a", "b-0.5"]
    assert dataset.fields == {"a": "gc", "b-0.5": "eg"}
    with fits.open(tmp_path / "a.fits.gz") as hdus:
        for item, version in zip(dataset, (1, 2), strict=False):
            truth = hdus["CRMASK", version].data.astype(np.float32)
            truth[version, version] = 0  # saturated
            np.testing.assert_array_equal(item["target"][0], truth)
            assert np.argwhere(~item["valid"][0].numpy()).tolist() == [[version, version]]
            scaled, _ = Scaling()(hdus["SCI", version].data, mask=hdus["DQ", version].data == 256)
            np.testing.assert_array_equal(item["image"], scaled)


@pytest.fixture
def archive(tmp_path):
    """Three files, four chips of (40, 50)."""
    write_exposure(tmp_path / "a.fits.gz", chips=2, seed=2)
    write_exposure(tmp_path / "b.fits", field="eg", seed=1)
    write_exposure(tmp_path / "c.fits.fz", seed=3, compress=True)
    return tmp_path


def assert_same_items(dataset, expected):
    assert len(dataset) == len(expected) > 0
    for one, other in zip(dataset, expected, strict=True):
        assert one["exposure"] == other["exposure"]
        for key in ("image", "target", "valid"):
            assert (one[key].dtype, one[key].shape) == (other[key].dtype, other[key].shape)
            assert torch.equal(one[key], other[key])


@pytest.mark.parametrize("patch", [None, 32, 64])
def test_frames_left_in_their_files_give_the_same_dataset(archive, patch):
    scaling = Scaling(softening=2.0)
    held = PatchDataset.from_directory(archive, patch=patch, scaling=scaling)
    stored = PatchDataset.from_directory(archive, patch=patch, scaling=scaling, in_memory=False)
    assert_same_items(stored, held)
    for name in ("exposures", "fields", "num_classes", "scaling", "patch", "augment"):
        assert getattr(stored, name) == getattr(held, name)
    assert torch.equal(stored.positive_fraction, held.positive_fraction)
    parts = (dataset.split(0.6, 0.4, seed=5) for dataset in (stored, held))
    for part, expected in zip(*parts, strict=True):
        assert_same_items(part, expected)
        assert part.fields == expected.fields
    torch.manual_seed(1)
    turned = list(stored.augmented())
    torch.manual_seed(1)
    assert_same_items(turned, held.augmented())
    assert_same_items(pickle.loads(pickle.dumps(stored)), held)  # as a loader's processes get it


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_raw_pixels_of_one_frame_at_a_time_are_in_memory(archive, monkeypatch, in_memory):
    read = []  # paths and weak references to the pixels, in the order of reading

    def watched(path, **options):
        assert not [ref for _, ref in read if ref() is not None], "the former frame is still held"
        frame = read_frame(path, **options)
        read.append((path.name, weakref.ref(frame.data)))
        return frame

    monkeypatch.setattr(native, "read_frame", watched)
    gc.disable()  # a frame in a cycle of references would be held until a collection
    try:
        dataset = PatchDataset.from_directory(archive, patch=32, in_memory=in_memory)
        assert not [ref for _, ref in read if ref() is not None]
        assert len(read) == (4 if in_memory else 0)
        read.clear()
        for index, item in enumerate(dataset):
            dataset.frame(index)
            assert item["image"].shape == (1, 32, 32)
        assert [name for name, _ in read] == ["a.fits.gz", "a.fits.gz", "b.fits", "c.fits.fz"]
        assert [ref() is not None for _, ref in read] == [False, False, False, True]
    finally:
        gc.enable()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_file_without_truth_is_told_at_once(archive, in_memory):
    fits.ImageHDU(np.ones((4, 4)), name="SCI").writeto(archive / "d.fits")
    with pytest.raises(BayescrError, match="no extension .*CRMASK.* in '.*d.fits'"):
        PatchDataset.from_directory(archive, in_memory=in_memory)


def test_a_broken_file_is_named_when_it_is_met(archive):
    def dataset():
        return PatchDataset.from_directory(archive, patch=None, in_memory=False)

    write_exposure(archive / "d.fits", truth_shape=(5, 5))
    assert dataset()[3]["exposure"] == "c"
    with pytest.raises(BayescrError, match=r"d.fits' has shape \(5, 5\) but its frame"):
        dataset()[4]
    with fits.open(archive / "b.fits", mode="update") as hdus:
        hdus["SCI"].data[:] = np.nan
    with pytest.raises(BayescrError, match=r"b.fits' has no usable pixel"):
        _ = dataset().positive_fraction
    made_before = dataset()
    (archive / "a.fits.gz").unlink()
    with pytest.raises(BayescrError, match=r"cannot read '.*a.fits.gz': there is no such file"):
        made_before[0]
    (archive / "c.fits.fz").unlink()
    planes = [fits.ImageHDU(np.eye(9), name=name) for name in ("SCI", "CRMASK")]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(archive / "c.fits.fz")
    with pytest.raises(BayescrError, match=r"c.fits.fz' has shape \(9, 9\) but had \(40, 50\)"):
        made_before[3]


@pytest.mark.parametrize("in_memory", [True, False])
def test_raw_pixels_of_a_folder(archive, in_memory):
    dataset = PatchDataset.from_directory(archive, patch=32, in_memory=in_memory)
    whole = read_frame(archive / "a.fits.gz", extension=("SCI", 2))
    for index, (top, left) in enumerate(itertools.product((0, 8), (0, 18)), start=4):
        window = np.s_[top : top + 32, left : left + 32]
        frame = dataset.frame(index)
        np.testing.assert_array_equal(frame.data, whole.data[window])
        np.testing.assert_array_equal(frame.mask, whole.mask[window])
        assert frame.unit == "electron"
        assert frame.header["FIELD"] == "gc"
        sky = whole.wcs.pixel_to_world_values(left + 3.0, top + 5.0)
        np.testing.assert_allclose(frame.wcs.pixel_to_world_values(3.0, 5.0), sky, rtol=1e-13)
    before = dataset.frame(4)
    assert before.mask[2, 2]
    assert before.mask.sum() == 1
    changed = dataset.frame(4)
    changed.data[:], changed.mask[:], changed.header["FIELD"] = 0.0, True, "none"
    again = dataset.frame(4)
    np.testing.assert_array_equal(again.data, before.data)
    np.testing.assert_array_equal(again.mask, before.mask)
    assert again.header["FIELD"] == "gc"


@pytest.mark.parametrize("in_memory", [True, False])
def test_scaling_the_raw_pixels_of_a_whole_frame_gives_its_item(archive, in_memory):
    dataset = PatchDataset.from_directory(archive, patch=None, in_memory=in_memory)
    for index, item in enumerate(dataset):
        image, valid = dataset.scaling(dataset.frame(index))
        np.testing.assert_array_equal(item["image"], image)
        np.testing.assert_array_equal(item["valid"], valid)


def test_raw_pixels_of_arrays_stay_as_they_came():
    frames, truths = frames_and_truths(2, (50, 70))
    counts = [np.round(frame).astype(np.uint16) for frame in frames]
    ignore = np.random.default_rng(1).random((2, 50, 70)) < 0.1
    for dataset in (
        PatchDataset.from_frames(counts, truths, ignore=list(ignore), patch=32),
        PatchDataset.from_npy(np.stack(counts), np.stack(truths), ignore=ignore, patch=32),
    ):
        frame = dataset.frame(-1)  # of the second frame, the last rows and columns
        assert (frame.unit, frame.data.dtype, frame.wcs) == ("adu", np.uint16, None)
        np.testing.assert_array_equal(frame.data, counts[1][18:, 38:])
        # What a neighbour counts is no pixel of the item's, and yet can be used.
        np.testing.assert_array_equal(frame.mask, ignore[1][18:, 38:])
        assert frame.mask.sum() < (~dataset[-1]["valid"]).sum()


@pytest.mark.parametrize("mask", [None, np.eye(40, 90, dtype=bool)])
def test_raw_pixels_of_a_frame_smaller_than_the_patch(mask):
    (pixels,), truths = frames_and_truths(1, (40, 90))
    pixels[7, 8] = np.nan
    error = StdDevUncertainty(np.sqrt(np.abs(pixels)))
    given = CCDData(pixels, unit="electron", mask=mask, uncertainty=error)
    dataset = PatchDataset.from_frames([given], truths, patch=128)
    frame = dataset.frame(0)
    assert frame.shape == (128, 128)
    np.testing.assert_array_equal(frame.data[:40, :90], pixels)
    np.testing.assert_array_equal(frame.data[40:, 90:], pixels[-1, -1])
    np.testing.assert_array_equal(frame.data[60, :90], pixels[-1])
    np.testing.assert_array_equal(frame.mask, ~dataset[0]["valid"][0])
    assert frame.mask[7, 8]
    assert isinstance(frame.uncertainty, StdDevUncertainty)
    np.testing.assert_array_equal(frame.uncertainty.array[:40, :90], error.array)
    assert frame.uncertainty.unit == "electron"


def test_one_uncertainty_for_all_pixels():
    frames, truths = frames_and_truths(1, (40, 90))
    given = CCDData(frames[0], unit="adu", uncertainty=StdDevUncertainty(3.0))
    frame = PatchDataset.from_frames([given], truths, patch=32).frame(0)
    np.testing.assert_array_equal(frame.uncertainty.array, np.full((32, 32), 3.0))


def test_augmented_items_have_no_raw_pixels():
    frames, truths = frames_and_truths(1)
    with pytest.raises(BayescrError, match=r"frame\(\) of an augmented dataset"):
        PatchDataset.from_frames(frames, truths).augmented().frame(0)


def test_from_directory_of_unusable_folders(tmp_path):
    with pytest.raises(BayescrError, match="expected a folder"):
        PatchDataset.from_directory(tmp_path / "none")
    with pytest.raises(BayescrError, match="no FITS file"):
        PatchDataset.from_directory(tmp_path)
    write_exposure(tmp_path / "odd.fits", truth_shape=(5, 5))
    with pytest.raises(BayescrError, match=r"odd.fits' has shape \(5, 5\) but its frame"):
        PatchDataset.from_directory(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truths": [np.zeros((5, 5))] * 2}, r"exposure 'exposure-0' has shape \(5, 5\)"),
        ({"truths": [np.full((20, 30), 4096)] * 2}, "values other than 0 and 1"),
        ({"truths": [np.zeros((20, 30))]}, "2 frames but 1 truths"),
        ({"truths": [np.zeros((20, 30)), np.zeros((2, 20, 30))]}, "number of classes"),
        ({"ignore": [np.zeros((20, 30))]}, "2 frames but 1 ignore"),
        ({"ignore": [np.zeros((9, 9))] * 2}, "exposure 'exposure-0': mask has shape"),
        ({"exposures": ["a"]}, "2 frames but 1 exposures"),
        ({"fields": {"x": "gc"}}, "fields name exposure 'x'"),
        ({"patch": 0}, "patch is 0"),
        ({"patch": 32.0}, "patch is 32.0"),
        ({"frames": [np.full((20, 30), np.nan)] * 2}, "exposure 'exposure-0': .*no valid pixel"),
        ({"frames": [], "truths": []}, "no frames were given"),
    ],
)
def test_input_that_does_not_fit_together(change, message):
    frames, truths = frames_and_truths(2, (20, 30))
    arguments = {"frames": frames, "truths": truths} | change
    with pytest.raises(BayescrError, match=message) as caught:
        PatchDataset.from_frames(**arguments)
    assert "\n" not in str(caught.value)
