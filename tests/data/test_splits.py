"""Splits of an index, and every leak that `check_splits` is to find, planted."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from bayescr.data import (
    LabelledImage,
    PatchDataset,
    assign_splits,
    check_splits,
    make_index,
    read_frame,
    read_index,
    read_labelled,
    write_labelled,
)
from bayescr.data import _identity as identity
from bayescr.data._wcs import footprints_overlap, near
from bayescr.data.splits import leaks
from bayescr.errors import BayescrError
from bayescr.injection import Track, TrackCatalogue, inject, write_injected
from bayescr.simulation import simulate


def image(exposure, *, seed, field="", ra=None, shape=(12, 16)):
    rng = np.random.default_rng(seed)
    wcs = None
    if ra is not None:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [ra, 60.0]
        wcs.wcs.crpix, wcs.wcs.cdelt = [8.5, 6.5], [-1e-3, 1e-3]
    frame = CCDData(
        rng.normal(100, 5, shape).astype(np.float32), unit="electron", wcs=wcs,
        meta=fits.Header({"FIELD": field} if field else {}),
    )  # fmt: skip
    return LabelledImage(frame=frame, truth=rng.random(shape) < 0.1, exposure=exposure)


@pytest.fixture
def index(tmp_path):
    """Twelve exposures of four fields, a tenth of a degree apart."""
    images = [image(f"e{k:02d}", seed=k, field=f"f{k // 3}", ra=10.0 + 0.1 * k) for k in range(12)]
    write_labelled(images, tmp_path / "frames")
    return make_index(tmp_path / "frames")


def splits_of(index, column):
    return {name: set(group[column]) for name, group in index.groupby("split") if name}


@pytest.mark.parametrize("seed", range(3))
def test_by_exposure_every_field_is_spread(index, seed):
    split = assign_splits(index, train=0.5, validation=0.25, test=0.25, seed=seed)
    parts = splits_of(split, "exposure")
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 6, "validation": 3, "test": 3,
    }  # fmt: skip
    assert sum(map(len, parts.values())) == 12
    assert splits_of(split, "field")["train"] == {"f0", "f1", "f2", "f3"}
    assert check_splits(split) == []
    assert set(index["split"]) == {""}  # the given one stays


@pytest.mark.parametrize("seed", range(3))
def test_by_field_no_field_is_in_two(index, seed):
    split = assign_splits(index, train=0.5, validation=0.25, test=0.25, by="field", seed=seed)
    parts = splits_of(split, "field")
    assert sorted(map(len, parts.values())) == [1, 1, 2]
    assert not parts["train"] & parts["test"]
    assert check_splits(split, by="field") == []


def test_splits_follow_the_seed_and_leave_out_what_they_should(index):
    one = assign_splits(index, train=0.25, validation=0, test=0.25, seed=1)
    assert one.equals(assign_splits(index, train=0.25, validation=0, test=0.25, seed=1))
    others = [assign_splits(index, train=0.25, validation=0, test=0.25, seed=s) for s in range(4)]
    assert any(not one.equals(other) for other in others)
    assert one["split"].value_counts().to_dict() == {"": 6, "train": 3, "test": 3}


def test_by_field_every_field_is_known(index):
    """Were each exposure without one a field of its own, exposures of one sky would be torn."""
    lost = index.assign(field=["f"] * 10 + [""] * 2, split="train")
    for go in (assign_splits, check_splits):
        with pytest.raises(BayescrError, match=r"no field is known of '.*e10.fits', '.*e11.fits':"):
            go(lost, by="field")
    with pytest.raises(BayescrError, match="no field is known of .*e04.fits' and 7 more: fill"):
        assign_splits(index.assign(field=""), by="field")
    assert check_splits(lost.assign(split=["train"] * 10 + [""] * 2), by="field") == []


@pytest.fixture
def copies(tmp_path):
    """Four skies, three copies of each with other tracks, and the first sky itself."""
    images = [image("sky0", seed=99)]
    for k in range(12):
        one = image(f"sky{k // 3}_{k % 3:04d}", seed=k)
        one.frame.header["SKY"] = f"sky{k // 3}.fits.gz"
        images.append(one)
    write_labelled(images, tmp_path / "painted")
    return tmp_path / "painted"


@pytest.mark.parametrize("by", ["exposure", "field"])
@pytest.mark.parametrize("seed", range(4))
def test_copies_of_a_sky_stay_together(copies, seed, by):
    index = make_index(copies).assign(field=[f"f{k}" for k in range(13)])
    assert index["sky"].tolist() == ["", *(f"sky{k // 3}" for k in range(12))]
    split = assign_splits(index, train=0.5, validation=0.25, test=0.25, by=by, seed=seed)
    parts = splits_of(split, "sky")
    assert sorted(len(part - {""}) for part in parts.values()) == [1, 1, 2]
    assert split["split"][0] == split["split"][1]  # the sky itself goes with its copies
    assert check_splits(split, by=by) == []


def test_a_sky_in_two_splits(copies):
    index = make_index(copies)
    leaky = index.assign(split=["train"] * 6 + ["test"] * 7)
    assert_one_leak(leaky, "sky 'sky1' is in the splits 'test' and 'train'")
    with pytest.raises(BayescrError, match="the splits leak: sky 'sky1'"):
        PatchDataset.from_index(leaky, split="train")
    own = index.assign(split=["test"] + ["train"] * 12)
    assert_one_leak(own, "sky 'sky0' is in the splits")
    plain = leaky.drop(columns="sky")  # of before: nothing is known of skies
    assert check_splits(plain) == []


@pytest.mark.parametrize("source", ["directory", "index", "labelled"])
def test_parts_of_a_dataset_share_no_sky(copies, source):
    dataset = {
        "directory": lambda: PatchDataset.from_directory(copies, patch=None),
        "index": lambda: PatchDataset.from_index(make_index(copies), patch=None),
        "labelled": lambda: PatchDataset.from_labelled(read_labelled(copies), patch=None),
    }[source]()
    for seed in range(3):
        one, other = dataset.split(0.5, 0.5, seed=seed)
        skies = [{name.partition("_")[0] for name in part.exposures} for part in (one, other)]
        assert len(one) + len(other) == 13
        assert not skies[0] & skies[1]
        again, third = one.split(0.5, 0.5, seed=seed)  # parts of parts know them, too
        assert {n[:4] for n in again.exposures}.isdisjoint(n[:4] for n in third.exposures)


@pytest.mark.parametrize(
    ("card", "sky"), [(120.5, ""), (" ", ""), ("ngc.1", "ngc.1"), ("ngc.1.FIT.gz", "ngc.1")]
)
def test_a_sky_is_named_by_a_file_or_an_exposure(tmp_path, card, sky):
    """Elsewhere SKY is a level."""
    one = image("e", seed=0)
    one.frame.header["SKY"] = card
    write_labelled([one], tmp_path)
    assert make_index(tmp_path)["sky"].tolist() == [sky]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "feild"}, "unknown way to split, by 'feild': did you mean 'field'"),
        ({"train": 0.9, "test": 0.9}, "sum of at most 1"),
        ({"train": -0.1}, "expected positive numbers"),
    ],
)
def test_splits_that_cannot_be(index, settings, message):
    with pytest.raises(BayescrError, match=message):
        assign_splits(index, **settings)
    with pytest.raises(BayescrError, match=r"2 exposure\(s\) cannot be split into 3 parts"):
        assign_splits(index[:2])


@pytest.fixture
def clean(index):
    split = assign_splits(index, train=0.5, validation=0.25, test=0.25, seed=0)
    assert check_splits(split) == []
    return split


def rows(index, split):
    return index.index[index["split"] == split]


def assert_one_leak(index, *words, by="exposure"):
    found = [line for line in check_splits(index, by=by) if line.startswith("leak: ")]
    assert len(found) == 1, found
    for word in words:
        assert word in found[0]
    return found[0]


def test_an_exposure_in_two_splits(clean):
    leaky = clean.copy()
    row = rows(leaky, "test")[0]
    leaky.loc[row, "exposure"] = leaky.loc[rows(leaky, "train")[0], "exposure"]
    assert_one_leak(leaky, "exposure", "'test' and 'train'")
    with pytest.raises(BayescrError, match="the splits leak: exposure 'e"):
        PatchDataset.from_index(leaky, split="train")


def test_an_image_in_two_splits_is_told_once(clean):
    again = clean.loc[rows(clean, "train")[:1]].assign(split="test")
    assert_one_leak(pd.concat([clean, again]), "exposure 'e")


def test_a_file_under_two_names(clean, tmp_path):
    train, test = rows(clean, "train")[0], rows(clean, "test")[0]
    shutil.copy(clean.loc[train, "path"], clean.loc[test, "path"])
    assert_one_leak(clean, "hold the same bytes")
    with pytest.raises(BayescrError, match="the splits leak: .*the same bytes"):
        PatchDataset.from_index(clean, split="test")


def test_a_file_that_is_gone(clean):
    Path(clean.loc[0, "path"]).unlink()
    with pytest.raises(BayescrError, match="e00.fits' of the index is not there"):
        PatchDataset.from_index(clean, split="train")


def test_files_that_agree_in_part_only_are_not_the_same(clean, monkeypatch):
    monkeypatch.setattr(identity, "_PIECE", 16)  # too little to tell them apart
    assert leaks(clean) == []


def test_pixels_under_two_headers(clean):
    train, test = rows(clean, "train")[0], rows(clean, "test")[0]
    with fits.open(clean.loc[train, "path"]) as hdus:
        hdus[0].header["OBSERVER"] = "somebody"
        hdus.writeto(clean.loc[test, "path"], overwrite=True)
    found = [line for line in check_splits(clean) if line.startswith("leak: ")]
    assert len(found) == 1
    assert "hold the same pixels" in found[0]


def test_pixels_in_another_format(clean, tmp_path):
    (copied,) = read_labelled(clean.loc[rows(clean, "train")[0], "path"])
    write_labelled([copied], tmp_path / "p" / "q", format="deepcr")
    other = make_index(tmp_path / "p").assign(split="test")
    assert_one_leak(pd.concat([clean, other]), "hold the same pixels")


def test_a_field_in_two_splits(clean):
    assert len(check_splits(clean)) == 0
    found = [line for line in check_splits(clean, by="field") if line.startswith("leak: field")]
    assert len(found) == 4
    with pytest.raises(BayescrError, match="the splits leak: field 'f"):
        PatchDataset.from_index(clean, split="train", by="field")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Four frames each of two kinds of field."""
    folder = tmp_path_factory.mktemp("simulated")
    for kind in ("dark", "globular-cluster"):
        simulate(folder, kind, frames=4, size=32, seed=1)
    return folder


def test_a_simulated_frame_is_a_field_of_its_kind(simulated, tmp_path):
    """Were the kind the field, all globular clusters would go into one split."""
    index = make_index(simulated)
    kinds = ["dark"] * 4 + ["globular-cluster"] * 4
    assert index["kind"].tolist() == kinds
    assert index["field"].nunique() == 8
    for seed in range(3):
        split = assign_splits(index, train=0.5, validation=0.25, test=0.25, by="field", seed=seed)
        counts = split.groupby(["split", "kind"]).size()
        assert counts.to_dict() == {
            (name, kind): count
            for name, count in (("test", 1), ("train", 2), ("validation", 1))
            for kind in set(kinds)
        }
        assert check_splits(split, by="field") == []
    dataset = PatchDataset.from_index(index, patch=None)
    assert list(dataset.fields.values()) == kinds  # as from the folder itself
    assert dataset.fields == PatchDataset.from_directory(simulated, patch=None).fields
    write_labelled(read_labelled(simulated), tmp_path / "again")
    assert make_index(tmp_path / "again")["field"].tolist() == index["field"].tolist()


def test_simulated_frames_of_one_seed_show_one_sky(tmp_path):
    for threshold in (1.0, 3.0):
        options = {"frames": 1, "size": 32, "seed": 4, "threshold": threshold}
        simulate(tmp_path / f"t{threshold:g}", "gc", **options)
    index = make_index(tmp_path).assign(exposure=["a", "b"], split=["train", "test"])
    assert index["field"].nunique() == 1
    leaky = [line for line in check_splits(index, by="field") if line.startswith("leak: field")]
    assert len(leaky) == 1


def test_tracks_in_a_simulated_sky_leave_it_its_field(simulated, tmp_path):
    sky = sorted(simulated.iterdir())[-1]
    stamp = Track(np.full((2, 3), 900.0, np.float32))
    catalogue = TrackCatalogue(
        tracks=(stamp,), exposure_time=1.0, pixels=1, pixel_size=1.0, name="one"
    )
    frame = read_frame(sky)
    for name, seed in (("once", 5), ("twice", 6)):
        painted = inject(frame, catalogue, number=2, seed=seed)
        write_injected(painted, tmp_path / f"{name}.fits")
        frame = read_frame(tmp_path / f"{name}.fits")
    columns = ["field", "kind"]
    expected = make_index(sky)[columns].iloc[0].tolist()
    assert make_index(tmp_path)[columns].to_numpy().tolist() == [expected] * 2
    real = shutil.copy(sky, tmp_path)
    fits.setval(real, "ORIGIN", value="telescope")  # a real sky keeps the name of its field
    write_injected(inject(read_frame(real), catalogue, number=2, seed=5), tmp_path / "real.fits")
    row = make_index(tmp_path / "real.fits").iloc[0]
    assert (row["field"], row["kind"]) == ("globular-cluster", "")


def test_a_stated_field_is_what_reports_group_by(simulated, tmp_path):
    """An index of before, or somebody's own table, says a field and knows of no kind."""
    rows = "".join(f"{path},{path.name[0]}\n" for path in sorted(simulated.iterdir()))
    (tmp_path / "own.csv").write_text("path,field\n" + rows)
    index = read_index(tmp_path / "own.csv")
    assert set(index["kind"]) == {""}
    assert set(PatchDataset.from_index(index, patch=None).fields.values()) == {"d", "g"}


def test_overlapping_sky_is_a_warning(tmp_path):
    """e0 and e2 share a corner's worth of sky, e1 lies elsewhere."""
    images = [image(f"e{k}", seed=k, ra=ra) for k, ra in enumerate([10.0, 50.0, 10.01])]
    write_labelled(images, tmp_path)
    index = make_index(tmp_path).assign(split=["train", "train", "test"])
    (line,) = check_splits(index)
    assert line.startswith("warning: 1 pair(s) of images in 'test' and 'train' show the same sky")
    assert "e0.fits" in line
    assert "e2.fits" in line
    assert len(PatchDataset.from_index(index, split="train", patch=None)) == 2  # no error
    index["split"] = ["train", "test", "train"]
    assert check_splits(index) == []


def square(ra, dec, side):
    """Corners of a small square on the sky, as unit vectors; all in degrees."""
    centre = np.radians([ra, dec])
    half = np.radians(side) / 2
    corners = [(a, d) for a, d in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    ra = np.array([centre[0] + a * half / np.cos(centre[1]) for a, _ in corners])
    dec = np.array([centre[1] + d * half for _, d in corners])
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


@pytest.mark.parametrize("dec", [0.0, 60.0, -85.0])
@pytest.mark.parametrize(
    ("offset", "overlap"), [(0.0, True), (0.9, True), (1.1, False), (90.0, False), (180.0, False)]
)
def test_footprints_against_squares(dec, offset, overlap):
    side = 0.1
    one, other = square(359.99, dec, side), square(359.99, dec, side)
    angle = np.radians(offset * side) if offset < 90 else np.radians(offset)
    turn = angle / np.cos(np.radians(dec)) if offset < 90 else angle
    rotation = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    other = other @ rotation.T
    assert footprints_overlap(one, other) == footprints_overlap(other, one) == overlap
    if overlap:
        assert [list(found) for found in near([one, other])] == [[0], [1]]


def test_a_footprint_within_another_overlaps_it():
    assert footprints_overlap(square(10, 20, 1.0), square(10.2, 20.1, 0.1))
    # A cross: no corner of one lies in the other.
    wide, tall = square(10, 0, 1.0), square(10, 0, 1.0)
    wide[:, 2] *= 0.1
    tall[:, 1] = tall[:, 1].mean() + 0.1 * (tall[:, 1] - tall[:, 1].mean())
    assert footprints_overlap(wide, tall)


def test_a_side_of_either_may_separate_them():
    """A diamond off the corner of a square: no side of the square has all of it outside."""

    def on_sky(corners):
        ra, dec = np.radians(np.array(corners)).T
        return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)

    def diamond(centre, half):
        steps = ((-1, 0), (0, 1), (1, 0), (0, -1))
        return on_sky([(centre + half * x, centre + half * y) for x, y in steps])

    box = on_sky([(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)])
    for other, overlap in ((diamond(0.8, 0.5), False), (diamond(0.8, 0.65), True)):
        assert footprints_overlap(box, other) == footprints_overlap(other, box) == overlap
