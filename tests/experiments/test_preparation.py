"""What cannot be is found before the work, also in the user's own code and frames."""

import pytest
from astropy.io import fits

from bayescr.errors import BayescrError
from bayescr.experiments import compare, plan
from bayescr.experiments.preparation import prepare
from bayescr.simulation import simulate

OWN = """
from functools import partial
from pyro.infer.autoguide import AutoDelta, AutoNormal
from bayescr.evaluation import Metric, Statistic

point = partial(AutoDelta)

class Averaged(AutoNormal):
    def finalize(self, model, train, *, kl_weight):
        pass

first = Metric(
    name="first", better=None, statistic=Statistic(of=lambda frame: frame.z[:1]),
    compute=lambda total: 0.0,
)
again, taken = first, Metric(
    name="NLL", better=None, statistic=first.statistic, compute=first.compute
)
"""


@pytest.fixture
def look(write, tmp_path):
    """Prepares an experiment with replacements, which finds ``own.py`` beside it."""
    (tmp_path / "own.py").write_text(OWN)
    return lambda *replacements: prepare(write(*replacements), tmp_path / "out", device="cpu")


def test_a_point_of_the_users_own_is_a_baseline(look):
    prepared = look(
        ('guide = "map"', 'guide = "own.py:point"'),
        ("num_samples = 2", 'reference = "MAP, temperature-scaled"'),
    )
    assert prepared.notes == ()
    assert list(prepared.experiment.arms) == ["MAP", "mean-field"]


def test_of_a_guide_that_is_finished_later_nothing_is_refused(look):
    """It may turn out to be a point, and what its sites are nobody knows yet."""
    finished_later = ('[arms.MAP]\nguide = "map"', '[arms.later]\nguide = "own.py:Averaged"')
    prepared = look(finished_later, ("num_samples = 2", 'reference = "later, temperature-scaled"'))
    assert list(prepared.experiment.arms) == ["MAP", "later", "mean-field"]
    narrow = ('guide = "mean-field"', 'guide = "own.py:Averaged"\nrandom = ["head.*"]')
    sites = ("num_samples = 2", 'sites = ["down1.conv1.weight"]')
    assert look(narrow, sites)
    with pytest.raises(BayescrError, match="unknown site of arm 'mean-field' 'down1.conv1.we"):
        look((narrow[0], narrow[1].replace("own.py:Averaged", "mean-field")), sites)


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ('"own.py:taken"', "metric 'own.py:taken' is named 'NLL', as another is"),
        ('"own.py:first", "own.py:again"', "metric 'own.py:again' is named 'first', as another"),
    ],
)
def test_a_metric_of_a_taken_name(look, metrics, says):
    with pytest.raises(BayescrError, match=says):
        look(("num_samples = 2", f"metrics = [{metrics}]"))


@pytest.mark.parametrize("reference", ["x", "x, Platt-scaled"])
def test_a_reference_that_cannot_be_run_here(look, monkeypatch, reference):
    monkeypatch.setattr(
        "bayescr.experiments.preparation.unavailable", lambda method: "it is not installed"
    )
    with pytest.raises(BayescrError, match=f"no row '{reference}' to refer to: it is not inst"):
        look(
            ("[evaluation]", '[classical]\nx = "lacosmic"\n[evaluation]'),
            ("num_samples = 2", f'reference = "{reference}"\nrecalibrate = {{x = ["platt"]}}'),
        )


@pytest.fixture
def folders(write, tmp_path):
    """An experiment on folders of frames, each exposure another; its file."""
    for seed, part in enumerate(("train", "validation", "test", "shifted")):
        simulate(tmp_path / part, field="ex", frames=1, size=64, seed=seed)
    text = write().read_text()
    data = "".join(f'{part} = "{part}"\n' for part in ("train", "validation", "test", "shifted"))
    file = tmp_path / "folders.toml"
    file.write_text(text[: text.index("[data.")] + "[data]\n" + data + text[text.index("[mod") :])
    return file


def refused(file, match):
    """Before anything is made."""
    for act in (plan, compare):
        with pytest.raises(BayescrError, match=match):
            act(file, file.parent / "out", device="cpu")
    assert not (file.parent / "out").exists()


def test_folders_that_are_in_order(folders):
    assert {step.state for step in plan(folders, folders.parent / "out", device="cpu")} == {
        "given", "train",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [("train", "validation"), ("test", "validation"), ("test", "shifted")],
)
def test_files_of_one_name_in_two_folders(folders, one, other):
    """Of other content, which is what names are told apart for."""
    (first,), (second,) = ((folders.parent / part).glob("*.fits") for part in (one, other))
    second.rename(second.with_name(first.name))
    refused(folders, rf"exposure '{first.stem}' is in both the {one} and the {other}: .* names$")


def test_test_frames_may_be_called_as_training_frames(folders):
    """Nothing compares them by name, and telescopes number their exposures anew every night."""
    (first,), (second,) = ((folders.parent / part).glob("*.fits") for part in ("train", "test"))
    second.rename(second.with_name(first.name))
    assert plan(folders, folders.parent / "out", device="cpu")


def test_test_frames_without_truth(folders):
    (path,) = (folders.parent / "test").glob("*.fits")
    with fits.open(path) as hdus:
        del hdus["CRMASK"]
        hdus.writeto(path, overwrite=True)
    refused(folders, "CRMASK")
