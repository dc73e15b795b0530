"""The models that lie in the package: whole, of the recipes that lie beside it, and of use."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from bayescr import pretrained
from bayescr.data import Scaling
from bayescr.evaluation.metrics import auprc
from bayescr.inference import Posterior
from bayescr.pretrained import FALLBACK, RULES
from bayescr.simulation import simulate_exposure

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
NAMES = sorted({rule.model for rule in RULES} | {FALLBACK})
SEEN = {"ground": ("thick-ground-ccd", "spectrum"), "space": ("hst-acs-wfc", "extragalactic")}


def test_all_that_the_rules_choose_are_there():
    assert sorted(pretrained.available()) == NAMES == sorted(SEEN)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_of_the_recipe_and_of_the_page(name):
    posterior = Posterior.from_pretrained(name)
    card = posterior.provenance["card"]
    assert card["name"] == name
    recipe = (RECIPES / card["recipe"]).read_bytes()
    assert card["recipe_sha256"] == hashlib.sha256(recipe).hexdigest()
    page = Path(pretrained.__file__).with_name(f"{name}.md").read_text(encoding="utf-8")
    assert page == pretrained.to_markdown(card)
    assert posterior.scaling == Scaling()
    assert posterior.num_points == 4
    assert 0.001 < posterior.provenance["base_rate"][0] < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_hits_in_an_exposure_that_it_has_not_seen(name):
    instrument, field = SEEN[name]
    exposure = simulate_exposure(
        field, instrument=instrument, size=192, seed=77, threshold=2.0, undecided=0.7
    )
    prediction = Posterior.from_pretrained(name).predict(exposure.frame, base_rate="auto")
    decided = prediction.valid & exposure.valid
    truth = exposure.cosmic_rays[decided]
    assert truth.sum() > 5
    assert auprc(prediction.logit[decided], truth) > 0.8
    assert np.mean(prediction.mask()[decided] != truth) < 0.2 * truth.mean()
    assert prediction.mutual_information.max() > 0.01
