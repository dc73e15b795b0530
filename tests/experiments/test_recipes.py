"""The recipes in the source tree can be built, and make the models that the rules ask for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bayescr.errors import BayescrError
from bayescr.experiments import Simulated, plan, read_experiment
from bayescr.experiments.frames import _arguments, find_parts
from bayescr.pretrained import FALLBACK, RULES
from bayescr.simulation import INSTRUMENTS

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.toml"))


def test_there_is_one_for_every_model():
    assert {path.stem for path in RECIPES} == {rule.model for rule in RULES} | {FALLBACK}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_can_be_built(path, tmp_path):
    experiment = read_experiment(path)
    assert experiment.card.name == path.stem
    steps = plan(path, tmp_path / "out", device="cpu")
    assert [step.state for step in steps] == ["simulate"] * 3 + ["train"] * len(experiment.arms)
    assert {experiment.card.arm, "MAP"} == set(experiment.arms)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_train_and_test_are_of_the_same_kinds_and_share_no_seed(path, tmp_path):
    data = read_experiment(path).data
    kinds, seeds = {}, {}
    for name, part in find_parts(data, beside=tmp_path, output=tmp_path).items():
        kinds[name] = {(series["instrument"], series["field"]) for series in part.series}
        seeds[name] = {series["seed"] for series in part.series}
    assert kinds["train"] == kinds["validation"] == kinds["test"]
    assert len(set.union(*seeds.values())) == sum(map(len, seeds.values()))
    settings = data.simulate
    assert len(seeds["train"]) == len(settings.instruments) * (1 + len(settings.other_hits))
    assert len(seeds["test"]) == len(settings.instruments)


def test_hits_raise_a_flux_that_is_low_and_no_other():
    """The mean of exposure times that are uniform in the logarithm is taken numerically here."""
    series = {"field": "dark", "frames": 1, "size": 256, "seed": 0}
    own = INSTRUMENTS["thin-ground-ccd"]
    area = (256 * own.cosmic_rays.pixel_size * 1e-4) ** 2
    mean = np.exp(np.linspace(*np.log(own.exposure_times), 10**5)).mean()
    raised = _arguments(**series, instrument=own.name, hits=30.0)
    assert raised["cosmic_rays"].rate * area * mean == pytest.approx(30.0, rel=1e-4)
    assert replace(raised["cosmic_rays"], rate=own.cosmic_rays.rate) == own.cosmic_rays
    many = _arguments(**series, instrument="hst-acs-wfc", hits=1.0)
    assert many["cosmic_rays"] == INSTRUMENTS["hst-acs-wfc"].cosmic_rays
    assert _arguments(**series, instrument=own.name) == {**series, "instrument": own.name}


def test_other_hits_are_as_many_a_pixel():
    series = {"field": "dark", "frames": 1, "size": 256, "seed": 0}
    own = INSTRUMENTS["thin-ground-ccd"]
    for hits in (None, 30.0):
        expected = _arguments(**series, instrument=own.name, hits=hits)
        expected = expected.get("cosmic_rays", own.cosmic_rays)
        other = _arguments(**series, instrument=own.name, hits=hits, hits_of="lsst-itl")
        found = other["cosmic_rays"]
        assert found.rate * found.pixel_size**2 == pytest.approx(
            expected.rate * expected.pixel_size**2
        )
        assert replace(found, rate=1.0) == replace(INSTRUMENTS["lsst-itl"].cosmic_rays, rate=1.0)


def test_hits_are_of_instruments():
    with pytest.raises(BayescrError, match=r"other_hits is \['lsst-itl'\]: expected instruments"):
        Simulated(other_hits=("lsst-itl",))
    with pytest.raises(BayescrError, match="hits is 3.0: expected a number above 0, and instrum"):
        Simulated(hits=3.0)
    with pytest.raises(BayescrError, match="hits is 0.0: expected a number above 0"):
        Simulated(hits=0.0, instruments={"lsst-itl": ()})
