"""The ranking by leave-one-exposure-out: as ArviZ has it, and right where ArviZ underflows."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from bayescr.evaluation.loo import COLUMNS, loo_table, pareto_threshold


@pytest.fixture(scope="module")
def az():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return pytest.importorskip("arviz")


def tree(az, log_likelihood):
    """ArviZ data of (S, E) log-likelihoods."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = {"posterior": {"x": np.zeros((1, len(log_likelihood)))},
                  "log_likelihood": {"pixels": log_likelihood[None]}}  # fmt: skip
        if int(az.__version__.split(".")[0]) >= 1:
            return az.from_dict(groups)
        return az.from_dict(**groups)


def table(az, **likelihoods):
    return loo_table({n: tree(az, one) for n, one in likelihoods.items()}, likelihoods).set_index(
        "predictor"
    )


def gaussian(seed, size, *, shift=0.0, scale=1.0, draws=400):
    """Draws of a mean with its posterior of ``size`` observations, which are the exposures."""
    generator = np.random.default_rng(seed)
    y = np.random.default_rng(0).normal(0.0, 1.0, size)
    mean = generator.normal(y.mean() + shift, scale / np.sqrt(size), draws)
    return -0.5 * (y - mean[:, None]) ** 2 - 0.5 * np.log(2 * np.pi)


def test_terms_are_those_of_arviz(az):
    good, bad = gaussian(1, 30, draws=4000), gaussian(2, 30, shift=1.5, draws=4000)
    found = table(az, good=good, bad=bad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = az.compare({"good": tree(az, good), "bad": tree(az, bad)})
    names = {"elpd_loo": "elpd", "p_loo": "p"}
    for column in ("elpd_loo", "p_loo", "se", "elpd_diff", "dse", "weight", "rank"):
        theirs = expected[column if column in expected else names[column]]
        # Weights come from an optimiser: its tolerance.
        np.testing.assert_allclose(
            found[column].astype(float), theirs[found.index].astype(float), rtol=1e-5, atol=1e-4
        )
    assert list(found.index) == ["good", "bad"]
    assert found.loc["good", "trusted"]
    lpd = np.log(np.exp(good).mean(0)).sum()
    assert found.loc["good", "lpd"] == pytest.approx(lpd, rel=1e-12)


def test_weights_do_not_underflow_for_large_exposures(az):
    """exp(-3000) is 0: the same two posteriors, each exposure 3000 nat less likely under both."""
    good, bad = gaussian(1, 8), gaussian(2, 8, shift=3.0)
    plain, large = table(az, good=good, bad=bad), table(az, good=good - 3e3, bad=bad - 3e3)
    assert plain.loc["good", "weight"] > 0.9
    assert large.loc["good", "weight"] == pytest.approx(plain.loc["good", "weight"], abs=1e-6)
    assert large.loc["good", "elpd_loo"] == pytest.approx(plain.loc["good", "elpd_loo"] - 24e3)
    assert large.loc["bad", "elpd_diff"] == pytest.approx(plain.loc["bad", "elpd_diff"])


def test_what_cannot_be_trusted_is_said(az):
    few = gaussian(3, 6, draws=16)
    wild = 50.0 * np.random.default_rng(4).normal(size=(16, 6))
    found = table(az, few=few, wild=wild)
    assert found.loc["wild", "exposures_above"] == 6
    assert not found.loc["wild", "trusted"]
    assert found.loc["few", "threshold"] == pytest.approx(1.0 - 1.0 / np.log10(16))
    assert pareto_threshold(5) == 0.0
    assert pareto_threshold(10**6) == 0.7


def test_exposures_on_which_all_draws_agree_do_not_count(az):
    """One without a valid pixel, and every one under a single set of weights."""
    with_empty = gaussian(5, 7)
    with_empty[:, 3] = 0.0
    found = table(az, draws=with_empty, point=np.repeat(with_empty[:1], 400, axis=0))
    assert found.loc["draws", "trusted"]
    assert np.isfinite(found.loc["draws", "pareto_k_max"])
    assert np.isnan(found.loc["point", "pareto_k_max"])
    assert found.loc["point", "trusted"]
    assert found.loc["point", "elpd_loo"] == pytest.approx(with_empty[0].sum())


def test_nothing_to_compare_is_an_empty_table(az):
    assert list(loo_table({}, {}).columns) == list(COLUMNS)
    assert loo_table({"x": None}, {"x": np.zeros((8, 1))}).empty
    assert loo_table({"x": None}, {"x": np.zeros((1, 8))}).empty
    assert len(table(az, alone=gaussian(6, 5))) == 1


def test_arviz_1_has_other_names(monkeypatch):
    """Its ELPD data are a plain object with elpd, p, elpd_i; compare takes them."""

    def loo(data, *, pointwise, reff):
        assert (pointwise, reff) == (True, 1.0)
        each = np.log(np.exp(data).mean(axis=0))
        return SimpleNamespace(
            elpd=each.sum(), p=0.5, se=1.0, elpd_i=each, pareto_k=np.full(each.size, 0.1)
        )

    def compare(single):
        import pandas as pd

        assert max(one.elpd_i.max() for one in single.values()) == 0.0
        best = max(one.elpd for one in single.values())
        return pd.DataFrame(
            {n: {"rank": 0, "elpd_diff": best - one.elpd, "dse": 0.0, "weight": 0.5}
             for n, one in single.items()}
        ).T  # fmt: skip

    fake = SimpleNamespace(loo=loo, compare=compare)
    monkeypatch.setattr("bayescr.evaluation.loo.import_arviz", lambda: fake)
    likelihoods = {"a": gaussian(7, 4), "b": gaussian(8, 4, shift=2.0)}
    found = loo_table(likelihoods, likelihoods).set_index("predictor")
    assert found.loc["a", "elpd_loo"] == pytest.approx(found.loc["a", "lpd"])
    assert found.loc["b", "elpd_diff"] == pytest.approx(
        found.loc["a", "elpd_loo"] - found.loc["b", "elpd_loo"]
    )
