"""A recipe makes a model: the same bytes twice, with a card that says what the report said."""

import hashlib
import json

import pandas as pd
import pytest
import torch
from astropy.io import fits
from safetensors.torch import load_file

from bayescr import pretrained
from bayescr.errors import BayescrError
from bayescr.experiments import build, read_experiment
from bayescr.experiments.model_card import METRICS
from bayescr.inference import Posterior
from bayescr.inference.checkpoints import read_description

RECIPE = """
title = "Miniature"

[data.simulate]
hits = 20.0
size = 64
train = 1
validation = 1
test = 2

[data.simulate.instruments]
hst-acs-wfc = ["ex"]
thin-ground-ccd = ["dark", "ex"]

[model]
width = 2

[training]
patch = 32
epochs = 2
precision = "float32"

[start]
epochs = 3

[arms.MAP]
guide = "map"

[arms.mean-field]
guide = "mean-field"

[evaluation]
num_samples = 2
num_bootstrap = 10

[card]
name = "miniature"
arm = "mean-field"
summary = "For tests."
suits = ["nothing"]
limits = ["It knows next to nothing."]
"""


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """No figures, and a fixed hash of the source: saving a file meanwhile is no failure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayescr.evaluation._saving.figures_of", lambda report: {})
        for module in ("experiments.frames", "experiments.runs", "evaluation.manifest"):
            patch.setattr(f"bayescr.{module}.source_sha256", lambda *floors: "0" * 64)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The model, and what was said while it was made."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "recipe.toml").write_text(RECIPE)
    said = []
    file = build(folder / "recipe.toml", folder / "out", device="cpu", say=said.append)
    return file, said


@pytest.fixture
def card(built):
    return read_description(built[0])["provenance"]["card"]


@pytest.fixture
def recipe(tmp_path):
    """Writes the recipe with pieces of text replaced; returns the file."""

    def write(*replacements):
        text = RECIPE
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        return path

    return write


def test_what_it_leaves_behind(built):
    file, said = built
    assert {path.name for path in file.parent.iterdir()} == {
        "miniature.safetensors", "miniature.md", pretrained.SUMS,
    }  # fmt: skip
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (file.parent / pretrained.SUMS).read_text() == f"{digest}  miniature.safetensors\n"
    assert {t.dtype for t in load_file(file).values()} == {torch.float16}
    assert said[-1].startswith("model 'miniature', 0.0")


def test_it_is_the_arm_that_was_trained_but_for_the_rounding(built):
    file, _ = built
    (run,) = (file.parents[1] / "runs").glob("mean-field-0-*")
    trained, shipped = load_file(run / "posterior.safetensors"), load_file(file)
    assert shipped.keys() == trained.keys()
    assert all(torch.equal(shipped[name], trained[name].half()) for name in trained)
    assert Posterior.load(file).name == "mean-field"


def test_the_card_says_what_the_report_said(built, card):
    table = pd.read_csv(built[0].parents[1] / "report" / "tables" / "intervals.csv")
    for score in card["scores"]:
        (row,) = table[
            (table["predictor"] == score["predictor"])
            & (table["field"] == score["field"])
            & (table["metric"] == score["metric"])
        ].to_dict("records")
        for key in ("value", "low", "high"):
            known = score[key] is not None
            assert score[key] == pytest.approx(row[key], rel=1e-9) if known else pd.isna(row[key])
    own = {(s["field"], s["metric"]) for s in card["scores"] if s["predictor"] == "mean-field"}
    assert {metric for _, metric in own} == set(METRICS)
    assert {field for field, _ in own} == {
        "all", "hst-acs-wfc, extragalactic", "thin-ground-ccd, dark",
        "thin-ground-ccd, extragalactic",
    }  # fmt: skip
    assert "MAP" in {score["predictor"] for score in card["scores"]}


def test_the_card_says_where_the_model_comes_from(built, card, tmp_path):
    out = built[0].parents[1]
    source = (out / "experiment.toml").read_bytes()
    assert card["recipe_sha256"] == hashlib.sha256(source).hexdigest()
    assert card["exposures"] == {"train": 3, "validation": 3, "test": 6}
    assert card["epochs"] == [3, 2]
    assert card["simulated"]["instruments"] == {
        "hst-acs-wfc": ["extragalactic"], "thin-ground-ccd": ["dark", "extragalactic"],
    }  # fmt: skip
    assert "simulated exposures alone" in card["limits"][0]
    assert card["limits"][1:] == ["It knows next to nothing."]
    assert 0 < card["rounding"] < 0.05
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    page = built[0].with_suffix(".md").read_text()
    assert page == pretrained.to_markdown(card)
    assert card["recipe_sha256"] in page
    assert "hst-acs-wfc (extragalactic)" in page


def test_one_network_sees_every_instrument_and_no_frame_twice(built):
    seeds = {}
    for file in (built[0].parents[1] / "frames").glob("*/*.fits"):
        header = fits.getheader(file)
        seeds.setdefault(header["SEED"], []).append((header["FIELD"], header["INSTRUME"]))
    instruments = {instrument for each in seeds.values() for _, instrument in each}
    assert instruments == {"hst-acs-wfc", "thin-ground-ccd"}
    for shared in seeds.values():  # fields of an instrument may, for a field seeds its own streams
        assert len(set(shared)) == len(shared)
        assert len({instrument for _, instrument in shared}) == 1


def test_the_same_recipe_gives_the_same_bytes(built, tmp_path):
    file, _ = built
    (tmp_path / "recipe.toml").write_text(RECIPE)
    again = build(tmp_path / "recipe.toml", tmp_path / "out", into=tmp_path / "into", device="cpu")
    assert again.parent == tmp_path / "into"
    for name in ("miniature.safetensors", "miniature.md", pretrained.SUMS):
        assert (again.parent / name).read_bytes() == (file.parent / name).read_bytes()


def test_it_goes_on_where_it_was(built, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("nothing is to be made again")

    monkeypatch.setattr("bayescr.experiments.runs.fit", refuse)
    monkeypatch.setattr("bayescr.experiments.frames.simulate", refuse)
    file, _ = built
    before = file.read_bytes()
    out = file.parents[1]
    assert build(out.parent / "recipe.toml", out, device="cpu").read_bytes() == before


@pytest.mark.parametrize(
    ("replacement", "says"),
    [
        (('arm = "mean-field"', 'arm = "mean-feeld"'), "unknown arm of the card 'mean-feeld': did"),
        (('name = "miniature"', 'name = "Mini/ature"'), "name is 'Mini/ature': expected lower-c"),
        (('suits = ["nothing"]', ""), r"\[card\]: suits is missing"),
        (('title = "Mini', 'seeds = [0, 1]\ntitle = "Mini'), "the one of the model"),
        (('hst-acs-wfc = ["ex"]', 'hst-acs-wfd = ["ex"]'), "did you mean 'hst-acs-wfc'"),
        (('["dark", "ex"]', '["dork"]'), "unknown field 'dork'"),
    ],
)
def test_what_cannot_be_is_found_first(recipe, tmp_path, replacement, says):
    with pytest.raises(BayescrError, match=says):
        build(recipe(replacement), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_an_experiment_without_a_card_makes_no_model(recipe, tmp_path):
    file = recipe((RECIPE[RECIPE.index("[card]") :], ""))
    assert read_experiment(file).card is None
    with pytest.raises(BayescrError, match=r"has no table \[card\]: expected one that says name"):
        build(file, tmp_path / "out", device="cpu")


def test_a_model_that_rounding_would_change_is_not_made(built, tmp_path, monkeypatch):
    monkeypatch.setattr("bayescr.experiments.shipping.LARGEST_CHANGE", 0.0)
    monkeypatch.setattr("bayescr.experiments.shipping.compare", lambda *args, **kwargs: None)
    out = built[0].parents[1]
    with pytest.raises(BayescrError, match=r"changes a probability by .*expected at most 0.0"):
        build(out.parent / "recipe.toml", out, into=tmp_path / "into", device="cpu")
    assert not list((tmp_path / "into").iterdir())
