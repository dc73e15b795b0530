"""Every command does its job on frames of 64 pixels."""

import inspect
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from bayescr.cli._models import Wanted
from bayescr.cli.evaluate import evaluate as evaluate_command
from bayescr.cli.predict import predict as predict_command
from bayescr.cli.train import train as train_command
from bayescr.data import PatchDataset, read_frame
from bayescr.inference import Posterior, fit
from bayescr.models import UNet

COMMANDS = (
    "demo", "simulate", "label", "inject", "train", "predict", "evaluate", "compare", "models",
    "info",
)  # fmt: skip
MAPS = ("PROB", "ENTROPY", "MUTUAL_INFORMATION", "CRMASK")


def _with_maps(exposure):
    """Names of the planes of a prediction: those of its input, the truth renamed, and ours."""
    with fits.open(exposure) as hdus:
        names = [hdu.name for hdu in hdus]
    assert names[:4] == ["PRIMARY", "SCI", "DQ", "CRMASK"]
    return [*names[:3], "CRMASK_INPUT", *names[4:], *MAPS]


def default(function, name):
    return inspect.signature(function).parameters[name].default


# Starting


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(bayescr, command):
    result = bayescr(command, "--help")
    assert result.exit_code == 0
    assert f"Example:  bayescr {command}" in result.stdout


def test_starting_imports_nothing_slow():
    slow = "{'torch', 'pyro', 'galsim', 'matplotlib', 'astropy', 'pandas', 'numpy'}"
    code = f"import sys, bayescr.cli; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "bayescr", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("bayescr ")


def test_defaults_are_those_of_the_library():
    shared = ("epochs", "batch_size", "learning_rate", "patience", "precision", "seed")
    assert [default(train_command, name) for name in shared] == [
        default(fit, name) for name in shared
    ]
    assert default(train_command, "patch") == default(PatchDataset.from_directory, "patch")
    for name in ("tile", "batch", "precision", "seed"):
        assert default(predict_command, name) == default(Posterior.predict, name)
    assert default(predict_command, "tolerance") == default(Posterior.predict, "tolerance")
    assert default(predict_command, "samples") == default(Posterior.predict, "num_samples")
    assert default(evaluate_command, "samples") == default(Posterior.logits, "num_samples")


def test_documented_network_is_the_library_default(bayescr):
    text = " ".join(bayescr("train", "--help").stdout.replace("│", " ").split())
    for name in ("width", "depth", "norm"):
        assert f"default: {default(UNet, name)}, or" in text


def test_interrupt_is_quiet(bayescr, tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("bayescr.simulation.simulate", interrupt)
    result = bayescr("simulate", "--field", "gc", "-o", tmp_path)
    assert result.exit_code == 130
    assert result.output == ""


def test_a_bug_is_not_disguised_as_bad_input(bayescr, tmp_path, monkeypatch):
    def break_down(*args, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr("bayescr.simulation.simulate", break_down)
    result = bayescr("simulate", "--field", "gc", "-o", tmp_path)
    assert result.exit_code == 1
    assert str(result.exception) == "a bug"


# simulate


def test_simulate_same_seed_same_bytes(bayescr, frames, tmp_path):
    arguments = ("simulate", "--field", "gc", "--field", "ex", "--frames", 2, "--size", 64)
    result = bayescr(*arguments, "-o", tmp_path)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 1
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name.split("_")[0] for name in names] == ["extragalactic"] * 2 + [
        "globular-cluster"
    ] * 2
    for name in names[2:]:
        assert (tmp_path / name).read_bytes() == (frames / name).read_bytes()


def test_simulate_height_width_and_exposure_time(bayescr, tmp_path):
    options = ("--frames", 1, "--size", "48x80", "--exposure-time", 500)
    result = bayescr("simulate", "--field", "rg", *options, "-o", tmp_path)
    assert result.exit_code == 0, result.output
    (path,) = tmp_path.iterdir()
    with fits.open(path) as hdus:
        assert hdus["SCI"].data.shape == (48, 80)
        assert hdus[0].header["EXPTIME"] == 500


# train


def test_train_writes_posterior_and_history(posterior):
    assert {path.name for path in posterior.iterdir()} == {"posterior.safetensors", "history.csv"}
    loaded = Posterior.load(posterior)
    assert loaded.name == "mean-field"
    assert len(loaded.provenance["train_exposures"]) == 2
    assert len(loaded.provenance["validation_exposures"]) == 1
    history = pd.read_csv(posterior / "history.csv")
    assert len(history) == 1
    assert np.isfinite(history["validation_nll"]).all()


def test_train_same_seed_same_bytes(train_quickly, posterior, tmp_path):
    for seed, same in ((0, True), (1, False)):
        assert train_quickly(tmp_path / str(seed), "--seed", seed).exit_code == 0
        for name in ("posterior.safetensors", "history.csv"):
            written = (tmp_path / str(seed) / name).read_bytes()
            assert (written == (posterior / name).read_bytes()) is same


def test_train_starts_from_a_posterior_and_its_network(bayescr, frames, posterior, tmp_path):
    result = bayescr(
        "train", "--data", frames, "--start", posterior, "--guide", "map", "--patch", 32,
        "--epochs", 1, "--validation", 0, "--kl-schedule", "constant", "-o", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    loaded = Posterior.load(tmp_path)
    assert loaded.provenance["start"] == "mean-field"
    assert loaded.model.net.config["width"] == 2
    assert loaded.provenance["validation_exposures"] == []


def test_train_takes_a_users_prior_and_schedule(train_quickly, tmp_path):
    own = tmp_path / "own.py"
    own.write_text(
        "from dataclasses import dataclass\n"
        "import pyro.distributions as dist\n"
        "@dataclass(frozen=True)\n"
        "class Wide:\n"
        "    scale: float = 3.0\n"
        "    def __call__(self, name, parameter):\n"
        "        return dist.Laplace(0.0, self.scale).expand(parameter.shape)"
        ".to_event(parameter.dim())\n"
        "def laplace(name, parameter):\n"
        "    return Wide()(name, parameter)\n"
        "def half(fraction):\n"
        "    return 0.5\n"
    )
    for prior in ("laplace", "Wide"):
        result = train_quickly(
            tmp_path / prior, "--prior", f"{own}:{prior}", "--kl-schedule", f"{own}:half"
        )
        assert result.exit_code == 0, result.output
        assert "T = 0.5" in result.stdout
        assert "note: the prior is your own" in result.stderr


def test_train_takes_a_pyro_autoguide_unwrapped(bayescr, train_quickly, tmp_path, exposure):
    model = tmp_path / "auto"
    result = train_quickly(model, "--guide", "pyro.infer.autoguide:AutoNormal")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert Posterior.load(model).name == "auto-normal"
    out = tmp_path / "out.fits"
    assert bayescr("predict", exposure, "--model", model, "-o", out, "--samples", 2).exit_code == 0


# predict


def test_predict_agrees_with_the_library(bayescr, exposure, posterior, tmp_path):
    out = tmp_path / "out.fits"
    options = ("--samples", 3, "--seed", 5, "--threshold", 0.01)
    result = bayescr("predict", exposure, "--model", posterior, "-o", out, *options)
    assert result.exit_code == 0, result.output
    expected = Posterior.load(posterior).predict(read_frame(exposure), num_samples=3, seed=5)
    with fits.open(out) as hdus:
        assert [hdu.name for hdu in hdus] == _with_maps(exposure)
        np.testing.assert_array_equal(hdus["PROB"].data, expected.probability)
        np.testing.assert_array_equal(hdus["CRMASK"].data, expected.mask(0.01))
        assert hdus["CRMASK"].data.dtype == np.uint8
        assert {hdus[name].data.dtype.name for name in MAPS[:3]} == {"float32"}
        header = hdus["PROB"].header
        assert (header["BCRGUIDE"], header["BCRTEMP"], header["BCRSEED"]) == ("mean-field", 1.0, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["out.fits"]


def test_predict_to_a_tolerance(bayescr, exposure, posterior, tmp_path):
    out = tmp_path / "out.fits"
    options = ("--tolerance", 0.3, "--tile", 64, "--precision", "float32")
    result = bayescr("predict", exposure, "--model", posterior, "-o", out, *options)
    assert result.exit_code == 0, result.output
    expected = Posterior.load(posterior).predict(
        read_frame(exposure), tolerance=0.3, tile=64, precision="float32"
    )
    with fits.open(out) as hdus:
        np.testing.assert_array_equal(hdus["PROB"].data, expected.probability)
        header = hdus["PROB"].header
        assert (header["BCRTOL"], header["BCRNSAMP"]) == (0.3, expected.num_samples)
        assert header["BCRPREC"] == "float32"


def test_predict_same_seed_same_bytes(bayescr, exposure, posterior, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        out = tmp_path / f"{name}.fits"
        bayescr("predict", exposure, "--model", posterior, "-o", out, "--seed", seed)
    a, b, c = ((tmp_path / f"{name}.fits").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_predict_frame_smaller_than_a_tile_and_odd(bayescr, posterior, tmp_path):
    small = tmp_path / "small.fits"
    data = np.random.default_rng(0).normal(100, 5, (7, 13)).astype(np.float32)
    fits.PrimaryHDU(data).writeto(small)
    result = bayescr("predict", small, "--model", posterior, "-o", tmp_path / "out.fits")
    assert result.exit_code == 0, result.output
    with fits.open(tmp_path / "out.fits") as hdus:
        assert hdus["PROB"].data.shape == (7, 13)


def test_predict_every_chip_under_its_extver(bayescr, exposure, posterior, tmp_path):
    chips = tmp_path / "chips.fits"
    with fits.open(exposure) as hdus:
        other = fits.ImageHDU(hdus["SCI"].data[::-1], name="SCI", ver=4)
        fits.HDUList([hdus[0], hdus["SCI"], other]).writeto(chips)
    result = bayescr("predict", chips, "--model", posterior, "-o", tmp_path / "out.fits")
    assert result.exit_code == 0, result.output
    with fits.open(tmp_path / "out.fits") as hdus:
        found = [(hdu.name, hdu.ver) for hdu in hdus[3:]]
    assert found == [(name, version) for version in (1, 4) for name in MAPS]

    options = ("--extension", "SCI,4", "-o", tmp_path / "one.fits")
    assert bayescr("predict", chips, "--model", posterior, *options).exit_code == 0
    with fits.open(tmp_path / "one.fits") as one, fits.open(tmp_path / "out.fits") as both:
        assert [(hdu.name, hdu.ver) for hdu in one[3:]] == [(name, 4) for name in MAPS]
        np.testing.assert_array_equal(one["PROB", 4].data, both["PROB", 4].data)


def test_predict_chips_without_versions_and_chosen_ones(bayescr, exposure, posterior, tmp_path):
    """Chips of the same EXTVER are numbered in their order, and none is lost."""
    path, out = tmp_path / "chips.fits", tmp_path / "out.fits"
    with fits.open(exposure) as hdus:
        data = hdus["SCI"].data
    chips = [fits.ImageHDU(chip, name="SCI") for chip in (data, data[::-1], data[:, ::-1])]
    fits.HDUList([fits.PrimaryHDU(), *chips]).writeto(path)
    options = ("--model", posterior, "-o", out, "--samples", 2, "--overwrite")
    for chosen in ((), (3, 1)):
        selection = [word for number in chosen for word in ("--extension", number)]
        result = bayescr("predict", path, *options, *selection)
        assert result.exit_code == 0, result.output
        assert result.stderr == ""
        model = Posterior.load(posterior)
        with fits.open(out) as hdus:
            assert len(hdus) == 4 + len(MAPS) * len(chosen or chips)
            for version, number in enumerate(chosen or (1, 2, 3), start=1):
                expected = model.predict(read_frame(path, extension=number), num_samples=2)
                np.testing.assert_array_equal(hdus["PROB", version].data, expected.probability)


def test_predict_tells_of_images_left_out(bayescr, posterior, tmp_path):
    path, out = tmp_path / "mosaic.fits", tmp_path / "out.fits"
    data = np.random.default_rng(0).normal(100, 5, (16, 16)).astype(np.float32)
    planes = [fits.ImageHDU(data, name=name) for name in ("N1", "N2", "N3", "DQ")]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(path)
    options = ("--model", posterior, "-o", out, "--samples", 1, "--overwrite")
    (line,) = bayescr("predict", path, *options).stderr.splitlines()
    assert line.startswith("note: ")
    assert "2 other 2-D image(s) left out" in line
    assert bayescr("predict", path, *options, "--extension", "N1").stderr == ""


def test_predict_reads_a_lone_exposure_once(bayescr, exposure, posterior, tmp_path, monkeypatch):
    read = []

    def counted(path, **options):
        read.append(path)
        return read_frame(path, **options)

    monkeypatch.setattr("bayescr.data.read_frame", counted)
    options = ("--model", posterior, "-o", tmp_path / "out.fits", "--samples", 1)
    assert bayescr("predict", exposure, *options).exit_code == 0
    assert read == [exposure]


def test_predict_several_exposures_into_a_folder(bayescr, frames, posterior, tmp_path):
    paths = sorted(frames.iterdir())[:2]
    result = bayescr("predict", *paths, "--model", posterior, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [p.name for p in paths]
    assert len(result.stdout.splitlines()) == 2


def test_predict_loads_a_model_once(bayescr, frames, posterior, tmp_path, monkeypatch):
    loads, load = [], Wanted.load

    def counted(self, **options):
        loads.append(self.model)
        return load(self, **options)

    monkeypatch.setattr(Wanted, "load", counted)
    paths = sorted(frames.iterdir())[:2]
    result = bayescr("predict", *paths, "--model", posterior, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert loads == [str(posterior)]


def test_predict_over_its_own_prediction(bayescr, exposure, posterior, tmp_path):
    """The second run replaces the planes of the first and keeps the truth."""
    path = tmp_path / "exposure.fits"
    path.write_bytes(exposure.read_bytes())
    for seed in (0, 1):
        result = bayescr(
            "predict", path, "--model", posterior, "-o", path, "--overwrite", "--seed", seed
        )
        assert result.exit_code == 0, result.output
    with fits.open(path) as hdus, fits.open(exposure) as original:
        assert [hdu.name for hdu in hdus] == _with_maps(exposure)
        assert hdus["PROB"].header["BCRSEED"] == 1
        np.testing.assert_array_equal(hdus["CRMASK_INPUT"].data, original["CRMASK"].data)


# evaluate


def test_evaluate_prints_and_saves(bayescr, frames, posterior, tmp_path):
    out = tmp_path / "report"
    models = ("--model", posterior, "--model", f"again={posterior}", "--model", posterior)
    quick = ("--samples", 2, "--bootstrap", 2)
    result = bayescr("evaluate", "--data", frames, *models, "-o", out, *quick)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out / "tables" / "table.csv")
    assert list(table["predictor"]) == ["base rate", "mean-field", "again", "mean-field-2"]
    assert (table["exposures"] == 3).all()
    assert "Brier skill" in result.stdout
    assert "was trained on" in result.stderr
    assert json.loads((out / "manifest.json").read_text())["settings"]["num_samples"] == 2


def test_evaluate_names_given_are_not_taken_by_others(
    bayescr, frames, posterior, tmp_path, monkeypatch
):
    monkeypatch.setattr("bayescr.evaluation._saving.figures_of", lambda report: {})
    models = ("--model", posterior, *("--model", f"mean-field={posterior}") * 2)
    quick = ("--samples", 1, "--bootstrap", 0)
    result = bayescr("evaluate", "--data", frames, *models, "-o", tmp_path, *quick)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "tables" / "table.csv")
    assert list(table["predictor"]) == ["base rate", "mean-field-2", "mean-field"]
    assert list(table["seeds"]) == [1, 1, 2]  # given twice: two seeds of one arm


# info and demo


def test_info_lists_the_families(bayescr):
    result = bayescr("info")
    assert result.exit_code == 0
    for text in ("bfloat16" if "bfloat16" in result.stdout else "float32", "mean-field", "cyclical",
                 "fan-in-normal", "bernoulli", "resolved-galaxy"):  # fmt: skip
        assert text in result.stdout


def test_info_of_a_posterior(bayescr, posterior):
    result = bayescr("info", posterior)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("posterior ")
    exposure = "globular-cluster_hst-acs-wfc_0_000"
    for text in ("MeanField(", "FanInNormal(", "UNet(", "Scaling(", exposure):
        assert text in result.stdout


def test_info_never_calls_a_tempered_posterior_the_posterior(bayescr, train_quickly, tmp_path):
    own = tmp_path / "own.py"
    own.write_text("def cold(fraction):\n    return 0.1\n")
    assert train_quickly(tmp_path / "cold", "--kl-schedule", f"{own}:cold").exit_code == 0
    lines = bayescr("info", tmp_path / "cold").stdout.splitlines()
    assert lines[0].startswith("tempered posterior ")
    assert "0.1: not the posterior" in lines[1]
    assert not any(line.startswith("posterior") for line in lines)


def test_info_of_a_fits_file(bayescr, exposure, tmp_path):
    result = bayescr("info", exposure)
    assert result.exit_code == 0, result.output
    assert "CRMASK,1" in result.stdout
    assert "64 x 64 pixels [electron]" in result.stdout
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    assert "nothing: " in bayescr("info", tmp_path / "empty.fits").stdout
    fits.PrimaryHDU(np.full((8, 8), np.nan)).writeto(tmp_path / "nan.fits")
    assert "unusable: " in bayescr("info", tmp_path / "nan.fits").stdout


def test_demo_hands_over_to_the_demo(bayescr, tmp_path, monkeypatch):
    calls = []
    module = type(sys)("bayescr.cli.demo")
    module.run_demo = lambda output, **options: calls.append((output, options))
    monkeypatch.setitem(sys.modules, "bayescr.cli.demo", module)
    assert bayescr("demo", "-o", tmp_path, "--seed", 3).exit_code == 0
    assert calls == [(tmp_path, {"device": "auto", "seed": 3, "show_progress": True})]
