"""A check passes where all is as it was, and else says what is not."""

import json

import pytest
import torch

from bayescr.errors import BayescrError
from bayescr.experiments import check, checking, compare
from bayescr.experiments.checking import _compare


def times(folder):
    """When each file was written, the lock apart."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: path.stat().st_mtime_ns for path in paths}


def test_all_is_as_it_was(finished):
    before = times(finished)
    verdict = check(finished, device="cpu")
    assert verdict.differences == ()
    assert verdict.versions == ()
    assert verdict.agreeing == sum(
        path.suffix in {".csv", ".md", ".json", ".tex", ".parquet"}
        for path in (finished / "report").rglob("*")
    ) - 1  # hardware.json  # fmt: skip
    assert times(finished) == before


def test_a_number_that_was_changed_is_named(finished):
    path = finished / "report" / "tables" / "table.csv"
    lines = path.read_text().splitlines(keepends=True)
    column = lines[0].split(",").index("NLL")
    cells = lines[2].split(",")
    cells[column] = "0.5"
    path.write_text("".join([*lines[:2], ",".join(cells), *lines[3:]]))
    (found,) = check(finished, device="cpu").differences
    start = f"tables/table.csv: row 2 ({cells[0]}, all), column 'NLL' is '0.5', again it is "
    assert found.startswith(start)


def test_a_table_that_is_missing_or_new_is_named(finished):
    (finished / "report" / "tables" / "hits.csv").unlink()
    (finished / "report" / "tables" / "mine.csv").write_text("a\n")
    assert check(finished, device="cpu").differences == (
        "tables/hits.csv: missing in the report",
        "tables/mine.csv: only in the report",
    )


def test_a_fit_that_was_changed_is_named(finished):
    path = next((finished / "runs").glob("mean-field-0-*/posterior.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    (found,) = check(finished, device="cpu").differences
    assert f"{path.parent}' is not as it was made: posterior.safetensors: changed" in found


def test_another_version_is_no_difference(finished):
    path = finished / "report" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["versions"]["bayescr"] = "0.0.9"
    path.write_text(json.dumps(manifest))
    verdict = check(finished, device="cpu")
    assert verdict.differences == ()
    assert len(verdict.versions) == 1
    assert verdict.versions[0].startswith("versions.bayescr is '0.0.9', again it is ")


def test_the_users_frames_are_looked_at(write, finished, tmp_path):
    folders = {path.name.split("-")[0]: path for path in (finished / "frames").iterdir()}
    for name, folder in folders.items():
        (folder / "frames.json").unlink()
        folder.rename(tmp_path / name)
    text = write().read_text()
    start, end = text.index("[data.simulate]"), text.index("[model]")
    data = f'[data]\ntrain = "train"\ntest = "{tmp_path / "test"}"\n'
    file = tmp_path / "folders.toml"
    file.write_text(text[:start] + data + text[end:].replace("[arms.mean", "[arms.mf"))
    compare(file, tmp_path / "own", device="cpu")
    assert check(tmp_path / "own", device="cpu").differences == ()
    manifest = (tmp_path / "own" / "report" / "manifest.json").read_text()
    assert json.loads(manifest)["context"]["experiment"]["data"]["test"] == "test"
    assert str(tmp_path) not in manifest

    one, other = sorted((tmp_path / "test").iterdir())
    one.write_bytes(other.read_bytes())
    other.unlink()
    assert check(tmp_path / "own", device="cpu").differences == (
        f"test data: {one}: changed",
        f"test data: {other}: is missing",
    )


def test_the_threads_are_those_of_the_comparison(finished, monkeypatch):
    """Sums of float32 differ with their number, and so would the tables."""
    path = finished / "experiment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "threads": 2}))
    seen = []
    evaluate_runs = checking.evaluate_runs
    monkeypatch.setattr(
        checking, "evaluate_runs",
        lambda *args, **kwargs: seen.append(torch.get_num_threads())
        or evaluate_runs(*args, **kwargs),
    )  # fmt: skip
    check(finished, device="cpu")
    assert seen == [2]
    assert torch.get_num_threads() == 1


def test_other_settings_are_named(finished):
    path = finished / "experiment.toml"
    path.write_text(path.read_text().replace("num_samples = 2", "num_samples = 3"))
    assert check(finished, device="cpu").differences == (
        "experiment.toml: evaluation.num_samples is 2, again it is 3",
    )


def test_a_folder_of_no_experiment(tmp_path):
    with pytest.raises(BayescrError, match="holds no finished experiment"):
        check(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_differences_of_all_kinds(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    pairs = {
        "a.md": ("one\ntwo\n", "one\n2\n"),
        "b.csv": ("x,y\n1,2\n", "x,y\n1,2\n3,4\n"),
        "c.csv": ("x,y\n1,2\n", "x,z\n1,2\n"),
        "d.json": ('{"a": {"b": [1, 1]}}', '{"a": {"b": [1, 2]}}'),
        "e.tex": ("same", "same"),
        "f.csv": ("x\n" + "1\n" * 9, "x\n" + "2\n" * 9),
        "hardware.json": ("1", "2"),
        "picture.png": ("1", "2"),
    }
    for name, (before, now) in pairs.items():
        (old / name).write_text(before)
        (new / name).write_text(now)
    (old / "g.parquet").write_bytes(b"\xff\x00")
    (new / "g.parquet").write_bytes(b"\xff\x01")
    verdict = _compare(old, new)
    assert verdict.agreeing == 1
    assert verdict.differences == (
        "a.md: line 2 is 'two', again it is '2'",
        "b.csv: row 2 (3, 4) is missing",
        "c.csv: columns x, y were x, z",
        "d.json: a.b[1] is 1, again it is 2",
        *(f"f.csv: row {i} (1), column 'x' is '1', again it is '2'" for i in range(1, 6)),
        "f.csv: and 4 more",
        "g.parquet: other bytes",
    )
