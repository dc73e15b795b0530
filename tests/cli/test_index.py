"""An index in the place of a folder: ``bayescr train`` and ``bayescr evaluate``."""

import json

import pytest

from bayescr.data import make_index, write_index

QUICK = ["--width", 2, "--patch", 32, "--epochs", 1, "--precision", "float32"]


@pytest.fixture
def index(frames, tmp_path):
    """The three frames, one in each split."""
    table = make_index(frames).assign(split=["train", "validation", "test"])
    write_index(table, tmp_path / "index.csv")
    return table


def exposures(folder):
    from bayescr.inference import Posterior

    provenance = Posterior.load(folder).provenance
    return provenance["train_exposures"], provenance["validation_exposures"]


def test_the_splits_of_an_index_are_trained_and_evaluated_on(bayescr, index, tmp_path):
    path, model = tmp_path / "index.csv", tmp_path / "model"
    trained = bayescr("train", "--data", path, "-o", model, *QUICK)
    assert trained.exit_code == 0, trained.output
    names = index["exposure"].tolist()
    assert exposures(model) == ([names[0]], [names[1]])
    result = bayescr(
        "evaluate", "--data", path, "--validation", path, "--model", model, "--bootstrap", 0,
        "--samples", 2, "-o", tmp_path / "report",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "scores on training data" not in result.stderr
    assert names[2] in (tmp_path / "report" / "manifest.json").read_text()
    assert names[0] not in json.dumps(
        json.loads((tmp_path / "report" / "manifest.json").read_text()).get("exposures", "")
    )


def test_without_a_validation_split_a_share_is_taken(bayescr, index, tmp_path):
    write_index(index.assign(split="train"), tmp_path / "all.parquet")
    model = tmp_path / "model"
    options = ["train", "--data", tmp_path / "all.parquet", "-o", model, *QUICK]
    result = bayescr(*options, "--validation", 0.3)
    assert result.exit_code == 0, result.output
    train, validation = exposures(model)
    assert (len(train), len(validation)) == (2, 1)
    assert bayescr(*options, "--validation", 0, "--overwrite").exit_code == 0
    assert exposures(model) == (sorted(index["exposure"]), [])


def test_an_index_that_leaks_or_lacks(fails, index, posterior, tmp_path):
    leaky = index.assign(exposure="one", split=["train", "test", ""])
    write_index(leaky, tmp_path / "leaky.csv")
    write_index(index.assign(split=""), tmp_path / "none.csv")
    for command in (["train"], ["evaluate", "--model", posterior]):
        for name, says in [
            ("gone.csv", "there is no such file"),
            ("leaky.csv", "the splits leak: exposure 'one' is in the splits 'test' and 'train'"),
            ("none.csv", "nothing in any split"),
        ]:
            fails(*command, "--data", tmp_path / name, "-o", tmp_path / "x", says=says)
