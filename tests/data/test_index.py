import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from bayescr.data import (
    LabelledImage,
    PatchDataset,
    make_index,
    read_index,
    write_index,
    write_labelled,
)
from bayescr.data import index as module
from bayescr.data.index import COLUMNS
from bayescr.errors import BayescrError


def image(exposure, *, seed=0, shape=(12, 16), **header):
    rng = np.random.default_rng(seed)
    frame = CCDData(
        rng.normal(100, 5, shape).astype(np.float32), unit="electron", meta=fits.Header(header)
    )
    return LabelledImage(frame=frame, truth=rng.random(shape) < 0.1, exposure=exposure)


@pytest.fixture
def archive(tmp_path):
    """Two exposures of bayescr's own, one of two chips, a pair and a patch."""
    folder = tmp_path / "archive"
    acs = {"INSTRUME": "ACS", "FILTER1": "CLEAR1L", "FILTER2": "F814W", "EXPTIME": 500.0}
    chips = [image("0012", seed=k, FIELD="47 Tuc", **acs) for k in (1, 2)]
    write_labelled([*chips, image("b", seed=3, FILTER="V", FIELD="")], folder / "own")
    write_labelled([image("c", seed=4)], folder / "pairs", format="pairs")
    write_labelled([image("d", seed=5)], folder / "10595" / "2", format="deepcr")
    return folder


def test_a_row_for_every_image_from_its_header(archive):
    index = make_index(archive)
    assert tuple(index) == COLUMNS
    assert index["exposure"].tolist() == ["10595_2", "0012", "0012", "b", "c"]
    assert index["extension"].tolist() == ["0", "SCI,1", "SCI,2", "SCI,1", "1"]
    assert index["format"].tolist() == ["deepcr", "fits", "fits", "fits", "pairs"]
    assert index["field"].tolist() == ["", "47 Tuc", "47 Tuc", "", ""]
    assert index["filter"].tolist() == ["", "F814W", "F814W", "V", ""]
    assert index["instrument"][1] == "ACS"
    assert index["exposure_time"].tolist()[1:3] == [500.0, 500.0]
    assert np.isnan(index["exposure_time"][0])
    assert set(index["split"]) == {""}
    assert len(make_index(archive, format="deepcr")) == 1


@pytest.mark.parametrize("name", ["index.csv", "index.parquet", "elsewhere/index.csv"])
def test_an_index_comes_back_and_its_folder_may_move(archive, tmp_path, name):
    index = make_index(archive).assign(split="train", note="mine")
    write_index(index, archive / name)
    again = read_index(archive / name)
    pd.testing.assert_frame_equal(again, index)  # names of digits stay names
    moved = archive.rename(tmp_path / "moved")
    paths = read_index(moved / name)["path"]
    assert all(path.startswith(str(moved)) for path in paths)
    assert len(PatchDataset.from_index(moved / name)) == 5
    with pytest.raises(BayescrError, match="exists already"):
        write_index(index, moved / name)


def test_names_of_digits_stay_names(archive):
    """Were they read as numbers, '0012' would become 12."""
    index = make_index(archive / "own" / "0012.fits").assign(field="0047", split="")
    write_index(index, archive / "digits.csv")
    again = read_index(archive / "digits.csv")
    assert again["exposure"].tolist() == ["0012", "0012"]
    assert again["field"].tolist() == ["0047", "0047"]
    assert again["split"].tolist() == ["", ""]


def test_paths_in_the_file_are_relative_with_slashes(archive):
    write_index(make_index(archive), archive / "index.csv")
    stored = pd.read_csv(archive / "index.csv", dtype=str, keep_default_na=False)["path"]
    assert stored.tolist()[:2] == ["10595/2/1_d.npy", "own/0012.fits"]


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_dataset_of_all_formats(archive, in_memory):
    dataset = PatchDataset.from_index(make_index(archive), patch=None, in_memory=in_memory)
    assert dataset.exposures == ["10595_2", "0012", "0012", "b", "c"]
    assert dataset.fields == {"0012": "47 Tuc"}
    expected = PatchDataset.from_labelled(
        [image("", seed=k) for k in (5, 1, 2, 3, 4)], patch=None
    )  # fmt: skip
    for item, other in zip(dataset, expected, strict=True):
        assert all(item[key].equal(other[key]) for key in ("image", "target", "valid"))
    np.testing.assert_array_equal(dataset.frame(4).data, image("", seed=4).frame.data)


def test_an_index_may_be_filtered_and_renamed(archive):
    index = make_index(archive)
    index["exposure"] = [f"night-{k}" for k in range(len(index))]
    dataset = PatchDataset.from_index(index[index["format"] == "fits"], patch=None)
    assert dataset.exposures == ["night-1", "night-2", "night-3"]


def test_splits_are_read_by_name(archive):
    index = make_index(archive)
    index["split"] = ["", "train", "train", "test", "mine"]
    assert set(PatchDataset.from_index(index, split="train").exposures) == {"0012"}
    assert PatchDataset.from_index(index, split="mine").exposures == ["c"]
    with pytest.raises(BayescrError, match="unknown split 'tests': did you mean 'test'"):
        PatchDataset.from_index(index, split="tests")
    with pytest.raises(BayescrError, match="nothing in any split"):
        PatchDataset.from_index(make_index(archive), split="train")


def test_a_table_of_images_and_masks_is_an_index(tmp_path):
    """What the table leaves out, the files say."""
    rng = np.random.default_rng(0)
    (tmp_path / "masks").mkdir()
    for name in "ab":
        fits.PrimaryHDU(rng.normal(9, 1, (8, 8))).writeto(tmp_path / f"{name}.fits")
        fits.PrimaryHDU(np.eye(8) * (name == "a")).writeto(tmp_path / "masks" / f"{name}_cr.fits")
    rows = "".join(f"{name}.fits,masks/{name}_cr.fits,ngc1\n" for name in "ab")
    (tmp_path / "table.csv").write_text("path,mask,field\n" + rows)
    index = read_index(tmp_path / "table.csv")
    assert index["format"].tolist() == ["pairs", "pairs"]
    assert index["exposure"].tolist() == ["a", "b"]
    dataset = PatchDataset.from_index(index, patch=None)
    assert [int(item["target"].sum()) for item in dataset] == [8, 0]
    assert dataset.fields == {"a": "ngc1", "b": "ngc1"}


def test_a_row_without_an_extension_is_all_of_its_file(archive):
    (archive / "short.csv").write_text("path,split\nown/0012.fits,train\n")
    index = read_index(archive / "short.csv")
    assert index["extension"].tolist() == ["SCI,1", "SCI,2"]
    assert index["split"].tolist() == ["train", "train"]


@pytest.mark.parametrize("spelled", ["SCI,2", "sci,2", " SCI , 2", "4"])
def test_an_extension_in_any_spelling(archive, spelled):
    """All that `read_frame` takes; the index has the one that `make_index` writes."""
    (archive / "short.csv").write_text(f'path,extension,note\nown/0012.fits,"{spelled}",mine\n')
    index = read_index(archive / "short.csv")
    assert index["extension"].tolist() == ["SCI,2"]
    assert index["note"].tolist() == ["mine"]
    assert len(PatchDataset.from_index(index, patch=None)) == 1


def test_no_row_of_an_index_is_dropped(archive):
    rows = ['own/0012.fits,"SCI,1"', "own/b.fits,SCI", "own/b.fits,1", "pairs/c.fits,1"]
    (archive / "short.csv").write_text("path,extension\n" + "\n".join(rows) + "\n")
    index = read_index(archive / "short.csv")
    assert index["exposure"].tolist() == ["0012", "b", "b", "c"]
    assert index["extension"].tolist() == ["SCI,1", "SCI,1", "SCI,1", "1"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('own/0012.fits,"SCI,3"', r"no extension 'SCI,3' in .*0012.fits"),
        ("own/0012.fits,DQ", r"no image 'DQ' in .*0012.fits': expected one of 'SCI,1', 'SCI,2'"),
        ("own/0012.fits,7.5", r"no extension '7.5' in .*0012.fits"),
        ("10595/2/1_d.npy,SCI", r"no image 'SCI' in .*1_d.npy': expected one of '0'"),
    ],
)
def test_an_extension_that_is_no_image(archive, row, message):
    (archive / "short.csv").write_text(f"path,extension\nown/b.fits,\n{row}\n")
    with pytest.raises(BayescrError, match=message):
        read_index(archive / "short.csv")


def test_an_index_without_a_row_or_a_path(archive):
    (archive / "none.csv").write_text("path,split\n")
    with pytest.raises(BayescrError, match=r"'.*none.csv' has no row: expected one for each image"):
        read_index(archive / "none.csv")
    (archive / "blank.csv").write_text("path,split\nown/b.fits,train\n ,train\n")
    with pytest.raises(BayescrError, match=r"row 2 of '.*blank.csv' has no path: name its file"):
        read_index(archive / "blank.csv")
    index = make_index(archive / "own")
    with pytest.raises(BayescrError, match="the index has no row"):
        PatchDataset.from_index(index[:0])
    index.loc[1, "path"] = None
    with pytest.raises(BayescrError, match="row 2 of the index has no path"):
        PatchDataset.from_index(index)


@pytest.mark.parametrize("suffix", [".FITS", ".fit", ".fts", ".Fit.gz", ".fits.gz", ".fits.fz"])
def test_files_of_any_suffix(tmp_path, suffix):
    write_labelled([image("a", FIELD="n1")], tmp_path / f"a{suffix}")
    assert make_index(tmp_path)["exposure"].tolist() == ["a"]
    assert PatchDataset.from_directory(tmp_path).exposures == ["a"]


@pytest.mark.parametrize(
    ("frame", "mask"),
    [("a.FIT", "a_mask.FIT"), ("a.fts", "a_mask.fits.gz"), ("a.Fts", "a_mask.Fts")],
)
def test_pairs_of_any_suffix(tmp_path, frame, mask):
    fits.PrimaryHDU(np.random.default_rng(0).normal(9, 1, (8, 8))).writeto(tmp_path / frame)
    fits.PrimaryHDU(np.eye(8)).writeto(tmp_path / mask)
    index = make_index(tmp_path)
    assert index["exposure"].tolist() == ["a"]
    assert index["format"].tolist() == ["pairs"]


def test_files_that_are_no_index(tmp_path, archive, monkeypatch):
    (tmp_path / "a.csv").write_text("file\nx.fits\n")
    (tmp_path / "b.csv").write_text("")
    (tmp_path / "c.csv").write_text("path,exposure_time\nx,long\n")
    (tmp_path / "d.parquet").write_text("not parquet")
    for name, message in [
        ("a.csv", "has no column 'path'"),
        ("b.csv", "as an index"),
        ("d.parquet", "as an index"),
        ("none.csv", "there is no such file"),
        ("a.txt", "expected one in .csv or .parquet"),
    ]:
        with pytest.raises(BayescrError, match=message) as caught:
            read_index(tmp_path / name)
        assert "\n" not in str(caught.value)
    header = ",".join(COLUMNS)
    (tmp_path / "c.csv").write_text(f"{header}\nx,0,a,,,long,,,,,fits,\n")
    with pytest.raises(BayescrError, match="exposure_time in .* is no number"):
        read_index(tmp_path / "c.csv")
    index = make_index(archive / "own").replace("SCI,2", "SCI,9")
    with pytest.raises(BayescrError, match=r"no image 'SCI,9' in .*0012.fits"):
        PatchDataset.from_index(index)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BayescrError, match="needs pyarrow, which is not installed"):
        write_index(make_index(archive), tmp_path / "i.parquet")


def test_what_a_table_does_not_say_is_empty(archive):
    """Cells that pandas calls missing, a column mask that is not there, a row without its image."""
    index = make_index(archive).astype({"split": object})
    index["split"] = ["train", None, None, "train", float("nan")]
    dataset = PatchDataset.from_index(index.drop(columns="mask"), split="train", patch=None)
    assert dataset.exposures == ["10595_2", "b"]
    write_index(index, archive / "index.parquet")
    assert read_index(archive / "index.parquet")["split"].tolist() == ["train", "", "", "train", ""]
    index.loc[1, ["extension", "exposure"]] = ""
    write_index(index[1:2], archive / "index.csv")
    assert read_index(archive / "index.csv")["extension"].tolist() == ["SCI,1", "SCI,2"]
    with pytest.raises(BayescrError, match="the index has no column 'split'"):
        PatchDataset.from_index(index.drop(columns="split"))


def test_a_folder_without_truth(tmp_path):
    with pytest.raises(BayescrError, match="no image in"):
        make_index(tmp_path)
    fits.PrimaryHDU(np.ones((4, 4))).writeto(tmp_path / "a.fits")
    with pytest.raises(BayescrError, match="has no truth"):
        make_index(tmp_path)
