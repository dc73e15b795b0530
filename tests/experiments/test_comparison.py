"""Fits are kept, an interrupted comparison goes on, and two come to the same bytes."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bayescr.errors import BayescrError
from bayescr.experiments import check, compare, plan
from bayescr.experiments.lock import locked
from bayescr.inference import Posterior

TABLES = {".csv", ".md", ".json", ".tex"}


def contents(folder, suffixes):
    """Bytes of files by path, without the hardware."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in suffixes and path.name != "hardware.json"
    }


def states(file, output):
    return {step.what: step.state for step in plan(file, output, device="cpu")}


def no_fit(*args, **kwargs):
    raise AssertionError("nothing is to be trained")


def test_what_it_leaves_behind(finished, said):
    table = pd.read_csv(finished / "report" / "report.csv")
    assert {"base rate", "MAP", "MAP, temperature-scaled", "mean-field"} <= set(table["predictor"])
    runs = {folder.name.rsplit("-", 1)[0]: folder for folder in (finished / "runs").iterdir()}
    assert set(runs) == {"MAP-0", "MAP-1", "mean-field-0", "mean-field-1"}
    for folder in runs.values():
        assert {path.name for path in folder.iterdir()} == {
            "posterior.safetensors", "history.csv", "arm.json",
        }  # fmt: skip
    kept = json.loads((runs["mean-field-1"] / "arm.json").read_text())
    assert (kept["arm"], kept["seed"], kept["decided_by"]["epochs"]) == ("mean-field", 1, 1)
    assert Posterior.load(runs["mean-field-1"]).name == "mean-field"
    assert "Tiny." in (finished / "report" / "report.md").read_text()
    assert [line.split(":")[0] for line in said] == [
        "simulate train frames", "simulate validation frames", "simulate test frames",
        "1/4 train MAP, seed 0", "2/4 train MAP, seed 1",
        "3/4 train mean-field, seed 0", "4/4 train mean-field, seed 1",
        "evaluate 2 arm(s) of 2 seed(s)",
    ]  # fmt: skip


def test_nothing_in_the_report_says_where_it_is(finished):
    for name, data in contents(finished / "report", {*TABLES, ".html", ".nc"}).items():
        assert b"/tmp" not in data, name
        assert str(finished.parent).encode() not in data, name


def test_another_folder_comes_to_the_same_bytes(write, finished, tmp_path):
    compare(write(), tmp_path / "elsewhere", device="cpu")
    suffixes = {*TABLES, ".html", ".parquet", ".safetensors", ".fits"}
    assert contents(tmp_path / "elsewhere", suffixes) == contents(finished, suffixes)


def test_fits_are_kept(write, finished, monkeypatch):
    monkeypatch.setattr("bayescr.experiments.runs.fit", no_fit)
    before = contents(finished, {*TABLES, ".safetensors"})
    said = []
    compare(write(), finished, device="cpu", say=said.append)
    assert sum("/4 cached " in line for line in said) == 4
    assert contents(finished, {*TABLES, ".safetensors"}) == before


def test_a_changed_arm_is_trained_anew_and_the_old_one_stays(write, finished, monkeypatch):
    file = write(('guide = "mean-field"', 'guide = "mean-field"\nlearning_rate = 0.001'))
    told = states(file, finished)
    assert told == {
        "train frames": "cached", "validation frames": "cached", "test frames": "cached",
        "MAP, seed 0": "cached", "MAP, seed 1": "cached",
        "mean-field, seed 0": "train", "mean-field, seed 1": "train",
        **{path.name: "unused" for path in (finished / "runs").glob("mean-field-*")},
    }  # fmt: skip
    said = []
    compare(file, finished, device="cpu", say=said.append)
    assert sum("/4 train " in line for line in said) == 2
    assert sum(line.startswith("unused: ") for line in said) == 2
    assert len(list((finished / "runs").iterdir())) == 6
    assert states(write(), finished)["mean-field, seed 0"] == "cached"


_KILLED = """
import os, signal, sys, torch
from bayescr.experiments import _fingerprint, compare, runs

torch.set_num_threads(1)
hashes, calls = _fingerprint.of_files, []

def killed_in_the_second_fit(paths):
    paths = list(paths)
    if any(path.name == "posterior.safetensors" for path in paths):
        calls.append(paths)
        if len(calls) == 2:
            paths[0].write_bytes(paths[0].read_bytes()[:1000])  # half of it
            os.kill(os.getpid(), signal.SIGKILL)
    return hashes(paths)

_fingerprint.of_files = killed_in_the_second_fit
compare(sys.argv[1], sys.argv[2], device="cpu")
"""


@pytest.mark.slow
def test_a_killed_comparison_goes_on_to_the_same_bytes(write, finished, tmp_path):
    file, output = write(), tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(file), str(output)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [states(file, output)[f"{arm}, seed {seed}"]
            for arm in ("MAP", "mean-field") for seed in (0, 1)] == [
        "cached", "train", "train", "train",
    ]  # fmt: skip
    assert not (output / "report").exists()
    with pytest.raises(BayescrError, match="holds no finished experiment"):
        check(output)
    first = next((output / "runs").glob("MAP-0-*/posterior.safetensors"))
    written = first.stat().st_mtime_ns
    compare(file, output, device="cpu")  # the lock went with the process
    assert first.stat().st_mtime_ns == written
    suffixes = {*TABLES, ".safetensors"}
    assert contents(output, suffixes) == contents(finished, suffixes)


def test_one_at_a_time(write, finished):
    with locked(finished):
        for act in (lambda: compare(write(), finished), lambda: check(finished)):
            with pytest.raises(BayescrError, match=r"another comparison is at work.*\(process \d"):
                act()
    with locked(finished):
        pass


def test_data_that_are_not_there_are_missed_before_anything_is_made(write, tmp_path):
    text = write().read_text()
    file = tmp_path / "folders.toml"
    data = '[data]\ntrain = "train"\ntest = "test"\n'
    file.write_text(text[: text.index("[data.")] + data + text[text.index("[model]") :])
    for act in (plan, compare):
        with pytest.raises(BayescrError, match=f"no train data: '{tmp_path}/train' is not a fol"):
            act(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_plan_touches_nothing(write, tmp_path):
    told = states(write(), tmp_path / "out")
    assert set(told.values()) == {"simulate", "train"}
    assert not (tmp_path / "out").exists()


def test_a_report_that_is_not_ours_is_left_alone(write, tmp_path):
    (tmp_path / "out" / "report").mkdir(parents=True)
    with pytest.raises(BayescrError, match="is of no experiment: choose another folder"):
        compare(write(), tmp_path / "out")


OWN = """
from __future__ import annotations

from dataclasses import dataclass
import numpy as np
import pyro.distributions as dist
from bayescr.evaluation import Metric, Statistic

@dataclass(frozen=True, kw_only=True)
class Laplace:
    scale: float = 1.0
    def __call__(self, name, parameter):
        return dist.Laplace(0.0, self.scale).expand(parameter.shape).to_event(parameter.dim())

class Bright:
    name = "bright"
    is_probability = False
    provenance = {}
    def score(self, frame):
        return np.asarray(frame.data, np.float32) - 1000.0

flagged = Metric(
    name="flagged", better=None, statistic=Statistic(of=lambda f: np.array([(f.z > 0.0).sum()])),
    compute=lambda total: float(total[0]),
)
"""


def test_the_users_own_prior_metric_and_method_are_loaded_again(
    write, finished, tmp_path, monkeypatch
):
    own = tmp_path / "own.py"
    own.write_text(OWN)
    prior = 'guide = "mean-field"\nprior = {name = "own.py:Laplace", scale = 2.0}'
    file = write(
        ('guide = "mean-field"', prior),
        ("num_samples = 2", 'num_samples = 2\nmetrics = ["own.py:flagged"]'),
        ("[0, 1]", "[0]"),
        more='[classical]\nbrightest = "own.py:Bright"',
    )
    report = compare(file, finished, device="cpu")
    assert "flagged" in report.table
    assert "brightest" in set(report.table["predictor"])
    own.unlink()
    monkeypatch.setattr("bayescr.experiments.runs.fit", no_fit)
    assert check(finished, device="cpu").differences == ()
    (copy,) = (finished / "code").rglob("own.py")
    copy.write_text(OWN + "\n# changed")
    assert check(finished, device="cpu").differences == (
        f"code: {copy}, the copy of own.py, was changed",
    )


def test_other_calibrations_have_rows(write, finished):
    file = write(
        ("num_samples = 2", 'num_samples = 2\nrecalibrate = ["isotonic"]'), ("[0, 1]", "[0]")
    )
    report = compare(file, finished, device="cpu")
    names = set(report.table["predictor"])
    assert {"MAP, temperature-scaled", "MAP, isotonic"} <= names
    assert not any(name.startswith("mean-field, ") for name in names)


@pytest.mark.slow
def test_quick(tmp_path):
    """The example that a newcomer runs, and its check; a minute or two."""
    example = Path(__file__).resolve().parents[2] / "experiments" / "quick.toml"
    table = compare(example, tmp_path, device="cpu").table
    rows = table[table["field"] == "all"].set_index("predictor")
    for name in ("MAP", "mean-field", "MC-dropout"):
        assert rows.loc[name, "Brier skill"] > 0.3
    assert check(tmp_path, device="cpu").differences == ()
