"""Weights come out of the package as they were put in, or not at all."""

import hashlib
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

import bayescr
from bayescr import pretrained
from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference import Posterior, fit, guides
from bayescr.inference.checkpoints import read_description
from bayescr.models import BayesianSegmenter, UNet, likelihoods, priors


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("bayescr.pretrained.catalogue._folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def ground(folder):
    file = folder / "ground.safetensors"
    file.write_bytes(b"weights of the ground")
    pretrained.add(file)
    return file


def test_what_was_added_is_found(ground, folder):
    space = folder / "space.safetensors"
    space.write_bytes(b"weights of space")
    pretrained.add(space)
    digests = {
        name: hashlib.sha256((folder / f"{name}.safetensors").read_bytes()).hexdigest()
        for name in ("ground", "space")
    }
    assert pretrained.available() == digests
    with pretrained.weights("space") as path:
        assert path.read_bytes() == b"weights of space"


def test_adding_again_replaces_the_sum(ground):
    ground.write_bytes(b"better weights")
    pretrained.add(ground)
    assert len((ground.parent / pretrained.SUMS).read_text().splitlines()) == 1
    with pretrained.weights("ground") as path:
        assert path.read_bytes() == b"better weights"


def test_the_sums_are_those_that_sha256sum_checks(ground):
    subprocess.run(["sha256sum", "--check", pretrained.SUMS], cwd=ground.parent, check=True)


def test_an_unknown_name(ground):
    with (
        pytest.raises(BayescrError, match="unknown model 'grund': did you mean 'ground'?"),
        pretrained.weights("grund"),
    ):
        pass


def test_no_weights_at_all(folder):
    assert pretrained.available() == {}
    with pytest.raises(BayescrError, match=r"comes without trained weights; build them, .*recipes"):
        Posterior.from_pretrained("space")


def test_from_pretrained_is_what_was_saved(folder):
    torch.manual_seed(0)
    frames = np.random.default_rng(0).normal(100.0, 5.0, (2, 16, 16))
    data = PatchDataset.from_frames(list(frames), list(frames > 112.0), patch=16)
    model = BayesianSegmenter(
        UNet(width=2, depth=1), prior=priors.FanInNormal(), likelihood=likelihoods.Bernoulli()
    )
    posterior = fit(model, guides.MeanField(), data, epochs=1, precision="float32")
    pretrained.add(posterior.save(folder / "ground.safetensors"))
    loaded = Posterior.from_pretrained("ground")
    assert loaded.device.type == "cpu"
    ours, theirs = (one.predict(frames[0], num_samples=2).logit for one in (posterior, loaded))
    np.testing.assert_array_equal(ours, theirs)


def test_damaged_weights_are_not_loaded(ground):
    ground.write_bytes(b"weights of the grounD")
    with pytest.raises(BayescrError, match=r"SHA-256 \w{12}..., expected \w{12}.*install bayescr"):
        Posterior.from_pretrained("ground")


def test_missing_weights(ground):
    ground.unlink()
    with pytest.raises(BayescrError, match="file of model 'ground' is missing"):
        Posterior.from_pretrained("ground")


def test_what_is_shipped_is_whole():
    """Of the package itself: every sum, size, card and recipe."""
    package = resources.files("bayescr.pretrained")
    recipes = Path(bayescr.__file__).parents[1] / "recipes"
    files = {Path(str(file)).stem for file in package.iterdir() if file.name.endswith("sors")}
    assert files == set(pretrained.available())
    for name in files:
        with pretrained.weights(name) as path:
            assert path.stat().st_size <= 1.5e6
            card = read_description(path)["provenance"]["card"]
        assert card["name"] == name
        assert (package / f"{name}.md").read_text(encoding="utf-8") == pretrained.to_markdown(card)
        assert "simulated exposures alone" in card["limits"][0]
        if recipes.is_dir():  # an installation has none
            recipe = (recipes / card["recipe"]).read_bytes()
            assert hashlib.sha256(recipe).hexdigest() == card["recipe_sha256"]
        assert Posterior.from_pretrained(name).provenance["card"] == card
