"""The table equals direct calls of the metrics on the pixels; what is saved can be made again."""

from __future__ import annotations

import json
import math
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

from bayescr.errors import BayescrError
from bayescr.evaluation import (
    METRICS,
    Metric,
    Platt,
    Recalibrated,
    Statistic,
    augrc,
    auprc,
    aurc,
    auroc,
    base_rate,
    brier,
    brier_skill,
    ece,
    evaluate,
    iou,
    mean_entropy,
    nll,
    tpr_at_fpr,
)
from bayescr.evaluation.bootstrap import Resampling, mean_of_seeds
from bayescr.evaluation.classical import Astroscrappy
from bayescr.evaluation.records import MAX_BLOCKS
from bayescr.evaluation.streaming import observe
from bayescr.models.likelihoods import Bernoulli, NoisyLabelBernoulli, WeightedBernoulli


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
    names = ["base rate", "mean-field", "MAP", "cold"]
    columns = [metric.name for metric in METRICS]
    assert list(report.table.columns) == [
        "predictor", "field", *columns, "temperature", "exposures", "pixels", "seeds", "passes",
    ]  # fmt: skip
    assert list(report.table.predictor) == names * 3
    assert list(report.table.field) == ["all"] * 4 + ["extragalactic"] * 4 + ["globular"] * 4
    assert list(report.table.exposures) == [3] * 4 + [1] * 4 + [2] * 4
    assert set(report.table.seeds) == {1}
    assert list(report.table.passes[:4]) == [0, 5, 1, 5]


@pytest.mark.parametrize(
    ("field", "exposures"), [("all", "abc"), ("extragalactic", "a"), ("globular", "bc")]
)
@pytest.mark.parametrize("name", ["mean-field", "MAP"])
def test_rows_equal_the_metrics_of_their_pixels(
    report, posteriors, dataset, name, field, exposures
):
    z, information, y = pixels(dataset, posteriors[name], exposures=exposures)
    # Sums of the logits as they are: float32, 6e-8 relative, of logits up to 30.
    exact = {
        "Brier": brier(z, y),
        "Brier skill": brier_skill(z, y),
        "NLL": nll(z, y),
        "mean entropy": mean_entropy(z),
        "mean mutual information": information.mean() if name != "MAP" else 0.0,
        "IoU": iou(z, y),
        "temperature": 1.0,
        "pixels": y.size,
    }
    found = row(report, name, field)
    for column, value in exact.items():
        assert found[column] == pytest.approx(value, rel=1e-5, abs=1e-7), column
    # Cells of 1/64 in the logit: what ranks or bins sees neighbours within 1.6% of p as equal. One
    # of 3000 pixels in another bin, or before its neighbour, moves these by about 1e-3.
    celled = {
        "ECE": ece(z, y),
        "ECE (p > 0.001)": ece(z, y, above=0.001),
        "AUGRC": augrc(z, y),
        "AUROC": auroc(z, y),
        "AUPRC": auprc(z, y),
        "TPR at 0.05% FPR": tpr_at_fpr(z, y, 0.0005),
        "TPR at 0.5% FPR": tpr_at_fpr(z, y, 0.005),
    }
    for column, value in celled.items():
        assert found[column] == pytest.approx(value, abs=3e-3), column
    assert found["AURC"] == pytest.approx(aurc(z, y), rel=0.02, abs=1e-6)


def test_base_rate_row(report, dataset):
    y = pixels(dataset, type("P", (), {"logits": lambda s, x, **k: [x]})())[2]
    found = row(report, "base rate")
    assert found["Brier skill"] == pytest.approx(0.0, abs=1e-12)
    assert found["ECE"] < 1e-12
    assert found["ECE"] == report.table[report.table.field == "all"]["ECE"].min()
    assert found["AURC"] == pytest.approx(base_rate(y))
    assert found["TPR at 0.5% FPR"] == pytest.approx(0.005)
    assert math.isnan(found["temperature"])
    # One forecast for all fields: where cosmic rays are rarer than on average it is too high.
    in_field = row(report, "base rate", "globular")
    rate = base_rate(pixels(dataset, FROM_IMAGE, exposures="bc")[2])
    assert in_field["ECE"] == pytest.approx(abs(rate - base_rate(y)), rel=1e-9)


FROM_IMAGE = type("P", (), {"logits": lambda self, image, **_: [image]})()


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
    found = report.rows["mean-field"][0].log_likelihood
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
    replicas = report.rows["mean-field"][0].positive_fraction * count
    scores = (replicas - mean) / np.sqrt(variance)
    assert np.abs(scores).max() < 4.0  # 15 standard normal numbers
    assert scores.std() > 0.3  # replicas, not expectations
    np.testing.assert_allclose(replicas, np.round(replicas), atol=1e-9)


def test_tables_are_saved_without_figures_where_none_are_wanted(report, tmp_path):
    report.save(tmp_path, figures=False)
    assert not (tmp_path / "figures").exists()
    for name in ("table", "intervals", "differences", "hits", "loo"):
        saved = pd.read_parquet(tmp_path / "tables" / f"{name}.parquet")
        pd.testing.assert_frame_equal(saved, getattr(report, name), check_exact=True)
    assert "<figure" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_invalid_pixels_change_nothing_bit_for_bit(posteriors, dataset, fakes, report):
    other = fakes[0](exposures=dataset.exposures, fields=dataset.fields, size=32)
    for item in other.items:
        hidden = ~item["valid"]
        item["target"][hidden] = 1.0 - item["target"][hidden]
        item["image"][hidden] = torch.nan  # the fake posterior is pixelwise
    again = evaluate(posteriors, other, num_samples=5, seed=3, num_bootstrap=20)
    pd.testing.assert_frame_equal(again.table, report.table, check_exact=True)


def test_order_of_exposures_does_not_matter(posteriors, dataset, fakes, report):
    """Not by one bit: here each exposure is one item, or its patches stay in order."""
    other = fakes[0](exposures=dataset.exposures, fields=dataset.fields, size=32)
    other.items = [other.items[index] for index in (3, 0, 2, 1)]
    other.exposures = [item["exposure"] for item in other.items]
    again = evaluate(posteriors, other, num_samples=5, seed=3, num_bootstrap=20)
    for name in ("table", "intervals", "differences", "hits", "loo"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(report, name), check_exact=True)
    assert again.manifest == report.manifest
    for name, tree in again.arviz.items():
        for group in ("posterior_predictive", "log_likelihood", "observed_data"):
            for variable, values in tree[group].data_vars.items():
                np.testing.assert_array_equal(values, report.arviz[name][group][variable])


def test_printed_table_marks_tempered_posteriors_and_what_can_be_told_apart(report):
    text = report.to_markdown()
    assert "cold (T = 0.01)" in text
    assert "Tempered, and so not the posterior: cold" in text
    assert "mean-field (T" not in text
    assert "Brier skill ↑" in text
    assert "Field: globular" in text
    assert "nan" not in text
    assert "▼" in text.split("| Brier ↓")[1].split("\n")[0]  # the base rate
    assert "Field: globular" not in str(report)
    assert "<table" in report._repr_html_()
    assert "3 exposures" in repr(report)


@pytest.mark.slow
def test_save_gives_the_same_bytes_twice(report, posteriors, dataset, tmp_path):
    report.save(tmp_path / "one")
    again = evaluate(posteriors, dataset, num_samples=5, seed=3, num_bootstrap=20)
    again.save(tmp_path / "two")
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    names = {str(file) for file in files}
    tables = ["table", "intervals", "differences", "hits", "loo"]
    figures = ["reliability", "risk_coverage", "roc", "precision_recall", "error_against_entropy"]
    figures += [f"exposure-{w}-{n}" for w in ("best", "worst") for n in ("mean-field", "MAP")]
    assert names >= {
        "report.md", "report.html", "manifest.json", "hardware.json",
        *(f"tables/{name}.{kind}" for name in tables for kind in ("csv", "parquet", "md", "tex")),
        *(f"figures/{name}.{kind}" for name in figures for kind in ("png", "pdf")),
        *(f"arviz/{name}.nc" for name in ("MAP", "cold", "mean-field")),
    }  # fmt: skip
    for file in files:
        if file.name != "hardware.json":
            one, two = ((tmp_path / part / file).read_bytes() for part in ("one", "two"))
            assert one == two, file
    table = pd.read_csv(tmp_path / "one" / "tables" / "table.csv")
    pd.testing.assert_frame_equal(table, report.table, rtol=1e-15, check_dtype=False)
    stored = pd.read_parquet(tmp_path / "one" / "tables" / "intervals.parquet")
    pd.testing.assert_frame_equal(stored, report.intervals, check_exact=True)
    text = (tmp_path / "one" / "report.md").read_text(encoding="utf-8")
    assert text == report.to_markdown()
    tex = (tmp_path / "one" / "tables" / "table.tex").read_text(encoding="utf-8")
    assert "TPR at 0.05\\% FPR" in tex
    assert tex.count(r"\\") == 1 + len(report.table)
    listed = json.loads((tmp_path / "one" / "hardware.json").read_text())["files"]
    assert sorted(listed) == sorted(names - {"manifest.json", "hardware.json"})


def test_saving_in_the_place_of_another_report_leaves_nothing_of_it_and_all_else(
    report, fakes, dataset, tmp_path
):
    report.save(tmp_path, figures=False)
    (tmp_path / "tables" / "mine.csv").write_text("mine")
    other = evaluate({"x": fakes[1]()}, dataset, num_samples=1, num_bootstrap=0)
    other.save(tmp_path, figures=False)
    assert {path.name for path in (tmp_path / "arviz").iterdir()} == {"x.nc"}
    assert (tmp_path / "tables" / "mine.csv").read_text() == "mine"
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()  # so that saving fails on the way
    with pytest.raises(BayescrError, match=r"report\.html"):
        other.save(tmp_path, figures=False)
    assert not (tmp_path / "manifest.json").exists()  # it is not complete, and does not say so


def test_intervals_and_differences_are_those_of_resampled_exposures(fakes):
    """Of a metric that is a mean over pixels, from the exposures' own sums."""
    names = [f"e{index}" for index in range(8)]
    dataset = fakes[0](exposures=names, size=24)
    rows = {"a": fakes[1](), "b": fakes[1](slope=0.5, spread=0.0)}
    report = evaluate(rows, dataset, num_samples=3, num_bootstrap=200, metrics=METRICS[:3])
    resampling = Resampling.of(8, num_bootstrap=200, seed=0)
    estimates = {}
    for name, posterior in rows.items():
        sums = []
        for exposure in names:
            z, _, y = pixels(dataset, posterior, exposures=[exposure], num_samples=3, seed=0)
            sums.append([y.size, y.size * nll(z, y)])
        values = resampling.apply(np.array(sums), lambda total: total[1] / total[0])
        estimates[name] = resampling.estimate(values)
        found = report.intervals.query("predictor == @name and metric == 'NLL'").iloc[0]
        assert found["value"] == pytest.approx(estimates[name].value, rel=1e-5)
        low, high = estimates[name].interval()
        assert (found["low"], found["high"]) == pytest.approx((low, high), rel=1e-4)
    assert report.reference == "b"  # the deterministic one
    paired = estimates["a"] - estimates["b"]
    found = report.differences.query("predictor == 'a' and metric == 'NLL'").iloc[0]
    assert found["difference"] == pytest.approx(paired.value, rel=1e-4)
    assert (found["low"], found["high"]) == pytest.approx(paired.interval(), rel=1e-3)
    assert found["verdict"] == paired.verdict("lower") == "better"
    assert any(note.startswith("a beats b on all exposures: NLL ") for note in report.notes)


def test_rows_whose_seeds_belong_together_differ_network_by_network(fakes):
    names = [f"e{index}" for index in range(8)]
    dataset, slopes = fakes[0](exposures=names, size=24), (0.5, 0.8, 1.4)
    rows = {
        "a": [fakes[1](slope=1.05 * slope, spread=0.0) for slope in slopes],
        "b": [fakes[1](slope=slope, spread=0.0) for slope in slopes],
        "fewer": [fakes[1](slope=slope, spread=0.0) for slope in slopes[:2]],
    }
    options = {"reference": "b", "num_samples": 1, "num_bootstrap": 200, "metrics": METRICS[:3]}
    resampling = Resampling.of(8, num_bootstrap=200, seed=0)
    estimates = {name: [] for name in rows}
    for name, members in rows.items():
        for posterior in members:
            sums = []
            for exposure in names:
                z, _, y = pixels(dataset, posterior, exposures=[exposure], num_samples=1, seed=0)
                sums.append([y.size, y.size * nll(z, y)])
            values = resampling.apply(np.array(sums), lambda total: total[1] / total[0])
            estimates[name].append(resampling.estimate(values))
    together = mean_of_seeds(
        [a - b for a, b in zip(estimates["a"], estimates["b"], strict=True)]
    ).interval()
    apart = {
        name: (mean_of_seeds(estimates[name]) - mean_of_seeds(estimates["b"])).interval()
        for name in ("a", "fewer")
    }
    assert np.ptp(together) < 0.5 * np.ptp(apart["a"])  # what the slopes do is in neither's way

    for pair_seeds, expected in ((True, together), (False, apart["a"])):
        report = evaluate(rows, dataset, pair_seeds=pair_seeds, **options)
        assert report.manifest["settings"]["pair_seeds"] is pair_seeds
        found = report.differences.query("reference == 'b' and metric == 'NLL'")
        found = found.set_index("predictor")
        assert tuple(found.loc["a", ["low", "high"]]) == pytest.approx(expected, rel=1e-3)
        assert tuple(found.loc["fewer", ["low", "high"]]) == pytest.approx(apart["fewer"], rel=1e-3)


def test_seeds_of_an_arm_are_averaged_and_an_ensemble_of_points_stands_by(fakes, dataset):
    points = [fakes[1](slope=slope, spread=0.0) for slope in (0.8, 1.0, 1.3)]
    options = {"num_samples": 2, "num_bootstrap": 0}
    report = evaluate({"MAP": points, "one": fakes[1]()}, dataset, **options)
    alone = [evaluate({"x": point}, dataset, **options) for point in points]
    assert row(report, "MAP")["seeds"] == 3
    for metric in ("Brier", "AUROC", "hit recall"):
        mean = np.mean([row(single, "x")[metric] for single in alone])
        assert row(report, "MAP")[metric] == pytest.approx(mean, rel=1e-12)
    together = row(report, "MAP, ensemble of 3")
    p = np.mean([expit(pixels(dataset, point)[0]) for point in points], axis=0)
    y = pixels(dataset, points[0])[2]
    assert together["Brier"] == pytest.approx(np.mean((p - y) ** 2), rel=1e-5)
    assert together["mean mutual information"] > 0.0
    assert {
        *(f"MAP, network {number}" for number in (1, 2, 3)),
        "one",
        "MAP, ensemble of 3",
    } == set(report.arviz)
    assert (together["passes"], row(report, "MAP")["passes"]) == (3, 1)
    kinds = {name: tree.attrs["sampling"].split(",")[0] for name, tree in report.arviz.items()}
    assert kinds["MAP, network 1"] == "one set of weights"
    assert kinds["one"].startswith("balanced draws")
    assert kinds["MAP, ensemble of 3"].startswith("networks trained from several seeds")
    assert set(report.differences.reference) == {"MAP", "MAP, ensemble of 3"}


def test_points_get_a_row_under_their_temperature(fakes, dataset):
    overconfident = fakes[1](slope=2.0, spread=0.0)
    validation = fakes[0](exposures=["v", "w"], size=64, seed=9)
    report = evaluate(
        {"MAP": overconfident, "mean-field": fakes[1]()},
        dataset, validation=validation, num_samples=2, num_bootstrap=0,
    )  # fmt: skip
    scaled = "MAP, temperature-scaled"
    assert report.reference == scaled
    assert row(report, scaled)["NLL"] < row(report, "MAP")["NLL"]
    for metric in ("AUROC", "AUPRC", "TPR at 0.05% FPR", "precision at 95% recall", "AURC", "IoU"):
        # A temperature changes no order, and cells tie the same pixels before and after.
        assert row(report, scaled)[metric] == row(report, "MAP")[metric], metric
    (fitted,) = report.manifest["rows"][scaled][0]["provenance"]["recalibration"]
    # The truth is a temperature of 2, and 8000 pixels tell it to some 5%.
    assert fitted["temperature"] == pytest.approx(2.0, rel=0.15)
    assert report.manifest["other_data"]["validation"]["exposures"] == 2
    assert not any("no temperature-scaled row" in note for note in report.notes)


def test_what_is_missing_is_said(fakes, dataset):
    report = evaluate({"mean-field": fakes[1]()}, dataset, num_samples=2, num_bootstrap=0)
    assert any("no deterministic row" in note for note in report.notes)
    assert any("3 exposures are few" in note for note in report.notes)
    report = evaluate({"MAP": fakes[1](spread=0.0)}, dataset, num_samples=2, num_bootstrap=0)
    assert any("no temperature-scaled row" in note for note in report.notes)


class Threshold:
    """A classical method: how far the raw pixel lies above a level."""

    name, is_probability, provenance = "threshold", False, {"level": 3}  # noqa: RUF012

    def score(self, frame):
        return frame - 3.0


def test_classical_rows_rank_but_are_no_probabilities(fakes, dataset):
    with_frames = fakes[0](exposures=dataset.exposures, fields=dataset.fields, size=32)
    with_frames.frame = lambda index: with_frames.items[index]["image"][0].numpy()
    rows = {"threshold": Threshold(), "MAP": fakes[1](spread=0.0)}
    report = evaluate(rows, with_frames, num_samples=1, num_bootstrap=20)
    found = row(report, "threshold")
    assert math.isnan(found["NLL"])
    assert math.isnan(found["ECE"])
    assert math.isnan(found["mean entropy"])
    # The score is the image less a constant, as the logit of MAP is the image.
    assert found["AUROC"] == pytest.approx(row(report, "MAP")["AUROC"], abs=1e-4)
    z, _, y = pixels(with_frames, FROM_IMAGE)
    assert found["IoU"] == pytest.approx(iou(z - 3.0, y))
    assert "threshold" not in report.arviz
    calibrated = Recalibrated(Threshold(), Platt(slope=1.0, intercept=3.0))
    again = evaluate({"threshold": calibrated, **{"MAP": rows["MAP"]}}, with_frames, num_samples=1,
                     num_bootstrap=0)  # fmt: skip
    assert row(again, "threshold")["NLL"] == pytest.approx(row(report, "MAP")["NLL"], rel=1e-6)
    with pytest.raises(BayescrError, match=r"needs the raw frames .* frame\(index\)"):
        evaluate(rows, dataset, num_samples=1)


def test_a_row_whose_package_is_missing_is_skipped_with_the_reason(fakes, dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "astroscrappy", None)
    rows = {"MAP": fakes[1](spread=0.0), "L.A.Cosmic": Astroscrappy()}
    report = evaluate(rows, dataset, num_samples=1, num_bootstrap=0)
    assert "L.A.Cosmic" not in set(report.table.predictor)
    assert "astroscrappy" in report.manifest["skipped"]["L.A.Cosmic"]
    assert any(note.startswith("No row L.A.Cosmic: ") for note in report.notes)


def test_a_temperature_that_cannot_be_fitted_costs_its_row_alone(fakes, dataset):
    easy = fakes[0](exposures=["v"], sharpness=50.0)
    for item in easy.items:  # the sign of the logit is always right
        item["target"] = (item["image"] > 0).float()
    report = evaluate(
        {"MAP": fakes[1](spread=0.0)}, dataset, validation=easy, num_samples=1, num_bootstrap=0,
        skipped={"deepCR": "no weights"}, context={"why": "a test"},
    )  # fmt: skip
    assert list(report.table.predictor.unique()) == ["base rate", "MAP"]
    assert "temperature" in report.manifest["skipped"]["MAP, temperature-scaled"]
    assert report.manifest["skipped"]["deepCR"] == "no weights"
    assert report.manifest["context"] == {"why": "a test"}
    assert any(note == "No row deepCR: no weights." for note in report.notes)


def test_a_metric_that_fails_is_named_before_the_work(fakes, dataset):
    asked = []

    class Watched(fakes[1]):
        def logits(self, *args, **kwargs):
            asked.append(1)
            return super().logits(*args, **kwargs)

    def faint(frame):
        return np.array([(frame.significance < 5.0).sum()])  # this dataset has none

    broken = Metric(
        name="faint", better=None, statistic=Statistic(of=faint), compute=lambda total: total[0]
    )
    with pytest.raises(BayescrError, match="metric 'faint' fails on exposure 'a': TypeError"):
        evaluate({"x": Watched()}, dataset, metrics=[broken])
    assert not asked


def test_data_of_another_kind_is_told_by_uncertainty(fakes, dataset, posteriors):
    class Unsure(fakes[1]):
        """Its draws scatter the more, the larger the image."""

        def logits(self, image, *, num_samples=16, seed=0):
            for offset in self.draw(num_samples, seed=seed)["head.bias"]:
                yield image * (1.0 + offset)

    shifted = fakes[0](exposures=["s", "t"], size=16, seed=7, sharpness=0.3)
    report = evaluate(
        {"unsure": Unsure(), "MAP": posteriors["MAP"]},
        dataset, shifted=shifted, num_samples=4, num_bootstrap=100,
    )  # fmt: skip
    assert list(report.shift["predictor"]) == ["unsure"] * 2 + ["MAP"] * 2
    found = report.shift.iloc[0]
    assert found["measure"] == "mean mutual information"
    assert found["auroc"] == 1.0
    assert (found["inside"], found["outside"]) == (3, 2)
    assert report.shift.query("predictor == 'MAP'").iloc[0]["auroc"] == 0.5  # it is never unsure


def test_what_a_likelihood_says_of_itself_is_told(fakes, dataset):
    """Once a note, for every row of such a training, beside the temperature."""

    def trained(likelihood, **settings):
        posterior = fakes[1](**settings)
        posterior.model = SimpleNamespace(likelihood=likelihood)
        return posterior

    weighted = WeightedBernoulli(positive=20.0)
    point = trained(weighted, spread=0.0, name="map")
    rows = {
        "plain": trained(Bernoulli()),
        "own": trained(lambda logits, target, valid: None),
        "unknown": fakes[1](),
        "weighted": trained(weighted, temperature=0.5),
        "weighted MAP": [point, trained(weighted, spread=0.0, name="map")],
        "noisy": trained(NoisyLabelBernoulli(missed=0.1, false_alarm=0.002)),
    }
    notes = evaluate(rows, dataset, num_samples=2, num_bootstrap=0).notes
    told = [note for note in notes if "labels" in note]
    assert len(told) == 2
    assert told[0] == (f"weighted, weighted MAP, weighted MAP, ensemble of 2: {weighted.note}.")
    assert "+3" in weighted.note  # log 20 = 2.996
    assert told[1].startswith("noisy: labels held to lack 10% of the true pixels and to flag 0.2%")
    tempered = next(note for note in notes if note.startswith("Tempered"))
    assert notes.index(told[0]) == notes.index(tempered) + 1


def test_a_metric_of_ones_own_joins(fakes, dataset):
    flagged = Metric(
        name="flagged", better=None,
        statistic=Statistic(of=lambda frame: np.array([frame.z.size, (frame.z > 0).sum()])),
        compute=lambda total: total[1] / total[0],
    )  # fmt: skip
    report = evaluate({"x": fakes[1](spread=0.0)}, dataset, num_samples=1,
                      metrics=[*METRICS, flagged], num_bootstrap=20)  # fmt: skip
    z, _, _ = pixels(dataset, FROM_IMAGE)
    assert row(report, "x")["flagged"] == np.mean(z > 0.0)
    assert "your own" in str(report)
    assert set(report.intervals.metric) >= {"flagged"}


def test_many_exposures_share_blocks(fakes):
    """Each of one field, and all pixels still count."""
    names = [f"e{index:04d}" for index in range(700)]
    fields = {name: "even" if index % 2 else "odd" for index, name in enumerate(names)}
    dataset = fakes[0](exposures=names, fields=fields, size=4)
    observed = observe(dataset)
    blocks = set(observed.block.values())
    assert len(blocks) <= MAX_BLOCKS < 700
    in_block = {b: {fields[n] for n in names if observed.block[n] == b} for b in blocks}
    assert all(len(kinds) == 1 for kinds in in_block.values())
    report = evaluate({"x": fakes[1]()}, dataset, num_samples=1, num_bootstrap=1,
                      metrics=METRICS[:1])  # fmt: skip
    assert row(report, "x")["pixels"] == sum(int(item["valid"].sum()) for item in dataset.items)
    assert any("resampled in blocks" in note for note in report.notes)


def test_manifest_says_how_to_make_it_again(report, dataset, fakes, posteriors):
    manifest = json.loads(json.dumps(report.manifest, allow_nan=False))
    settings = manifest["settings"]
    assert (settings["num_samples"], settings["seed"], settings["sites"]) == (5, 3, None)
    assert (settings["num_bootstrap"], settings["level"]) == (20, 0.95)
    assert settings["reference"] == report.reference == "MAP"
    assert settings["metrics"] == [metric.name for metric in METRICS]
    assert manifest["data"]["valid_pixels"] == sum(int(x["valid"].sum()) for x in dataset)
    assert manifest["data"]["exposures"]["b"]["field"] == "globular"
    assert manifest["data"]["scaling"] == {"softening": 1.0}
    assert manifest["rows"]["cold"][0]["temperature"] == 0.01
    assert manifest["rows"]["MAP"][0]["provenance"] == {"seed": 0}
    assert manifest["rows"]["base rate"][0]["temperature"] is None
    assert len(manifest["versions"]["source_sha256"]) == 64
    assert {"machine", "seconds"} <= set(report.hardware)
    assert {"bayescr", "numpy", "torch", "python"} <= set(manifest["versions"])
    other = fakes[0](exposures=dataset.exposures, fields=dataset.fields, size=32)
    other.items[0]["image"][0, 0, 0] += 1.0
    assert observe(other).sha256 != manifest["data"]["sha256"]


def test_several_classes_have_rows_of_their_own_and_a_single_field_has_not(fakes, tmp_path):
    dataset = fakes[0](exposures=["a", "b"], fields={"a": "x", "b": "x"}, num_classes=3)
    posterior = fakes[1](num_classes=3)
    report = evaluate({"one": posterior}, dataset, num_samples=5, seed=3, num_bootstrap=5)
    fields = ["all", "class 0", "class 1", "class 2"]
    assert list(report.table.field) == [field for field in fields for _ in range(2)]
    expected = sum(int(item["valid"].sum()) for item in dataset)
    assert row(report, "one")["pixels"] == 3 * expected
    of_class = [
        {**item, "target": item["target"][1:2], "image": item["image"][1:2]} for item in dataset
    ]
    z, _, y = pixels(of_class, posterior)
    found = row(report, "one", "class 1")
    assert found["pixels"] == expected
    assert found["NLL"] == pytest.approx(nll(z, y), rel=1e-5)
    assert found["IoU"] == pytest.approx(iou(z, y))
    report.save(tmp_path)


def test_no_valid_pixel_at_all_is_defined(fakes, tmp_path):
    dataset = fakes[0](exposures=["a"])
    dataset.items[0]["valid"][:] = False
    report = evaluate({"one": fakes[1]()}, dataset, num_samples=2, num_bootstrap=5)
    assert math.isnan(row(report, "one")["Brier"])
    report.save(tmp_path)


@pytest.mark.slow
def test_no_positive_pixel_is_defined(fakes, tmp_path):
    dataset = fakes[0](exposures=["a"])
    dataset.items[0]["target"][:] = 0.0
    report = evaluate({"one": fakes[1]()}, dataset, num_samples=2, num_bootstrap=5)
    assert math.isnan(row(report, "one")["TPR at 0.5% FPR"])
    assert row(report, "base rate")["NLL"] == 0.0
    report.save(tmp_path)


def test_progress_counts_items(fakes, dataset):
    seen = []
    evaluate(
        {"x": fakes[1]()}, dataset, shifted=fakes[0](exposures=["s"]),
        num_samples=1, num_bootstrap=0, progress=lambda *at: seen.append(at),
    )  # fmt: skip
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_mismatches_are_one_clear_line(fakes, dataset, tmp_path):
    make_dataset, make_posterior = fakes
    fine = make_posterior()
    other_scaling = make_posterior(scaling=type(fine.scaling)(softening=2.0))
    broken = make_posterior(slope=float("nan"))
    soft = make_dataset(exposures=["a"])
    soft.items[0]["target"][:] = 0.5
    classes = make_posterior(num_classes=2)
    narrow = make_posterior()
    point = make_posterior(spread=0.0)
    narrow.logits = lambda image, **_: iter([image[:, :8]])
    cases = [
        (lambda: evaluate({}, dataset), "no predictor to evaluate"),
        (lambda: evaluate({"x": fine}, make_dataset(exposures=[])), "dataset is empty"),
        (lambda: evaluate({"base rate": fine}, dataset), "always in the table"),
        (lambda: evaluate({"a/b": fine, "a b": fine}, dataset), "would share the file"),
        (
            lambda: evaluate({"a": [fine, fine], "a-network-2": fine}, dataset),
            "would share the file",
        ),
        (
            lambda: evaluate({"MAP": [point, point], "MAP, ensemble of 2": fine}, dataset),
            "which is made here",
        ),
        (
            lambda: evaluate(
                {"x": fine}, make_dataset(exposures=["a", "b"], fields={"a": "all", "b": "c"})
            ),
            "a field is named 'all'",
        ),
        (lambda: evaluate({"x": other_scaling}, dataset), "scaling=posterior.scaling"),
        (lambda: evaluate({"x": classes}, dataset), "has 2 classes but the dataset has 1"),
        (lambda: evaluate({"x": narrow}, dataset), "gives logits of shape"),
        (lambda: evaluate({"x": broken}, dataset), "NaN logits for exposure 'a'"),
        (lambda: evaluate({"x": fine}, soft), "not 0 or 1 in a valid pixel"),
        (lambda: evaluate({"x": fine}, dataset, num_samples=0), "num_samples is 0"),
        (lambda: evaluate({"x": []}, dataset), "row 'x' has no predictor"),
        (lambda: evaluate({"x": fine}, dataset, num_bootstrap=-1), "num_bootstrap is -1"),
        (lambda: evaluate({"x": fine}, dataset, level=95), "level is 95"),
        (lambda: evaluate({"x": fine}, dataset, metrics=[]), "metrics is empty"),
        (lambda: evaluate({"x": fine}, dataset, metrics=METRICS[:1] * 2), "are named 'Brier'"),
        (lambda: evaluate({"x": fine}, dataset, reference="y"), "unknown reference row 'y'"),
        (lambda: evaluate({"x": fine}, dataset, validation=dataset), "in both the dataset and"),
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
