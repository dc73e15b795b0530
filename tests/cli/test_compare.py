"""``bayescr compare``: what it prints, and its status."""

import pytest

TINY = """
title = "Tiny"
[data.simulate]
fields = ["ex"]
size = 64
train = 2
validation = 1
test = 2
[model]
width = 2
[training]
patch = 32
epochs = 1
[arms.MAP]
guide = "map"
[evaluation]
num_samples = 1
num_bootstrap = 5
"""


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    """Drawing takes longer than all the rest together, and has tests of its own."""
    monkeypatch.setattr("bayescr.evaluation._saving.figures_of", lambda report: {})


@pytest.fixture
def experiment(tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text(TINY)
    return path


def test_plan_compare_and_check(bayescr, experiment, tmp_path):
    out = tmp_path / "out"
    arguments = ("compare", experiment, "-o", out, "--device", "cpu")
    result = bayescr(*arguments, "--dry-run")
    assert result.exit_code == 0, result.output
    assert [line.split("  ")[0] for line in result.stdout.splitlines()] == ["simulate"] * 3 + [
        "train"
    ]
    assert not out.exists()

    result = bayescr(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("Brier skill") == 1  # of all exposures together
    assert result.stdout.splitlines()[-1] == f"report: {out / 'report'}"
    assert "1/1 train MAP, seed 0" in result.stderr
    quiet = bayescr(*arguments, "--quiet")
    assert quiet.exit_code == 0, quiet.output
    assert quiet.stderr == ""
    assert quiet.stdout == result.stdout  # what was asked for; only the steps are left out
    assert "1 train" not in bayescr(*arguments, "--dry-run").stdout

    result = bayescr("compare", "--check", out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert line.startswith("the same: all ")
    table = out / "report" / "tables" / "table.csv"
    table.write_text(table.read_text().replace("MAP", "map"))
    result = bayescr("compare", "--check", out, "--device", "cpu")
    assert result.exit_code == 1
    *lines, last = result.stdout.splitlines()
    assert lines
    assert all(line.startswith("tables/table.csv: ") for line in lines)
    assert last.startswith("not the same: ")


def test_help_has_an_example(bayescr):
    result = bayescr("compare", "--help")
    assert result.exit_code == 0
    assert "Example:  bayescr compare" in result.stdout


def test_bad_input(fails, experiment, tmp_path):
    out = ("-o", tmp_path / "out")
    fails("compare", tmp_path / "no.toml", *out, says=["cannot read experiment", "no.toml"])
    fails("compare", experiment, says="--output is missing")
    fails("compare", *out, says="EXPERIMENT is missing")
    fails("compare", experiment, "-o", experiment, says="is a file, not a folder")
    fails("compare", "--check", tmp_path, says="holds no finished experiment")
    fails("compare", experiment, "--check", tmp_path, says="--check takes a folder")
    fails("compare", experiment, *out, "--device", "gpu9", says="unknown device 'gpu9'")
    experiment.write_text(TINY.replace('"map"', '"mpa"'))
    fails("compare", experiment, *out, says=["[arms.MAP]", "did you mean 'map'?"])
