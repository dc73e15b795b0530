"""Simulated parts are made once, whole, and never shared; folders are the user's."""

import pytest

from bayescr.data import Scaling
from bayescr.errors import BayescrError
from bayescr.experiments.config import Data, Shifted, Simulated
from bayescr.experiments.frames import find_parts
from bayescr.experiments.preparation import check_apart

SIMULATED = Simulated(
    fields=("ex",), size=64, train=2, validation=1, test=1, shifted=Shifted(field="gc", frames=1)
)


def parts_of(simulated, output):
    return find_parts(Data(simulate=simulated), beside=output, output=output)


@pytest.fixture
def made(tmp_path):
    parts = parts_of(SIMULATED, tmp_path)
    for part in parts.values():
        part.make(show=False)
    return parts


def test_no_exposure_is_in_two_parts(made, tmp_path):
    hashes = {name: part.hashes() for name, part in made.items()}
    assert {name: len(files) for name, files in hashes.items()} == {
        "train": 2, "validation": 1, "test": 1, "shifted": 1,
    }  # fmt: skip
    names = [name for files in hashes.values() for name in files]
    assert len(set(names)) == len(names)
    check_apart(hashes)


def test_an_exposure_in_two_parts_is_found_under_another_name(made):
    hashes = {name: part.hashes() for name, part in made.items()}
    ((digest, *_),) = [list(hashes["train"].values())]
    hashes["test"]["renamed.fits"] = digest
    with pytest.raises(BayescrError, match=r"of train is 'renamed.fits' of test.*too good"):
        check_apart(hashes)


def test_seeds_and_sizes_have_folders_of_their_own(tmp_path):
    seen = set()
    for simulated in (
        SIMULATED,
        Simulated(fields=("ex",), size=64, train=2, validation=1, test=1, seed=1),
        Simulated(fields=("ex",), size=65, train=2, validation=1, test=1),
        Simulated(fields=("ex", "gc"), size=64, train=2, validation=1, test=1),
    ):
        seen |= {part.folder for part in parts_of(simulated, tmp_path).values()}
    assert len(seen) == 4 * 3 + 1


def test_what_was_interrupted_is_made_again_with_the_same_bytes(made):
    train = made["train"]
    before = train.hashes()
    (train.folder / "frames.json").unlink()
    sorted(train.folder.glob("*.fits"))[0].write_bytes(b"half")
    assert not train.is_there
    train.make(show=False)
    assert train.is_there
    assert train.hashes() == before


def test_frames_are_made_once(made, monkeypatch):
    monkeypatch.setattr("bayescr.experiments.frames.simulate", None)  # calling it would raise
    made["train"].make(show=False)


def test_simulated_frames_that_were_changed_are_refused(made):
    (path,) = made["test"].folder.glob("*.fits")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BayescrError, match=rf"not as they were made: {path.name}: changed; del"):
        made["test"].hashes()


def test_whole_frames_stay_in_their_files(made):
    """Patches are needed again and again, in any order; frames once, one after the other."""
    train = made["train"]
    patches = train.dataset(patch=32, scaling=Scaling())
    whole = train.dataset(patch=None, scaling=Scaling())
    for path in train.files():
        path.unlink()
    assert patches[0]["image"].shape == (1, 32, 32)
    with pytest.raises(BayescrError, match="cannot read"):
        whole[0]


def test_folders_are_beside_the_experiment(tmp_path):
    parts = find_parts(Data(train="a", test="/b"), beside=tmp_path, output=tmp_path / "out")
    assert {name: str(part.folder) for name, part in parts.items()} == {
        "train": str(tmp_path / "a"), "test": "/b",
    }  # fmt: skip
    with pytest.raises(BayescrError, match=r"no train data: '.*/a' is not a folder"):
        parts["train"].hashes()
    (tmp_path / "a").mkdir()
    with pytest.raises(BayescrError, match="no train data: no FITS file"):
        parts["train"].hashes()
