"""The name of a fit tells everything that decides its result, and nothing else."""

import sys

import pytest

from bayescr.experiments.preparation import prepare
from bayescr.experiments.runs import in_order

DATA = {"train": {"a.fits": "1" * 64}, "validation": {"b.fits": "2" * 64}}
OWN = """
import pyro.distributions as dist

def laplace(name, parameter, scale=1.0):
    return dist.Laplace(0.0, scale).expand(parameter.shape).to_event(parameter.dim())
"""


def keys(file, output, *, data=DATA):
    """Arm -> the keys of its fits."""
    runs = prepare(file, output, device="cpu").runs(data)
    return {name: [run.key for run in each] for name, each in runs.items()}


def test_the_same_experiment_has_the_same_keys_anywhere(write, tmp_path):
    one = keys(write(), tmp_path / "one")
    assert keys(write(name="other.toml"), tmp_path / "two") == one
    assert len({key for each in one.values() for key in each}) == 4


def test_keys_know_nothing_of_names_and_order(write, tmp_path):
    one = keys(write(), tmp_path)
    file = write(
        ('[arms.MAP]\nguide = "map"\n', ""),
        ('guide = "mean-field"', 'guide = "mean-field"\n[arms.point]\nguide = "map"'),
        ("[0, 1]", "[1, 0]"),
        ("num_samples = 2", "num_samples = 3"),
        ('title = "Tiny"', 'title = "Other"'),
    )
    assert keys(file, tmp_path) == {
        "mean-field": one["mean-field"][::-1], "point": one["MAP"][::-1],
    }  # fmt: skip


CHANGES = {
    "epochs": ("epochs = 1", "epochs = 2"),
    "patch": ("patch = 32", "patch = 16"),
    "augment": ("epochs = 1", "epochs = 1\naugment = false"),
    "rate": ("epochs = 1", "epochs = 1\nlearning_rate = 0.002"),
    "schedule": ("epochs = 1", 'epochs = 1\nkl_schedule = "cosine"'),
    "warmup": ("epochs = 1", 'epochs = 1\nkl_schedule = {name = "linear", warmup = 0.1}'),
    "estimator": ("epochs = 1", 'epochs = 1\nestimator = "flipout"'),
    "precision": ('precision = "float32"', 'precision = "bfloat16"'),
    "width": ("width = 2", "width = 3"),
    "norm": ("width = 2", 'width = 2\nnorm = "layer"'),
    "random": ("width = 2", 'width = 2\nrandom = ["head.*"]'),
    "prior": ("width = 2", 'width = 2\nprior = "normal"'),
    "scale": ("width = 2", 'width = 2\nprior = {name = "fan-in-normal", gain = 1.0}'),
    "scaling": ("[data.simulate]", "[data]\nsoftening = 2.0\n[data.simulate]"),
    "start": ("[evaluation]", "[start]\n[evaluation]"),
    "seeds": ("[0, 1]", "[2, 3]"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_the_result_changes_the_key(write, tmp_path, change):
    before, after = keys(write(), tmp_path), keys(write(CHANGES[change]), tmp_path)
    for arm in before:
        assert not set(before[arm]) & set(after[arm])


def test_an_arm_of_other_settings_leaves_the_others_alone(write, tmp_path):
    before = keys(write(), tmp_path)
    after = keys(write(('guide = "mean-field"', 'guide = "mean-field"\nepochs = 2')), tmp_path)
    assert after["MAP"] == before["MAP"]
    assert not set(after["mean-field"]) & set(before["mean-field"])


@pytest.mark.parametrize("part", ["train", "validation"])
def test_data_change_the_key(write, tmp_path, part):
    other = {**DATA, part: {"a.fits": "3" * 64}}
    assert keys(write(), tmp_path, data=other)["MAP"] != keys(write(), tmp_path)["MAP"]


def test_data_that_no_fit_sees_do_not_change_the_key(write, tmp_path):
    other = {**DATA, "test": {"c.fits": "3" * 64}}
    assert keys(write(), tmp_path, data=other) == keys(write(), tmp_path)


def test_the_users_own_code_changes_the_key_and_its_folder_does_not(write, tmp_path):
    file = write(("width = 2", 'width = 2\nprior = "own.py:laplace"'))
    (tmp_path / "own.py").write_text(OWN)
    before = keys(file, tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "own.py").write_text(OWN)
    moved = write(("width = 2", 'width = 2\nprior = "deep/own.py:laplace"'), name="moved.toml")
    assert keys(moved, tmp_path) == before
    (tmp_path / "own.py").write_text(OWN.replace("scale=1.0", "scale=2.0"))
    assert keys(file, tmp_path)["MAP"] != before["MAP"]


def test_a_module_counts_as_it_was_imported(write, tmp_path, monkeypatch):
    """It is imported once, so what its file says later is not what a fit is made with."""
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "priors_of_a_test.py"
    module.write_text(OWN)
    file = write(("width = 2", 'width = 2\nprior = "priors_of_a_test:laplace"'))
    prepared = prepare(file, tmp_path, device="cpu")
    before = [run.key for run in prepared.runs(DATA)["MAP"]]
    module.write_text(OWN.replace("scale=1.0", "scale=2.0"))
    assert [run.key for run in prepared.with_copies().runs(DATA)["MAP"]] == before
    monkeypatch.delitem(sys.modules, module.stem)
    assert keys(file, tmp_path)["MAP"] != before  # in another process


def test_the_code_of_the_library_changes_the_key(write, tmp_path, monkeypatch):
    before = keys(write(), tmp_path)
    monkeypatch.setattr("bayescr.experiments.runs.source_sha256", lambda *floors: "other")
    assert keys(write(), tmp_path)["MAP"] != before["MAP"]


def test_arms_of_one_model_share_the_start_and_find_it_done(write, tmp_path):
    more = "\n[start]\nepochs = 3\n[arms.wide]\nguide = 'map'\nwidth = 3\n"
    more += "[arms.alone]\nguide = 'map'\nstart = false"
    arms = prepare(write(more=more), tmp_path, device="cpu").runs(DATA)
    assert arms["MAP"][0].start == arms["mean-field"][0].start != arms["wide"][0].start
    assert arms["MAP"][0].start != arms["MAP"][1].start
    assert arms["alone"][0].start is None
    assert arms["MAP"][0].start.recipe.training.epochs == 3
    order = [run.folder for run in in_order(arms)]
    assert len(order) == len(set(order)) == 4 * 2 + 2 * 2  # fits, and starts of two models
    for runs in arms.values():
        for run in runs:
            if run.start is not None:
                assert order.index(run.start.folder) < order.index(run.folder)


def test_an_arm_may_be_called_start(write, tmp_path):
    file = write(("[arms.MAP]", "[arms.start]"), more="[start]\nepochs = 3")
    arms = prepare(file, tmp_path, device="cpu").runs(DATA)
    assert [run.seed for run in arms["start"]] == [0, 1]
    assert len(in_order(arms)) == 2 * 2 + 2
