import itertools

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.nddata import CCDData
from torch.utils.data import DataLoader

from bayescr.data import PatchDataset, Scaling
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


def write_exposure(path, *, chips=1, field="gc", truth_shape=(40, 50), seed=0):
    rng = np.random.default_rng(seed)
    hdus = [fits.PrimaryHDU()]
    hdus[0].header["FIELD"] = field
    for version in range(1, chips + 1):
        science = fits.ImageHDU(
            rng.normal(50, 5, (40, 50)).astype(np.float32), name="SCI", ver=version
        )
        science.header["BUNIT"] = "ELECTRONS"
        flags = np.zeros((40, 50), np.int16)
        flags[version, version] = 256
        truth = (rng.random(truth_shape) < 0.05).astype(np.uint8)
        hdus += [
            science,
            fits.ImageHDU(flags, name="DQ", ver=version),
            fits.ImageHDU(truth, name="CRMASK", ver=version),
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
