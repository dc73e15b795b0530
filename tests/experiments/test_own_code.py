"""The user's own code among the arguments of what an experiment chooses."""

import json
import tomllib

import pytest

from bayescr.errors import BayescrError
from bayescr.experiments import check, compare
from bayescr.experiments._settings import Choice
from bayescr.experiments.own_code import OwnCode, files_of
from bayescr.experiments.preparation import prepare
from bayescr.inference import Posterior
from bayescr.inference.checkpoints import read_description
from bayescr.models import priors

OWN = """
from dataclasses import dataclass
import pyro.distributions as dist
from bayescr.inference import guides
from bayescr.models import priors

def laplace(name, parameter, scale=0.2):
    return dist.Laplace(0.0, scale).expand(parameter.shape).to_event(parameter.dim())

@dataclass(frozen=True)
class Holder:
    guide: object = guides.MeanField()
    others: tuple = ()
    def __call__(self, model):
        return self.guide(model)

def narrow(model):
    return guides.MeanField(init_scale=0.01)(model)
"""
DATA = {"train": {"a.fits": "1" * 64}}
SELECT = '{name = "select", priors = {"head.*" = "own.py:laplace", "*" = "normal"}}'
HOLDER = (
    '{name = "own.py:Holder", guide = {name = "other.py:Holder", guide = "deep/third.py:narrow"}}'
)


@pytest.fixture
def nested(write, tmp_path):
    """An experiment whose files are named only inside others; its file."""
    (tmp_path / "deep").mkdir()
    for name in ("own.py", "other.py", "deep/third.py"):
        (tmp_path / name).write_text(OWN)
    return write(
        ("width = 2", f"width = 2\nprior = {SELECT}"),
        ('guide = "mean-field"', f"guide = {HOLDER}"),
        ("seeds = [0, 1]", "seeds = [0]"),
    )


def keys(file):
    """Arm -> the key of its first fit."""
    runs = prepare(file, file.parent / "out", device="cpu").runs(DATA)
    return {name: each[0].key for name, each in runs.items()}


def test_files_named_inside_are_found(nested):
    experiment = prepare(nested, nested.parent / "out", device="cpu").experiment
    assert files_of(experiment) == ["deep/third.py", "other.py", "own.py"]


@pytest.mark.parametrize("changed", ["own.py", "other.py", "deep/third.py"])
def test_a_change_in_any_of_them_is_another_fit(nested, changed):
    before = keys(nested)
    (nested.parent / changed).write_text(OWN + "\n# changed\n")
    after = keys(nested)
    assert before["mean-field"] != after["mean-field"]
    assert (before["MAP"] != after["MAP"]) is (changed == "own.py")  # which holds its prior


def test_the_order_of_patterns_is_another_fit_and_that_of_arguments_is_not(write):
    def key(choice):
        return keys(write(("width = 2", f"width = 2\nprior = {choice}")))["MAP"]

    table = '{{name = "select", priors = {{{}}}}}'
    one, other = '"head.*" = "normal"', '"*" = "fan-in-normal"'
    assert key(table.format(f"{one}, {other}")) != key(table.format(f"{other}, {one}"))
    first = key('{name = "fan-in-normal", gain = 1.0, bias_scale = 2.0}')
    assert first == key('{bias_scale = 2.0, gain = 1.0, name = "fan-in-normal"}')


def test_the_folder_of_a_file_inside_does_not_matter(nested, write):
    before = keys(nested)
    (nested.parent / "far").mkdir()
    (nested.parent / "far" / "own.py").write_text(OWN)
    moved = SELECT.replace("own.py", "far/own.py")
    file = write(("width = 2", f"width = 2\nprior = {moved}"), name="moved.toml")
    assert keys(file)["MAP"] == before["MAP"]


def test_texts_that_only_look_like_names_are_left_alone():
    code = OwnCode(folder=None)
    choice = Choice(name="x", arguments={"a": "12:30", "b": "a b:c", "c": "head.*", "d": ":x"})
    assert code.describe(choice) == {"name": "x", "arguments": dict(choice.arguments)}


@pytest.mark.parametrize(
    "choice",
    [
        Choice(name="low-rank"),
        Choice(name="low-rank", arguments={"rank": 3, "init_scale": 0.5, "is": True}),
        Choice(name="select", arguments={"priors": {"head.*": "normal", "ß \"q\" 'r'": "none"}}),
        Choice(name="a/own.py:B", arguments={"guide": {"name": "b/c.py:D", "on": ["x", "y"]}}),
    ],
)
def test_a_choice_as_an_option_spells_it(choice):
    """Read as TOML it is the choice again, but for the folders of files."""
    spelled = OwnCode(folder=None).spelled(choice)
    plain = json.loads(json.dumps({"name": choice.name, **choice.arguments}))
    plain = json.loads(json.dumps(plain).replace("a/own.py", "own.py").replace("b/c.py", "c.py"))
    read = tomllib.loads(f"it = {spelled}")["it"] if spelled.startswith("{") else {"name": spelled}
    assert read == plain
    assert list(read.get("priors", {})) == list(plain.get("priors", {}))


def test_a_comparison_copies_them_and_can_be_checked_without_them(nested):
    output = nested.parent / "out"
    compare(nested, output, device="cpu")
    for name in ("own.py", "other.py", "deep/third.py"):
        (nested.parent / name).unlink()
    assert not check(output, device="cpu").differences
    copies = sorted(path.name for path in output.glob("code/*/*.py"))
    assert copies == ["other.py", "own.py", "third.py"]

    (folder,) = output.glob("runs/mean-field-0-*")
    code = read_description(folder)["provenance"]["code"]
    assert code == {"prior": SELECT, "guide": HOLDER.replace("deep/", "")}
    with pytest.raises(BayescrError, match=r"the prior in .* is your own \(own.laplace\)"):
        Posterior.load(folder)


def test_an_estimator_that_does_not_suit_the_guide_is_found_before_the_work(write, tmp_path):
    file = write(
        ('guide = "mean-field"', 'guide = "low-rank"\nestimator = "flipout"'),
    )
    with pytest.raises(BayescrError, match=r"\[arms.mean-field\]: Flipout\(\) needs"):
        prepare(file, tmp_path / "out", device="cpu")
    with pytest.raises(BayescrError, match=r"unknown estimator 'flipot': did you mean 'flipout'"):
        prepare(write(("epochs = 1", 'epochs = 1\nestimator = "flipot"')), tmp_path, device="cpu")


def test_the_added_baseline_has_a_prior_that_points_can_have(write, tmp_path, monkeypatch):
    arms = ('[arms.MAP]\nguide = "map"', '[arms.shrunk]\nguide = "mean-field"\nprior = "unbounded"')
    monkeypatch.setitem(priors.FAMILY, "unbounded", _Unbounded)
    prepared = prepare(write(arms), tmp_path / "out", device="cpu")
    assert prepared.notes == (
        "no arm is deterministic: 'MAP' was added, with the model and training of 'mean-field'",
    )
    everywhere = ("width = 2", 'width = 2\nprior = "unbounded"')
    with pytest.raises(BayescrError, match=r"under no arm's prior a MAP arm can be: add one that"):
        prepare(write(arms, everywhere), tmp_path / "out", device="cpu")


class _Unbounded(priors.Normal):
    is_unbounded = True
