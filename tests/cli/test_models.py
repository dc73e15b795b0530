"""`bayescr models`, and the models that `bayescr predict` takes when none is named."""

import pytest
from astropy.io import fits

from bayescr import pretrained
from bayescr.inference import Posterior

CARD = {
    "format": pretrained.FORMAT, "name": "ground", "summary": "For tests.", "suits": ["nothing"],
    "limits": ["all"], "licence": "BSD-3-Clause", "network": "tiny", "guide": "MAP()",
    "prior": "none", "temperature": 1.0, "predictor": "MAP", "level": 0.95, "num_samples": 2,
    "rounding": 1e-4, "base_rate": [0.01], "recipe": "ground.toml", "recipe_sha256": "0" * 64,
    "simulated": None, "exposures": {"test": 2}, "data_sha256": {"test": "1" * 64}, "seed": 0,
    "epochs": [1], "versions": {"bayescr": "0.1.0"},
    "scores": [
        {"predictor": "MAP", "field": "all", "metric": metric, "better": "higher",
         "value": value, "low": None, "high": None}
        for metric, value in (("AUPRC", 0.97), ("TPR at 0.1% FPR", None))
    ],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the installation's models are: there are none."""
    (tmp_path / "shipped").mkdir()
    monkeypatch.setattr("bayescr.pretrained.catalogue._folder", lambda: tmp_path / "shipped")
    return tmp_path / "shipped"


@pytest.fixture
def shipped(folder, posterior):
    """Two models, of which one has a card."""
    trained = Posterior.load(posterior)
    for name in ("ground", "space"):
        trained.provenance["card"] = {**CARD, "name": name}
        pretrained.add(trained.save(folder / f"{name}.safetensors"))
    return folder


@pytest.fixture
def hubble(exposure, tmp_path):
    """The exposure with a header that says nothing, then with Hubble's name."""
    plain, named = tmp_path / "plain.fits", tmp_path / "hubble.fits"
    for path, telescope in ((plain, None), (named, "HST")):
        with fits.open(exposure) as hdus:
            for keyword in ("TELESCOP", "INSTRUME"):
                hdus[0].header.remove(keyword, ignore_missing=True)
            if telescope:
                hdus[0].header["TELESCOP"] = telescope
            hdus.writeto(path)
    return plain, named


# bayescr models


def test_list(bayescr, shipped):
    result = bayescr("models")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ground  0.0")
    assert lines[0].endswith(" MB  AUPRC 0.970")
    assert lines[1] == "    For tests."
    assert [line.split()[0] for line in lines[::2]] == ["ground", "space"]


def test_list_of_none(bayescr, folder):
    result = bayescr("models")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "without trained weights" in result.stderr


@pytest.mark.parametrize("by", ["name", "file"])
def test_card(bayescr, shipped, by):
    what = "space" if by == "name" else shipped / "space.safetensors"
    result = bayescr("models", what)
    assert result.exit_code == 0, result.output
    assert result.stdout == pretrained.to_markdown({**CARD, "name": "space"})
    assert "| all | 0.97 | – |" in result.stdout


def test_cards_that_are_not(fails, shipped, posterior):
    fails("models", "grund", says="unknown model 'grund': did you mean 'ground'?")
    fails("models", posterior, says="has no card that this bayescr reads")


def test_build(bayescr, tmp_path, monkeypatch):
    def build(recipe, output, *, into, device, progress, say):
        say(f"into {into}")
        return output / "model" / "x.safetensors"

    monkeypatch.setattr("bayescr.experiments.build", build)
    arguments = ("models", "--build", tmp_path / "x.toml", "-o", tmp_path / "out")
    result = bayescr(*arguments, "--into", tmp_path / "into")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(str(tmp_path / "out" / "model" / "x.safetensors"))
    assert result.stderr == f"into {tmp_path / 'into'}\n"
    assert bayescr(*arguments, "-q").stderr == ""


def test_build_bad_input(fails, tmp_path):
    fails("models", "--build", tmp_path / "x.toml", says="--output is missing")
    fails("models", "x", "--build", tmp_path / "x.toml", says="--build takes no name, got 'x'")
    fails("models", "-o", tmp_path, says="belong to --build")
    fails("models", "--build", tmp_path / "x.toml", "-o", tmp_path / "o", says="cannot read exper")


# bayescr predict


def predicted(path):
    header = fits.getheader(path, "PROB")
    return header["BCRMODEL"], header.get("BCRWHY")


def test_the_header_chooses(bayescr, shipped, hubble, tmp_path):
    out = tmp_path / "out"
    result = bayescr("predict", *hubble, "-o", out, "--samples", 1)
    assert result.exit_code == 0, result.output
    assert predicted(out / "plain.fits") == ("ground", "the header names no telescope")
    assert predicted(out / "hubble.fits") == ("space", "TELESCOP is 'HST'")
    chosen = [line.partition(": model ")[2] for line in result.stderr.splitlines()]
    assert [line for line in chosen if line] == [
        "'ground', for the header names no telescope; another one with --model",
        "'space', for TELESCOP is 'HST'; another one with --model",
    ]


def test_a_name_and_a_path(bayescr, shipped, hubble, posterior, tmp_path, monkeypatch):
    out = tmp_path / "out.fits"
    arguments = ("predict", hubble[1], "-o", out, "--samples", 1, "--overwrite", "--model")
    result = bayescr(*arguments, "ground")
    assert result.exit_code == 0, result.output
    assert ": model " not in result.stderr
    assert predicted(out) == ("ground", None)
    assert bayescr(*arguments, posterior).exit_code == 0
    assert predicted(out) == (posterior.name, None)
    own = tmp_path / "ground"  # a folder of that name wins
    own.symlink_to(posterior)
    monkeypatch.chdir(tmp_path)
    Posterior.load(posterior)
    (shipped / "ground.safetensors").write_bytes(b"damaged")
    assert bayescr(*arguments, "ground").exit_code == 0


def test_models_that_are_not_there(fails, folder, hubble, tmp_path):
    out = ("-o", tmp_path / "out.fits")
    says = ["--model is missing: by the header (TELESCOP is 'HST') it would be 'space'", "without"]
    fails("predict", hubble[1], *out, says=says)
    fails("predict", hubble[1], *out, "--model", "nowhere", says="no posterior at 'nowhere'")


def test_unknown_and_damaged_models(fails, shipped, hubble, tmp_path):
    out = ("-o", tmp_path / "out.fits")
    fails("predict", hubble[0], *out, "--model", "spac", says="unknown model 'spac': did you mean")
    fails("predict", hubble[0], *out, "--model", "a/b", says="no posterior at 'a/b'")
    (shipped / "space.safetensors").write_bytes(b"damaged")
    fails("predict", *hubble, "-o", tmp_path / "both", says="file of model 'space' has SHA-256")


def test_base_rate(bayescr, exposure, posterior, tmp_path):
    """A rate doubled in its odds doubles the odds of a pixel, whatever the draw."""
    out, trained = tmp_path / "out.fits", Posterior.load(posterior).provenance["base_rate"][0]
    odds = {}
    for rate in (trained, 2 * trained / (1 + trained)):
        options = ("--samples", 1, "--precision", "float32", "--overwrite", "--base-rate", rate)
        result = bayescr("predict", exposure, "--model", posterior, "-o", out, *options)
        assert result.exit_code == 0, result.output
        assert fits.getheader(out, "PROB")["BCRRAT"] == pytest.approx(rate)
        probability = fits.getdata(out, "PROB").astype(float)
        odds[rate] = probability / (1 - probability)
    first, second = odds.values()
    assert second == pytest.approx(2 * first, rel=1e-5)


def test_base_rate_of_the_exposure(bayescr, shipped, exposure, posterior, tmp_path):
    """Estimated for a model that comes with bayescr, else where it is asked for."""
    out = tmp_path / "out.fits"

    def rate(*options):
        result = bayescr("predict", exposure, "-o", out, "--samples", 1, "--overwrite", *options)
        assert result.exit_code == 0, result.output
        found = fits.getheader(out, "PROB").get("BCRRAT")
        assert (found is not None) == ("base rate" in result.stderr)
        if found is not None:
            assert f"base rate {found:.2g}, as estimated; of the training " in result.stderr
            p = fits.getdata(out, "PROB").astype(float)
            assert (p.sum() + 0.5) / (p.size + 1) == pytest.approx(found, rel=0.01)
        return found

    assert rate("--model", "space") == rate("--base-rate", "auto", "--model", "space") > 0.0
    assert rate("--model", "space", "--base-rate", "training") is None
    assert rate("--model", posterior) is None
    assert rate("--model", posterior, "--base-rate", "auto") > 0.0


def test_base_rate_bad_input(fails, exposure, posterior, tmp_path):
    arguments = ("predict", exposure, "--model", posterior, "-o", tmp_path / "out.fits")
    fails(*arguments, "--base-rate", 0, says="base_rate is 0.0: expected a share of pixels")
    fails(*arguments, *("--base-rate", 0.1) * 2, says="base_rate has shape (2,)")
    says = "--base-rate is 'rare': expected a share of pixels such as 0.001, one a class, or 'auto'"
    fails(*arguments, "--base-rate", "rare", says=says)
    fails(*arguments, *("--base-rate", "auto") * 2, says="--base-rate is 'auto auto'")
