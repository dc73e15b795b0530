"""Fits are kept, an interrupted comparison goes on, and two come to the same bytes."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayescr.errors import BayescrError
from bayescr.experiments import check, compare, plan
from bayescr.experiments._fingerprint import of_files
from bayescr.experiments.assessment import row_names
from bayescr.experiments.lock import locked
from bayescr.experiments.preparation import prepare
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
    table = pd.read_csv(finished / "report" / "tables" / "table.csv")
    rows = table[table["field"] == "all"]
    assert dict(zip(rows["predictor"], rows["seeds"], strict=True)) == {
        "base rate": 1, "MAP": 2, "MAP, temperature-scaled": 2, "MAP, ensemble of 2": 1,
        "mean-field": 2,
    }  # fmt: skip
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


def test_the_rows_are_known_before_the_work(finished):
    prepared = prepare(finished / "experiment.toml", finished, device="cpu")
    names = row_names(prepared.experiment, points={"MAP"}, has_validation=True, code=prepared.code)
    table = pd.read_csv(finished / "report" / "tables" / "table.csv")
    assert names == dict(zip(table["predictor"], table["seeds"], strict=True))


def test_the_manifest_has_the_experiment(finished):
    context = json.loads((finished / "report" / "manifest.json").read_text())["context"]
    assert context["experiment"]["arms"]["mean-field"]["guide"] == "mean-field"
    assert context["experiment"]["seeds"] == [0, 1]
    for part, files in context["data"].items():
        (folder,) = (finished / "frames").glob(f"{part}-*")
        assert files == of_files(folder.glob("*.fits"))
    kept = sorted(path.name for path in (finished / "runs").iterdir())
    assert sorted(sum(context["fits"].values(), [])) == kept
    assert context["code"] == {}


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
        return np.log(np.maximum(frame.data, 1.0) / 1000.0).astype(np.float32)

class Dark(Bright):
    def score(self, frame):
        return -super().score(frame)

class Halved:
    def fit(self, counts):
        return self
    def __call__(self, logit):
        return np.asarray(logit, np.float64) / 2.0
    def describe(self):
        return {"method": "halved"}

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


OWN_PRIOR = """
import pyro.distributions as dist

def prior(name, parameter):
    return dist.Normal(0.0, 0.3).expand(parameter.shape).to_event(parameter.dim())
"""


def test_what_is_edited_meanwhile_counts_the_next_time(write, finished, tmp_path):
    """A fit under the hash of what it was not made with would be taken for it ever after."""
    own = tmp_path / "own.py"
    own.write_text(OWN_PRIOR)
    file = write(
        ('guide = "mean-field"', 'guide = "mean-field"\nprior = "own.py:prior"'),
        ("num_samples = 2", "num_samples = 1"),
    )
    shutil.copytree(finished, tmp_path / "undisturbed")
    compare(file, tmp_path / "undisturbed", device="cpu")

    source, lines = file.read_bytes(), []

    def edit(line):
        lines.append(line)
        if "mean-field, seed 0" in line:
            own.write_text(OWN_PRIOR.replace("0.3", "3.0"))
            file.write_text(file.read_text().replace("Tiny", "Other"))

    compare(file, finished, device="cpu", say=edit)
    assert any("/4 train mean-field, seed 1" in line for line in lines)
    assert contents(finished / "runs", {".safetensors"}) == contents(
        tmp_path / "undisturbed" / "runs", {".safetensors"}
    )
    assert (finished / "experiment.toml").read_bytes() == source
    (copy,) = (finished / "code").rglob("own.py")
    assert copy.read_text() == OWN_PRIOR
    context = json.loads((finished / "report" / "manifest.json").read_text())["context"]
    assert context["code"] == {
        copy.relative_to(finished).as_posix(): hashlib.sha256(OWN_PRIOR.encode()).hexdigest()
    }
    assert check(finished, device="cpu").differences == ()
    assert states(file, finished)["mean-field, seed 0"] == "train"


def test_every_row_may_be_recalibrated(write, finished, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    file = write(
        ("[0, 1]", "[0]"),
        ("num_samples = 2", 'num_samples = 2\nreference = "brightest, Platt-scaled"'),
        more='[evaluation.recalibrate]\nMAP = ["isotonic"]\nmean-field = ["temperature"]\n'
        'brightest = ["platt", "own.py:Halved"]\n[classical]\nbrightest = "own.py:Bright"',
    )
    report = compare(file, finished, device="cpu")
    rows = report.table[report.table["field"] == "all"].set_index("predictor")
    assert list(rows.index) == [
        "base rate", "MAP", "MAP, temperature-scaled", "MAP, isotonic",
        "mean-field", "mean-field, temperature-scaled",
        "brightest", "brightest, Platt-scaled", "brightest, recalibrated",
    ]  # fmt: skip
    assert report.reference == "brightest, Platt-scaled"
    assert np.isnan(rows.loc["brightest", "NLL"])  # a score that only ranks
    assert np.isfinite(rows.loc["brightest, Platt-scaled", "NLL"])
    # The same ranking, but for scores that are near enough to be counted as one.
    auroc = rows["AUROC"]
    assert auroc["brightest, Platt-scaled"] == pytest.approx(auroc["brightest"], abs=1e-3)
    (tmp_path / "own.py").unlink()
    assert check(finished, device="cpu").differences == ()


def test_a_calibrator_that_cannot_be_fitted_costs_its_row_only(write, finished, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    settings = 'num_samples = 2\nreference = "dark, Platt-scaled"\nrecalibrate = {dark = ["platt"]}'
    file = write(
        ("[0, 1]", "[0]"),
        ("num_samples = 2", settings),
        more='[classical]\ndark = "own.py:Dark"',
    )
    report = compare(file, finished, device="cpu")
    assert "dark" in set(report.table["predictor"])
    assert "dark, Platt-scaled" not in set(report.table["predictor"])
    assert report.reference == "MAP, temperature-scaled"
    reason = report.manifest["skipped"]["dark, Platt-scaled"]
    assert "do not score higher" in reason
    assert any("dark, Platt-scaled" in note and reason in note for note in report.notes)
    assert "There is no row dark, Platt-scaled to compare with: see below." in report.notes


@pytest.mark.slow
def test_quick(tmp_path, figures):
    """The example that a newcomer runs, figures and all, and its check; a minute or two."""
    example = Path(__file__).resolve().parents[2] / "experiments" / "quick.toml"
    table = compare(example, tmp_path, device="cpu").table
    rows = table[table["field"] == "all"].set_index("predictor")
    for name in ("MAP", "mean-field", "MC-dropout"):
        assert rows.loc[name, "Brier skill"] > 0.3
    drawn = {path.stem for path in (tmp_path / "report" / "figures").glob("*.png")}
    assert {"risk_coverage", "reliability", "roc", "exposure-worst-mean-field"} <= drawn
    assert check(tmp_path, device="cpu").differences == ()
