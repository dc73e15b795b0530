"""The demonstration: what it leaves behind, that it repeats, and that it is worth showing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from astropy.io import fits

from bayescr.cli.demo import DemoSettings, run_demo
from bayescr.errors import BayescrError
from bayescr.inference import Posterior
from bayescr.simulation.series import PLANES

TINY = DemoSettings(
    size=64, train=2, validation=1, test=1, width=2, map_epochs=1, guide_epochs=1, num_samples=2,
    num_bootstrap=5,
)  # fmt: skip
GUIDES = ["MAP", "mean-field", "low-rank", "MC-dropout"]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "demo-output"
    run_demo(folder, settings=TINY, show_progress=False)
    return folder


def test_what_it_leaves_behind(output):
    table = pd.read_csv(output / "report" / "tables" / "table.csv")
    assert set(table["predictor"]) == {"base rate", "MAP, temperature-scaled", *GUIDES}
    assert len(table) == 6 * 4  # all fields together, and each of three
    assert Posterior.load(output / "mean-field").name == "mean-field"
    with fits.open(output / "predicted.fits") as hdus:
        names = [hdu.name for hdu in hdus[1:]]
    planes = ["CRCHARGE", *PLANES.values()]
    maps = ["PROB", "ENTROPY", "MUTUAL_INFORMATION", "CRMASK"]
    assert names == ["SCI", "DQ", "CRMASK_INPUT", *planes, *maps]
    for picture in ("predicted.png", "report/figures/reliability.png"):
        assert (output / picture).read_bytes().startswith(b"\x89PNG")
    assert "<h1>" in (output / "report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(output, tmp_path):
    run_demo(tmp_path, settings=TINY, show_progress=False)
    for name in ("report/tables/table.csv", "report/report.md", "report/report.html",
                 "mean-field/posterior.safetensors", "predicted.fits"):  # fmt: skip
        assert (tmp_path / name).read_bytes() == (output / name).read_bytes(), name


def test_guides_share_no_exposure_with_the_test(output):
    manifest = json.loads((output / "report" / "manifest.json").read_text())
    provenance = Posterior.load(output / "mean-field").provenance
    tested = {path.stem for path in (output / "frames" / "test").glob("*.fits")}
    seen = set(provenance["train_exposures"]) | set(provenance["validation_exposures"])
    assert tested
    assert seen
    assert not tested & seen
    assert manifest["data"]


def test_frames_of_another_run_are_refused(output, tmp_path):
    shutil.copytree(output, tmp_path / "again")
    with pytest.raises(BayescrError, match="not a frame of this demonstration.*another --output"):
        run_demo(tmp_path / "again", settings=TINY, seed=1, show_progress=False)


def test_the_python_of_the_readme_runs(output, monkeypatch, capsys):
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(output.parent)
    exec(code, {})
    assert "mean-field" in capsys.readouterr().out
    assert (output.parent / "maps.fits").is_file()


@pytest.mark.slow
def test_every_guide_is_far_above_the_base_rate(tmp_path):
    """The full demonstration, some minutes: the figures that the project promises."""
    table = run_demo(tmp_path, show_progress=False).table
    rows = table[(table["field"] == "all") & table["predictor"].isin(GUIDES)]
    assert len(rows) == 4
    assert (rows["Brier skill"] > 0.8).all()
    assert (rows["TPR at 0.5% FPR"] > 0.95).all()
