"""The ArviZ data on the ArviZ that is installed, and the call that the other one would get."""

from __future__ import annotations

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from bayescr.evaluation import evaluate, to_arviz
from bayescr.evaluation.arviz_export import write_arviz


@pytest.fixture(scope="module")
def az():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return pytest.importorskip("arviz")


def test_groups_carry_draws_replicas_truth_and_log_likelihood(report, posteriors, dataset):
    tree = report.arviz["mean-field"]
    (scored,) = report.rows["mean-field"]
    draws = posteriors["mean-field"].draw(5, seed=3)
    assert set(tree["posterior"].data_vars) == {"head.weight", "head.bias"}
    np.testing.assert_array_equal(tree["posterior"]["head.bias"][0], draws["head.bias"])
    assert tree["posterior"]["head.weight"].shape == (1, 5, 1, 2, 1, 1)
    replicas = tree["posterior_predictive"]["positive_fraction"]
    assert replicas.dims == ("chain", "draw", "exposure")
    np.testing.assert_array_equal(replicas[0], scored.positive_fraction)
    likelihood = tree["log_likelihood"]["pixels"]
    assert likelihood.dims == ("chain", "draw", "exposure")
    assert list(likelihood.coords["exposure"].values) == ["a", "b", "c"]
    np.testing.assert_array_equal(likelihood[0], scored.log_likelihood)
    truth = tree["observed_data"]["positive_fraction"]
    a = [item for item in dataset if item["exposure"] == "a"]
    positives = sum(float(item["target"][item["valid"]].sum()) for item in a)
    assert truth.dims == ("exposure",)
    assert float(truth[0]) == positives / sum(int(item["valid"].sum()) for item in a)


def test_attributes_say_that_r_hat_has_no_meaning(report):
    for attributes in (report.arviz["cold"].attrs, report.arviz["cold"]["posterior"].attrs):
        assert "R-hat" in attributes["sampling"]
        assert attributes["temperature"] == 0.01
        assert attributes["inference_library"] == "bayescr"
        assert "created_at" not in attributes


@pytest.mark.parametrize(
    ("is_sampled", "says"), [(True, "draws of a Markov chain"), (False, "no Markov chain")]
)
def test_draws_of_a_chain_are_told_from_those_of_a_guide(report, monkeypatch, is_sampled, says):
    """By what the posterior holds, not by what it is called."""
    (scored,) = report.rows["mean-field"]
    monkeypatch.setattr(type(scored.row.base), "is_sampled", is_sampled, raising=False)
    assert says in to_arviz("x", scored).attrs["sampling"]


def test_loo_and_compare_run_on_it(az, report):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # five draws and three exposures: Pareto k is large
        loo = az.loo(report.arviz["mean-field"], pointwise=True)
        table = az.compare({name: report.arviz[name] for name in ("mean-field", "cold")})
    assert np.isfinite(loo.elpd_loo if hasattr(loo, "elpd_loo") else loo.elpd)
    assert set(table.index) == {"mean-field", "cold"}


def test_netcdf_round_trip(report, tmp_path):
    xarray = pytest.importorskip("xarray")
    tree = report.arviz["mean-field"]
    write_arviz(tree, tmp_path / "x.nc")
    for group in ("posterior", "posterior_predictive", "log_likelihood", "observed_data"):
        with xarray.open_dataset(tmp_path / "x.nc", group=group, engine="h5netcdf") as found:
            for name, values in found.data_vars.items():
                np.testing.assert_array_equal(values, tree[group][name])
            assert "R-hat" in found.attrs["sampling"]


def test_sites_are_the_callers_or_else_the_smallest(fakes, dataset):
    posterior = fakes[1]()
    chosen = evaluate(
        {"x": posterior}, dataset, num_samples=2, num_bootstrap=0, sites=["down1.conv1.weight"]
    )
    assert list(chosen.rows["x"][0].draws) == ["down1.conv1.weight"]
    draws = {"big": (3, 3), "small": (2,), "middle": (4,)}

    def draw(num_samples, *, seed=0, sites=None):
        full = fakes[1].draw(posterior, num_samples, seed=seed)["head.bias"]
        names = sites or draws
        return {name: full.new_zeros(num_samples, *draws[name]) for name in names}

    headless = fakes[1]()
    logits = posterior.logits
    headless.draw, headless.logits = draw, logits
    default = evaluate({"x": headless}, dataset, num_samples=2, num_bootstrap=0)
    assert list(default.rows["x"][0].draws) == ["small"]


def test_a_posterior_without_random_sites_has_no_posterior_group(fakes, dataset):
    posterior = fakes[1]()
    posterior.logits = fakes[1]().logits
    posterior.draw = lambda num_samples, *, seed=0, sites=None: {}
    tree = evaluate({"x": posterior}, dataset, num_samples=2, num_bootstrap=0).arviz["x"]
    assert not hasattr(tree, "posterior")
    assert tree["log_likelihood"]["pixels"].shape == (1, 2, 3)


def test_arviz_1_gets_one_mapping_of_groups(report, monkeypatch):
    node = SimpleNamespace(attrs={"created_at": "now"})
    calls = []

    def from_dict(data, *, coords, dims, attrs):
        calls.append((data, coords, dims, attrs))
        return SimpleNamespace(subtree=[node])

    monkeypatch.setitem(
        sys.modules, "arviz", SimpleNamespace(__version__="1.0.0", from_dict=from_dict)
    )
    to_arviz("mean-field", report.rows["mean-field"][0])
    ((data, coords, dims, attrs),) = calls
    assert list(data) == ["posterior", "posterior_predictive", "log_likelihood", "observed_data"]
    assert data["log_likelihood"]["pixels"].shape == (1, 5, 3)
    assert coords == {"exposure": ["a", "b", "c"]}
    assert dims == {"positive_fraction": ["exposure"], "pixels": ["exposure"]}
    assert set(attrs) == {"/", *data}
    assert "R-hat" in attrs["/"]["sampling"]
    assert node.attrs == {}
