"""The house stands as designed: floors, public names, and nothing done at import."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import bayescr

PACKAGE = Path(bayescr.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

_GROUND_FLOOR = {"data", "simulation", "labels", "injection", "pretrained"}
BELOW = {
    "data": set(),
    "simulation": set(),
    "labels": {"data", "simulation"},
    "injection": {"data", "simulation", "labels"},
    "pretrained": set(),
    "models": _GROUND_FLOOR,
    "inference": {*_GROUND_FLOOR, "models"},
    "evaluation": {*_GROUND_FLOOR, "models", "inference"},
    "experiments": {*_GROUND_FLOOR, "models", "inference", "evaluation"},
    "cli": {*_GROUND_FLOOR, "models", "inference", "evaluation", "experiments"},
}
"""What each floor may import; the files beside the floors are the ground, open to all."""

PUBLIC = {
    "bayescr.data": [
        "Augmentation", "BAD_BITS", "Broadening", "ExposureTime", "Extension", "ExtraTracks",
        "Gain", "LabelledImage", "Patch", "PatchDataset", "Scaling", "SkyLevel", "Symmetry",
        "assign_splits", "check_splits", "image_extensions", "make_index", "read_frame",
        "read_index", "read_labelled", "read_truth", "sky_and_noise", "with_sky", "write_index",
        "write_labelled",
    ],
    "bayescr.simulation": [
        "Background", "Band", "CosmicRays", "Detector", "F606W", "F814W", "FIELDS",
        "GroundOptics", "HubbleOptics", "INSTRUMENTS", "Instrument", "SimulatedExposure",
        "TrackStatistics", "cosmic_ray_charge", "find_instrument", "simulate",
        "simulate_exposure", "track_statistics", "write_exposure",
    ],
    "bayescr.labels": [
        "COSMIC_RAY_BITS", "DarkModel", "Events", "Labels", "Noise", "consensus", "dark_model",
        "find_events", "label_darks", "label_exposures", "label_spectra", "label_table",
        "labels_from_dq", "measure_noise", "write_labels",
    ],
    "bayescr.injection": [
        "Injected", "Placed", "Track", "TrackCatalogue", "TrackSource", "imaged", "inject",
        "is_catalogue", "read_catalogue", "read_tracks", "tracks_from_labels",
        "write_catalogue", "write_injected",
    ],
    "bayescr.pretrained": [
        "Chosen", "FALLBACK", "FORMAT", "ModelCard", "RULES", "Rule", "SUMS", "Score", "add",
        "available", "choose", "to_markdown", "weights",
    ],
    "bayescr.models": [
        "BayesianSegmenter", "PriorPredictive", "UNet", "fan_in", "halo", "likelihoods",
        "prior_predictive", "priors",
    ],
    "bayescr.models.priors": [
        "ARD", "CorrelatedNormal", "Empirical", "FAMILY", "FanInNormal", "Horseshoe", "Laplace",
        "Normal", "Prior", "ScaleMixture", "Select", "StudentT",
    ],
    "bayescr.models.likelihoods": [
        "Bernoulli", "FAMILY", "Likelihood", "NoisyLabelBernoulli", "WeightedBernoulli",
    ],
    "bayescr.inference": [
        "AnnealedELBO", "Posterior", "Prediction", "RunningPrediction", "annealing", "fit",
        "gradients", "guides", "nuts",
    ],
    "bayescr.inference.guides": [
        "ConcreteDropout", "Ensemble", "FAMILY", "Flow", "FullRank", "GuideFactory", "JointGuide",
        "Laplace", "LowRank", "MAP", "MCDropout", "MeanField", "Partial", "Radial", "Rank1",
        "SWAG", "StoredDraws", "WeightGuide", "WeightSite",
    ],
    "bayescr.inference.gradients": [
        "FAMILY", "Flipout", "GradientEstimator", "LocalReparameterisation", "WeightDraws",
    ],
    "bayescr.inference.annealing": [
        "FAMILY", "KLSchedule", "constant", "cosine", "cyclical", "linear", "sigmoid",
        "swa", "warmup_cosine",
    ],
    "bayescr.evaluation": [
        "Abstention", "Beta", "CalibrationLine", "Counts", "Ensemble", "ErrorCurve",
        "ErrorDetection", "HitTable", "Isotonic", "METRICS", "Metric",
        "MurphyDecomposition", "Platt", "Recalibrated", "ReliabilityCurve", "Report",
        "RiskCoverageCurve", "RocCurve", "ScoredFrame", "Statistic", "Temperature",
        "abstention", "augrc", "auprc", "aurc", "auroc", "base_rate", "brier",
        "brier_skill", "calibration_line", "coverage_at_risk", "dice", "e_aurc", "ece",
        "error_curve", "error_detection", "evaluate", "hit_table", "iou", "mce",
        "mean_entropy", "mean_mutual_information", "murphy", "nll", "ood_auroc",
        "plot_error_against_entropy", "plot_exposure", "plot_precision_recall",
        "plot_reliability", "plot_risk_coverage", "plot_roc", "precision_at_recall",
        "recalibrate", "reliability_curve", "risk_coverage", "roc_curve", "to_arviz",
        "to_logit", "tpr_at_fpr",
    ],
    "bayescr.evaluation.classical": [
        "Astroscrappy", "CosmicCoNN", "DeepCR", "FAMILY", "LACosmic", "unavailable",
    ],
    "bayescr.experiments": [
        "Arm", "Card", "CheckResult", "Choice", "Data", "Evaluation", "Experiment", "Model",
        "Shifted", "Simulated", "Start", "Step", "Training", "build", "check", "compare", "plan",
        "read_experiment",
    ],
}  # fmt: skip


def _tree(file):
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def _imports(tree):
    """Dotted names of everything imported anywhere in a file, functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _floor(dotted):
    """The floor that a dotted name of bayescr lies on; None for the ground."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else None


def _outside(file):
    """Names of bayescr that a file may not import."""
    here = file.relative_to(PACKAGE).parts
    own = here[0] if len(here) > 1 else None
    allowed = {None, own} | (BELOW[own] if own else set())
    if here == ("__main__.py",):  # the door: `python -m bayescr`
        allowed = {"cli"}
    names = [name for name in _imports(_tree(file)) if name.split(".")[0] == "bayescr"]
    return [name for name in names if _floor(name) not in allowed]


def test_every_folder_is_a_floor_of_the_house():
    folders = {file.relative_to(PACKAGE).parts[0] for file in FILES if file.parent != PACKAGE}
    assert folders <= set(BELOW)
    assert folders >= set(BELOW) - {"cli"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_floor_imports_only_from_the_floors_below(file):
    assert not _outside(file)


def test_the_check_of_floors_can_fail(tmp_path, monkeypatch):
    for floor in BELOW:
        (tmp_path / floor).mkdir()
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    for floor, source, wrong in [
        ("data", "def f():\n    from bayescr.models import UNet", ["bayescr.models.UNet"]),
        ("data", "from bayescr.simulation import simulate", ["bayescr.simulation.simulate"]),
        ("models", "from bayescr import inference", ["bayescr.inference"]),
        ("inference", "import bayescr.cli", ["bayescr.cli"]),
        ("inference", "from bayescr.errors import X\nfrom bayescr import data", []),
    ]:
        file = tmp_path / floor / "x.py"
        file.write_text(source)
        assert _outside(file) == wrong


def test_the_errors_import_nothing():
    assert not list(_imports(_tree(PACKAGE / "errors.py")))


@pytest.mark.parametrize("name", PUBLIC)
def test_the_public_names_are_these(name):
    """A change here is a change users notice: it belongs in the changelog."""
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name])
    assert all(hasattr(module, attribute) for attribute in module.__all__)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_say_what_they_hold(file):
    tree = _tree(file)
    if file.name != "__main__.py" and tree.body:
        assert ast.get_docstring(tree)
        assert "__all__" in file.read_text(encoding="utf-8") or file == PACKAGE / "__init__.py"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_nothing_prints_unpickles_or_asserts(file):
    """No print outside the command line, no pickle and no assert anywhere."""
    tree = _tree(file)
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not calls & {"torch.load", "torch.save", "pickle.load", "pickle.loads", "eval", "exec"}
    assert not {
        name for name in _imports(tree)
        if name.split(".")[0] in {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    }  # fmt: skip
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert ast.literal_eval(node.value) is False, f"line {node.value.lineno}"
    if _floor("bayescr." + ".".join(file.relative_to(PACKAGE).parts)) != "cli":
        assert "print" not in calls


_STATE = """
import importlib, json, random, sys, threading, warnings
import numpy, torch, pyro, matplotlib, rich.style  # what these do to Python is their affair

def state():
    import os, logging, signal
    return {
        "dtype": str(torch.get_default_dtype()), "device": str(torch.get_default_device()),
        "threads": torch.get_num_threads(), "torch": torch.get_rng_state().tolist(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(), "tf32": torch.backends.cudnn.allow_tf32,
        "benchmark": torch.backends.cudnn.benchmark,
        "numpy": str(numpy.random.get_state()), "random": str(random.getstate()),
        "err": numpy.geterr(), "print": str(numpy.get_printoptions()),
        "filters": [str(entry) for entry in warnings.filters if NAME in str(entry)],
        "pyro": str(pyro.settings.get()), "params": list(pyro.get_param_store()),
        "validate": torch.distributions.Distribution._validate_args,
        "rc": str(dict.items(matplotlib.rcParams)), "live": threading.active_count(),
        "handlers": str(logging.getLogger().handlers), "environment": dict(os.environ),
    }

NAME = "bayescr"
before, found = state(), {}
for floor in FLOORS:
    importlib.import_module("bayescr." + floor)
    after = state()
    heavy = [name for name in ("galsim", "arviz", "matplotlib.pyplot") if name in sys.modules]
    found[floor] = [key for key in before if before[key] != after[key]] + heavy
json.dump(found, sys.stdout)
"""


def test_importing_changes_nothing_and_loads_nothing_heavy():
    floors = [floor for floor in BELOW if (PACKAGE / floor / "__init__.py").is_file()]
    found = json.loads(_run(_STATE.replace("FLOORS", repr(floors))))
    assert found == {floor: [] for floor in floors}


def test_inference_does_without_matplotlib():
    code = (
        "import sys, bayescr.inference; print('matplotlib' in sys.modules, 'rich' in sys.modules)"
    )
    assert _run(code).split()[0] == "False"


def test_models_alone_load_no_tables_nor_frames():
    """Half of the import's time and memory would be for a function that few call."""
    heavy = ("pandas", "scipy", "astropy", "bayescr.data")
    code = f"import sys, bayescr.models; print([name for name in {heavy} if name in sys.modules])"
    assert _run(code).split() == ["[]"]


def _run(code):
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:bayescr", "-c", code],
        capture_output=True, text=True, cwd=PACKAGE.parent, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
