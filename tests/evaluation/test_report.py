"""The table equals direct calls of the metrics on the pixels; what is saved can be made again."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from bayescr.errors import BayescrError
from bayescr.evaluation import (
    augrc,
    aurc,
    base_rate,
    brier,
    brier_skill,
    ece,
    evaluate,
    mean_entropy,
    nll,
    tpr_at_fpr,
)

COLUMNS = [
    "predictor",
    "field",
    "Brier",
    "Brier skill",
    "NLL",
    "ECE",
    "ECE (p > 0.001)",
    "AURC",
    "AUGRC",
    "TPR at 0.05% FPR",
    "TPR at 0.5% FPR",
    "mean entropy",
    "mean mutual information",
    "temperature",
    "exposures",
    "pixels",
]


def row(report, predictor, field="all"):
    table = report.table
    return table[(table.predictor == predictor) & (table.field == field)].iloc[0]


def pixels(dataset, posterior, *, exposures=None, num_samples=5, seed=3):
    """Logit of the mean probability, mutual information and label, without the package's help."""
    logit, information, target = [], [], []
    for item in dataset:
        if exposures is not None and item["exposure"] not in exposures:
            continue
        valid = item["valid"].expand_as(item["target"])
        draws = posterior.logits(item["image"], num_samples=num_samples, seed=seed)
        p = torch.stack([torch.sigmoid(z.double()) for z in draws])[:, valid].numpy()
        entropy = -p * np.log(p) - (1 - p) * np.log1p(-p)
        mean = p.mean(0)
        logit.append(np.log(mean) - np.log1p(-mean))
        information.append(-mean * np.log(mean) - (1 - mean) * np.log1p(-mean) - entropy.mean(0))
        target.append(item["target"][valid].numpy())
    return np.concatenate(logit), np.concatenate(information), np.concatenate(target)


def test_one_row_per_predictor_and_field(report):
    assert list(report.table.columns) == COLUMNS
    names = ["base rate", "mean-field", "MAP", "cold"]
    assert list(report.table.predictor) == names * 3
    assert list(report.table.field) == ["all"] * 4 + ["extragalactic"] * 4 + ["globular"] * 4
    assert list(report.table.exposures) == [3] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize(
    ("field", "exposures"), [("all", "abc"), ("extragalactic", "a"), ("globular", "bc")]
)
@pytest.mark.parametrize("name", ["mean-field", "MAP"])
def test_rows_equal_the_metrics_of_their_pixels(
    report, posteriors, dataset, name, field, exposures
):
    z, information, y = pixels(dataset, posteriors[name], exposures=exposures)
    expected = {
        "Brier": brier(z, y),
        "Brier skill": brier_skill(z, y),
        "NLL": nll(z, y),
        "ECE": ece(z, y),
        "ECE (p > 0.001)": ece(z, y, above=0.001),
        "AURC": aurc(z, y),
        "AUGRC": augrc(z, y),
        "TPR at 0.05% FPR": tpr_at_fpr(z, y, 0.0005),
        "TPR at 0.5% FPR": tpr_at_fpr(z, y, 0.005),
        "mean entropy": mean_entropy(z),
        "mean mutual information": information.mean(),
        "temperature": 1.0,
        "pixels": y.size,
    }
    found = row(report, name, field)
    for column, value in expected.items():
        # The report keeps logits in float32: 6e-8 relative, of logits up to 30.
        assert found[column] == pytest.approx(value, rel=1e-5, abs=1e-7), column


def test_base_rate_row(report, dataset):
    y = pixels(dataset, type("P", (), {"logits": lambda s, x, **k: [x]})())[2]
    found = row(report, "base rate")
    assert found["Brier skill"] == pytest.approx(0.0, abs=1e-12)
    assert found["ECE"] < 1e-12
    assert found["ECE"] == report.table[report.table.field == "all"]["ECE"].min()
    assert found["AURC"] == pytest.approx(base_rate(y))
    assert found["TPR at 0.5% FPR"] == pytest.approx(0.005)
    assert math.isnan(found["temperature"])


def test_log_likelihood_is_per_draw_and_exposure(report, posteriors, dataset):
    """Patches of an exposure add up; draw s is the same weights everywhere."""
    expected = np.zeros((5, 3))
    for item in dataset:
        valid = item["valid"]
        for s, z in enumerate(
            posteriors["mean-field"].logits(item["image"], num_samples=5, seed=3)
        ):
            pixelwise = torch.distributions.Bernoulli(logits=z.double())
            sums = pixelwise.log_prob(item["target"].double())[valid].sum()
            expected[s, "abc".index(item["exposure"])] += sums
    found = report.scored["mean-field"].log_likelihood
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_replicated_fraction_scatters_about_its_expectation(report, posteriors, dataset):
    mean, variance, count = np.zeros((3, 5, 3))
    for item in dataset:
        for s, z in enumerate(
            posteriors["mean-field"].logits(item["image"], num_samples=5, seed=3)
        ):
            p = torch.sigmoid(z.double())[item["valid"]].numpy()
            e = "abc".index(item["exposure"])
            mean[s, e] += p.sum()
            variance[s, e] += (p * (1 - p)).sum()
            count[s, e] += p.size
    replicas = report.scored["mean-field"].positive_fraction * count
    scores = (replicas - mean) / np.sqrt(variance)
    assert np.abs(scores).max() < 4.0  # 15 standard normal numbers
    assert scores.std() > 0.3  # replicas, not expectations
    np.testing.assert_allclose(replicas, np.round(replicas), atol=1e-9)


def test_invalid_pixels_change_nothing_bit_for_bit(posteriors, dataset, fakes, report):
    other = fakes[0](exposures=dataset.exposures, fields=dataset.fields, size=32)
    for item in other.items:
        hidden = ~item["valid"]
        item["target"][hidden] = 1.0 - item["target"][hidden]
        item["image"][hidden] = torch.nan  # the fake posterior is pixelwise
    again = evaluate(posteriors, other, num_samples=5, seed=3)
    pd.testing.assert_frame_equal(again.table, report.table, check_exact=True)


def test_order_of_exposures_does_not_matter(posteriors, dataset, fakes, report):
    other = fakes[0](exposures=dataset.exposures, fields=dataset.fields, size=32)
    other.items.reverse()
    again = evaluate(posteriors, other, num_samples=5, seed=3)
    pd.testing.assert_frame_equal(again.table, report.table, check_exact=False, rtol=1e-12)


def test_printed_table_marks_tempered_posteriors(report):
    text = str(report)
    assert "cold (T = 0.01)" in text
    assert "a tempered posterior, not the posterior" in text
    assert "mean-field (T" not in text
    assert "Brier skill ↑" in text
    assert "Field: globular" in text
    assert "nan" not in text
    assert "<table" in report._repr_html_()
    assert "3 exposures" in repr(report)


def test_save_gives_the_same_bytes_twice(report, posteriors, dataset, tmp_path):
    report.save(tmp_path / "one")
    evaluate(posteriors, dataset, num_samples=5, seed=3).save(tmp_path / "two")
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert [str(file) for file in files] == [
        "arviz/MAP.nc",
        "arviz/cold.nc",
        "arviz/mean-field.nc",
        "manifest.json",
        "reliability.png",
        "report.csv",
        "report.md",
        "risk_coverage.png",
    ]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    table = pd.read_csv(io.BytesIO((tmp_path / "one" / "report.csv").read_bytes()))
    pd.testing.assert_frame_equal(table, report.table, rtol=1e-15, check_dtype=False)
    assert (tmp_path / "one" / "report.md").read_text(encoding="utf-8") == str(report)


def test_manifest_says_how_to_make_it_again(report, dataset, fakes, posteriors):
    manifest = json.loads(json.dumps(report.manifest))
    assert manifest["settings"] == {"num_samples": 5, "seed": 3, "sites": None}
    assert manifest["data"]["valid_pixels"] == sum(int(x["valid"].sum()) for x in dataset)
    assert manifest["data"]["exposures"]["b"]["field"] == "globular"
    assert manifest["data"]["scaling"] == {"softening": 1.0}
    assert manifest["posteriors"]["cold"]["temperature"] == 0.01
    assert manifest["posteriors"]["MAP"]["provenance"] == {"seed": 0}
    assert {"bayescr", "numpy", "torch", "python"} <= set(manifest["versions"])
    other = fakes[0](exposures=dataset.exposures, fields=dataset.fields, size=32)
    other.items[0]["image"][0, 0, 0] += 1.0
    hashed = evaluate({"a": posteriors["MAP"]}, other, num_samples=1).manifest["data"]["sha256"]
    assert hashed != manifest["data"]["sha256"]


def test_several_classes_are_pooled_and_one_field_gets_no_rows_of_its_own(fakes):
    dataset = fakes[0](exposures=["a", "b"], fields={"a": "x", "b": "x"}, num_classes=3)
    report = evaluate({"one": fakes[1](num_classes=3)}, dataset, num_samples=2)
    assert list(report.table.field) == ["all", "all"]
    expected = 3 * sum(int(item["valid"].sum()) for item in dataset)
    assert row(report, "one")["pixels"] == expected


def test_no_valid_pixel_at_all_is_defined(fakes, tmp_path):
    dataset = fakes[0](exposures=["a"])
    dataset.items[0]["valid"][:] = False
    report = evaluate({"one": fakes[1]()}, dataset, num_samples=2)
    assert math.isnan(row(report, "one")["Brier"])
    report.save(tmp_path)


def test_no_positive_pixel_is_defined(fakes, tmp_path):
    dataset = fakes[0](exposures=["a"])
    dataset.items[0]["target"][:] = 0.0
    report = evaluate({"one": fakes[1]()}, dataset, num_samples=2)
    assert math.isnan(row(report, "one")["TPR at 0.5% FPR"])
    assert row(report, "base rate")["NLL"] == 0.0
    report.save(tmp_path)


def test_progress_counts_items(fakes, dataset):
    seen = []
    evaluate({"x": fakes[1]()}, dataset, num_samples=1, progress=lambda *at: seen.append(at))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_mismatches_are_one_clear_line(fakes, dataset, tmp_path):
    make_dataset, make_posterior = fakes
    fine = make_posterior()
    other_scaling = make_posterior(scaling=type(fine.scaling)(softening=2.0))
    broken = make_posterior(slope=float("nan"))
    soft = make_dataset(exposures=["a"])
    soft.items[0]["target"][:] = 0.5
    classes = make_posterior(num_classes=2)
    narrow = make_posterior()
    narrow.logits = lambda image, **_: iter([image[:, :8]])
    cases = [
        (lambda: evaluate({}, dataset), "no posterior to evaluate"),
        (lambda: evaluate({"x": fine}, make_dataset(exposures=[])), "dataset is empty"),
        (lambda: evaluate({"base rate": fine}, dataset), "always in the table"),
        (lambda: evaluate({"a/b": fine, "a b": fine}, dataset), "would share the file"),
        (lambda: evaluate({"x": other_scaling}, dataset), "scaling=posterior.scaling"),
        (lambda: evaluate({"x": classes}, dataset), "has 2 classes but the dataset has 1"),
        (lambda: evaluate({"x": narrow}, dataset), "gives logits of shape"),
        (lambda: evaluate({"x": broken}, dataset), "NaN logits for exposure 'a'"),
        (lambda: evaluate({"x": fine}, soft), "not 0 or 1 in a valid pixel"),
        (lambda: evaluate({"x": fine}, dataset, num_samples=0), "num_samples is 0"),
        (lambda: evaluate({"x": fine}, dataset, sites=["head.bais"]), "did you mean 'head.bias'"),
    ]
    for call, message in cases:
        with pytest.raises(BayescrError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_saving_where_a_file_stands_is_one_clear_line(report, tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(BayescrError, match="cannot write"):
        report.save(tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
