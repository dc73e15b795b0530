"""Augmentations in a dataset: what they see, what they give, and that they repeat."""

import dataclasses
import logging

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.nddata import CCDData
from torch.utils.data import DataLoader

from bayescr.data import (
    Augmentation,
    Broadening,
    ExposureTime,
    ExtraTracks,
    LabelledImage,
    PatchDataset,
    Scaling,
    SkyLevel,
    Symmetry,
    sky_and_noise,
    write_labelled,
)
from bayescr.errors import BayescrError

KEYS = ("image", "target", "valid")


def image(seed=0, *, shape=(64, 80), charge=True, unit="electron", **header):
    rng = np.random.default_rng(seed)
    hits = np.where(rng.random(shape) < 0.02, rng.exponential(800.0, shape), 0.0)
    data = rng.poisson(60.0, shape) + 4.0 * rng.normal(size=shape) + hits
    mask = rng.random(shape) < 0.03
    frame = CCDData(
        data.astype(np.float32), unit=unit, mask=mask, meta=fits.Header({"READNSE": 4.0, **header})
    )
    return LabelledImage(
        frame=frame,
        truth=hits > 20.0,
        exposure=f"e{seed}",
        reliable=rng.random(shape) < 0.9,
        charge=hits.astype(np.float32) if charge else None,
    )


@dataclasses.dataclass
class Watch:
    """A step that changes nothing and keeps what it was given."""

    def __post_init__(self):
        self.seen = []

    def __call__(self, patch, generator):
        self.seen.append(patch)
        return patch


@pytest.mark.parametrize("patch", [32, 50, 128, None])
def test_without_a_change_an_item_is_the_plain_one(patch):
    images = [image(0), image(1)]
    plain = PatchDataset.from_labelled(images, patch=patch)
    same = plain.augmented(Augmentation(steps=()))
    for one, other in zip(same, plain, strict=True):
        for key in ("target", "valid"):
            assert torch.equal(one[key], other[key])
        torch.testing.assert_close(one["image"], other["image"], rtol=0, atol=2e-6)
        assert all((one[key].dtype, one[key].shape) == (other[key].dtype, other[key].shape)
                   for key in KEYS)  # fmt: skip
        assert not one["image"][(other["image"] == 0) & ~other["valid"]].any()


def test_a_step_sees_electrons_charge_and_noise(tmp_path):
    given = image(0)
    write_labelled([given], tmp_path)
    watch = Watch()
    for dataset in (
        PatchDataset.from_labelled([given], patch=None),
        PatchDataset.from_directory(tmp_path, patch=None),
        PatchDataset.from_directory(tmp_path, patch=None, in_memory=False),
    ):
        _ = dataset.augmented(Augmentation(steps=(watch,)))[0]
    for patch in watch.seen:
        usable = ~given.frame.mask
        np.testing.assert_array_equal(patch.usable, usable)
        np.testing.assert_array_equal(patch.valid, usable & given.reliable)
        # float32 input: an error of 1e-6 in asinh is 1e-6 of a pixel and its distance to the sky
        np.testing.assert_allclose(patch.data[usable], given.frame.data[usable], rtol=4e-6)
        np.testing.assert_array_equal(patch.charge, given.charge)
        assert patch.noise == pytest.approx(np.sqrt(60 + 16), rel=0.03)
        assert (patch.read_noise, patch.in_electrons, patch.exposure) == (4.0, True, "e0")
    assert len(watch.seen) == 3


def test_the_charge_of_a_frame_smaller_than_the_patch_is_extended():
    watch = Watch()
    dataset = PatchDataset.from_labelled([image(0)], patch=128)
    _ = dataset.augmented(Augmentation(steps=(watch,)))[0]
    assert watch.seen[0].charge.shape == (128, 128)
    np.testing.assert_array_equal(watch.seen[0].charge[:64, :80], image(0).charge)


@pytest.mark.parametrize(
    ("header", "setting", "threshold"),
    [({}, None, 2.0), ({"CRTHRESH": 3.0}, None, 3.0), ({"CRTHRESH": 3.0}, 5.0, 5.0)],
)
def test_the_threshold_is_that_of_the_truth(header, setting, threshold):
    watch = Watch()
    dataset = PatchDataset.from_labelled([image(0, **header)], patch=None)
    _ = dataset.augmented(Augmentation(steps=(watch,), threshold=setting))[0]
    assert watch.seen[0].threshold == threshold


def test_undecided_may_be_nothing():
    """As for `inject`: all that holds charge below the threshold is then not valid."""
    watch, given = Watch(), image(0)
    dataset = PatchDataset.from_labelled([given], patch=None)
    steps = (SkyLevel(factor=(1.0, 1.0)), watch)
    _ = dataset.augmented(Augmentation(steps=steps, undecided=0))[0]
    patch = watch.seen[0]
    noise = np.sqrt(patch.noise**2 + np.maximum(patch.scene - patch.sky, 0.0))
    doubtful = (patch.charge > 0) & (patch.charge <= 2 * noise)
    assert doubtful.any()
    assert not patch.valid[doubtful].any()


@pytest.mark.parametrize(
    ("header", "setting", "undecided"),
    [({}, None, None), ({"CRUNDEC": 0.5}, None, 0.5), ({"CRUNDEC": 0.0}, None, 0.0),
     ({"CRUNDEC": 0.5}, 0.7, 0.7), ({"CRUNDEC": "?"}, None, None)],
)  # fmt: skip
def test_what_is_undecided_is_that_of_the_truth(header, setting, undecided):
    watch = Watch()
    dataset = PatchDataset.from_labelled([image(0, **header)], patch=None)
    _ = dataset.augmented(Augmentation(steps=(watch,), undecided=setting))[0]
    assert watch.seen[0].undecided == undecided


@pytest.mark.parametrize("step", [SkyLevel(factor=(2.0, 2.0)), ExposureTime(share=(0.2, 0.2))])
@pytest.mark.parametrize("side", [32, None])
def test_among_unresolved_stars_the_sky_is_where_the_scaling_finds_it(step, side):
    """The mode moves from the sky to the stars as these sink into the noise."""
    rng = np.random.default_rng(2)
    shape = (256, 256)
    # Stars that make a level for each patch, so that no patch by itself tells what the frame does.
    stars = np.kron(rng.exponential(20.0, (8, 8)), np.ones((32, 32)))
    data = rng.poisson(60.0 + stars) + 4.0 * rng.normal(size=shape)
    frame = CCDData(data.astype(np.float32), unit="electron", meta=fits.Header({"READNSE": 4.0}))
    none = np.zeros(shape)
    dataset = PatchDataset.from_frames(
        [frame], [none], charges=[none], patch=side, augment=Augmentation(steps=(step,), seed=1)
    )
    dataset.set_epoch(0)
    significance = [Scaling().significance(item["image"][0].numpy()) for item in dataset]
    sky, noise = sky_and_noise(np.vstack(significance))
    assert abs(sky) < 0.1  # 0.25 and more where it is left to the steps
    assert noise == pytest.approx(1.0, abs=0.1)


def test_scaling_an_augmented_frame_is_augmenting_its_scaling():
    """What a step says of sky and noise is what the scaling would measure on the result."""
    rng = np.random.default_rng(0)
    frame = CCDData(
        (rng.poisson(60.0, (512, 512)) + 4.0 * rng.normal(size=(512, 512))).astype(np.float32),
        unit="electron", meta=fits.Header({"READNSE": 4.0}),
    )  # fmt: skip
    none = np.zeros((512, 512))
    for step in (SkyLevel(factor=(3.0, 3.0)), ExposureTime(share=(0.2, 0.2))):
        watch = Watch()
        (item,) = PatchDataset.from_frames(
            [frame], [none], charges=[none], patch=None, augment=Augmentation(steps=(step, watch))
        )
        measured, _ = Scaling()(watch.seen[0].data)
        # 1% is the sampling error of sky and noise at 2^18 pixels, several times over.
        np.testing.assert_allclose(item["image"], measured, rtol=0.01, atol=0.01)


@pytest.fixture
def dataset():
    tracks = tuple(image(seed, shape=(5, 9)) for seed in range(3))  # all that has a charge will do
    steps = (Symmetry(), SkyLevel(), ExposureTime(), ExtraTracks(tracks=tracks, number=1.0))
    return PatchDataset.from_labelled([image(0), image(1)], patch=16).augmented(
        Augmentation(steps=steps, seed=7)
    )


def bytes_of(batches):
    return [batch[key].numpy().tobytes() for batch in batches for key in KEYS]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # where there are few cores
@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_patches_whatever_the_number_of_workers(dataset, workers):
    dataset.set_epoch(4)
    expected = bytes_of(DataLoader(dataset, batch_size=8))
    torch.manual_seed(99)  # nothing of it enters
    assert bytes_of(DataLoader(dataset, batch_size=8, num_workers=workers)) == expected


def test_patches_depend_on_seed_epoch_and_index_alone(dataset):
    dataset.set_epoch(0)
    first = [dataset[index] for index in range(len(dataset))]
    backwards = [dataset[index] for index in reversed(range(len(dataset)))][::-1]
    assert bytes_of(first) == bytes_of(backwards)
    assert torch.equal(dataset[-1]["image"], first[-1]["image"])
    dataset.set_epoch(1)
    assert not torch.equal(dataset[0]["image"], first[0]["image"])
    other = dataset.augmented(dataclasses.replace(dataset.augmentation, seed=8))
    other.set_epoch(0)
    assert not torch.equal(other[0]["image"], first[0]["image"])
    twin = dataset.augmented(dataset.augmentation)
    twin.set_epoch(0)
    assert torch.equal(twin[0]["image"], first[0]["image"])


def test_every_item_draws_for_itself():
    watch = Watch()
    dataset = PatchDataset.from_labelled([image(0)], patch=16).augmented(
        Augmentation(steps=(SkyLevel(), watch))
    )
    dataset.set_epoch(0)
    items = list(dataset)
    assert len({patch.sky for patch in watch.seen}) == len(items)


def test_what_the_network_must_not_see_stays_hidden():
    dataset = PatchDataset.from_labelled([image(0)], patch=None)
    (item,) = dataset.augmented(Augmentation(steps=(SkyLevel(factor=(2.0, 2.0)),)))
    hidden = torch.from_numpy(image(0).frame.mask)[None]
    assert not item["image"][hidden].any()
    assert item["image"][~hidden].count_nonzero() > 0.99 * (~hidden).sum()


def test_before_an_epoch_is_set_torch_decides(dataset):
    torch.manual_seed(3)
    one, other = dataset[0], dataset[0]
    assert not torch.equal(one["image"], other["image"])
    torch.manual_seed(3)
    assert torch.equal(dataset[0]["image"], one["image"])
    with pytest.raises(BayescrError, match="epoch is -1: expected a whole number from 0"):
        dataset.set_epoch(-1)


def test_parts_of_an_augmented_dataset_are_augmented_alike(dataset):
    (part, _) = dataset.split(0.5, 0.5)
    assert part.augment
    assert part.augmentation is dataset.augmentation
    with pytest.raises(BayescrError, match=r"frame\(\) of an augmented dataset"):
        part.frame(0)
    plain = PatchDataset.from_labelled([image(0)], augment=True)
    assert plain.augment is True
    assert plain.augmentation is None


def test_the_switch_gives_plain_items_back(dataset):
    dataset.augment = False
    plain = PatchDataset.from_labelled([image(0), image(1)], patch=16)
    assert bytes_of([dataset[3]]) == bytes_of([plain[3]])


@pytest.mark.parametrize(
    ("given", "step", "message"),
    [
        (image(charge=False), ExposureTime(), "ExposureTime of exposure 'e0' needs the charge"),
        (image(charge=False), SkyLevel(), "SkyLevel of exposure 'e0' needs the charge"),
        (image(unit="adu"), SkyLevel(), "SkyLevel of exposure 'e0' needs electrons"),
        (image(unit="adu"), ExposureTime(), "ExposureTime of exposure 'e0' needs electrons"),
        (image(unit="adu"), Broadening(), "Broadening of exposure 'e0' needs electrons"),
        (image(READNSE="?"), ExposureTime(), "needs the read noise, but its header has no READNSE"),
    ],
)
def test_a_step_that_lacks_what_it_needs_is_refused_or_skipped(given, step, message, caplog):
    plain = PatchDataset.from_labelled([given], patch=16)
    with pytest.raises(BayescrError, match=message):
        _ = plain.augmented(Augmentation(steps=(step,)))[0]
    with caplog.at_level(logging.INFO, logger="bayescr.data"):
        item = plain.augmented(Augmentation(steps=(step,), missing="skip"))[0]
    torch.testing.assert_close(item["image"], plain[0]["image"], rtol=0, atol=2e-6)
    assert message.split(" needs")[0] in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"missing": "ignore"}, "unknown Augmentation missing 'ignore'"),
        ({"steps": [Symmetry()]}, "expected a tuple of steps"),
        ({"steps": (3,)}, "expected a tuple of steps"),
        ({"seed": -1}, "seed is -1"),
        ({"threshold": 0}, "threshold is 0"),
        ({"threshold": 2, "undecided": 3.0}, "undecided is 3.0: .* from 0 to the threshold, 2"),
        ({"undecided": -0.1}, "undecided is -0.1: expected a number from 0 to the threshold"),
        ({"undecided": "0"}, "undecided is '0': expected a number"),
    ],
)
def test_augmentations_that_cannot_be(settings, message):
    with pytest.raises(BayescrError, match=message):
        Augmentation(**settings)
