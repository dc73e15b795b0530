"""The columns of a report: sums over frames give what the pure functions give of all pixels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bayescr.evaluation.counts import LOGIT_GRID
from bayescr.evaluation.metrics import (
    LOGITS,
    METRICS,
    Metric,
    Statistic,
    augrc,
    auprc,
    aurc,
    auroc,
    brier,
    brier_skill,
    calibration_line,
    coverage_at_risk,
    dice,
    e_aurc,
    ece,
    error_detection,
    hit_table,
    iou,
    mce,
    mean_entropy,
    mean_mutual_information,
    murphy,
    nll,
    precision_at_recall,
    risk_coverage,
    tpr_at_fpr,
)
from bayescr.evaluation.scored import ScoredFrame

SIZE = 48


def make_frame(seed, *, shape=(1, SIZE, SIZE), atoms=False):
    generator = np.random.default_rng(seed)
    background, tracks = generator.normal(-8.0, 2.0, shape), generator.normal(1.0, 4.0, shape)
    z = np.where(generator.random(shape) < 0.05, tracks, background)
    doubt = 0.3 * generator.random(shape) * np.exp(-np.abs(z) / 4.0)
    if atoms:  # few distinct values, one to a cell: rounding keeps them
        z, doubt = np.round(2.0 * z) / 2.0, np.round(20.0 * doubt) / 20.0
        z[:, 0, :3] = [np.inf, -np.inf, 0.0]
    y = generator.random(shape) < 1.0 / (1.0 + np.exp(-z))
    return ScoredFrame(
        exposure=f"exposure {seed}",
        logit=z,
        mutual_information=doubt,
        std=np.sqrt(doubt),
        target=y,
        valid=generator.random(shape) < 0.9,
        significance=5.0 + 3.0 * z[0].clip(-20.0, 20.0),
    )


def totals(frames, weights=None):
    weights = [1] * len(frames) if weights is None else weights
    statistics = dict.fromkeys(metric.statistic for metric in METRICS)
    return {
        statistic: sum(
            weight * statistic.of(frame) for weight, frame in zip(weights, frames, strict=True)
        )
        for statistic in statistics
    }


def values(total):
    views = {statistic: statistic.view(array) for statistic, array in total.items()}
    return {metric.name: metric.compute(views[metric.statistic]) for metric in METRICS}


def assert_close(found, expected, *, rtol=1e-11):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=rtol, abs=1e-14, nan_ok=True), name


def pure(frame):
    """Every column from the pure functions of the pixels as they are."""
    z, y, valid = frame.logit, frame.target, frame.valid
    scored = {"valid": valid}
    wrong = (z > 0.0) != y
    hits = hit_table(z, y, valid=valid, significance=frame.significance)
    line = calibration_line(z, y, **scored)
    parts = murphy(z, y, **scored)
    by_entropy = error_detection(-np.abs(z), wrong, **scored)
    by_information = error_detection(frame.mutual_information, wrong, **scored)
    return {
        "Brier": brier(z, y, **scored),
        "Brier skill": brier_skill(z, y, **scored),
        "NLL": nll(z, y, **scored),
        "reliability": parts.reliability,
        "resolution": parts.resolution,
        "uncertainty": parts.uncertainty,
        "ECE": ece(z, y, **scored),
        "ECE (equal mass)": ece(z, y, bins="mass", **scored),
        "ECE (p > 0.001)": ece(z, y, above=0.001, **scored),
        "ECE (flagged)": ece(z, y, above=0.5, **scored),
        "ECE (not flagged)": ece(z, y, up_to=0.5, **scored),
        "MCE": mce(z, y, **scored),
        "calibration slope": line.slope,
        "calibration intercept": line.intercept,
        "AUROC": auroc(z, y, **scored),
        "TPR at 0.01% FPR": tpr_at_fpr(z, y, 0.0001, **scored),
        "TPR at 0.05% FPR": tpr_at_fpr(z, y, 0.0005, **scored),
        "TPR at 0.1% FPR": tpr_at_fpr(z, y, 0.001, **scored),
        "TPR at 0.5% FPR": tpr_at_fpr(z, y, 0.005, **scored),
        "TPR at 1% FPR": tpr_at_fpr(z, y, 0.01, **scored),
        "AUPRC": auprc(z, y, **scored),
        "precision at 95% recall": precision_at_recall(z, y, 0.95, **scored),
        "IoU": iou(z, y, **scored),
        "Dice": dice(z, y, **scored),
        "hit recall": hits.recall,
        "hit purity": hits.purity,
        "AURC": aurc(z, y, **scored),
        "E-AURC": e_aurc(z, y, **scored),
        "AUGRC": augrc(z, y, **scored),
        "AURC (mutual information)": risk_coverage(
            z, y, confidence=-frame.mutual_information, **scored
        ).aurc,
        "AURC (std)": risk_coverage(z, y, confidence=-frame.std, **scored).aurc,
        "coverage at 0.1% risk": coverage_at_risk(z, y, 0.001, **scored),
        "mean entropy": mean_entropy(z, **scored),
        "mean mutual information": mean_mutual_information(frame.mutual_information, **scored),
        "error AUROC (entropy)": by_entropy.auroc,
        "error AUPR (entropy)": by_entropy.aupr,
        "error AUROC (mutual information)": by_information.auroc,
        "error AUPR (mutual information)": by_information.aupr,
    }


def in_cells(score):
    """Each logit as the mean of its cell, what counts on the grid know of it."""
    code = LOGIT_GRID.code(score.ravel())
    size, total = np.bincount(code), np.bincount(code, weights=score.ravel())
    return (total / np.maximum(size, 1))[code].reshape(score.shape)


def test_few_distinct_logits_give_what_the_pure_functions_give():
    frame = make_frame(0, atoms=True)
    # A certain mistake would make the NLL infinite and the calibration line undefined.
    frame.valid[:, 0, :2] &= frame.target[:, 0, :2] == (frame.logit[:, 0, :2] > 0.0)
    expected = pure(frame)
    assert np.isfinite(list(expected.values())).all()
    assert_close(values(totals([frame])), expected)


def test_rank_metrics_are_exact_for_logits_in_cells_and_others_close_to_the_pixels():
    frame = make_frame(1)
    rounded = replace(frame, logit=np.where(frame.valid, frame.logit, np.nan))
    rounded.logit[frame.valid] = in_cells(frame.z)
    found, expected, of_pixels = values(totals([frame])), pure(rounded), pure(frame)
    for metric in METRICS:
        name = metric.name
        if metric.statistic is LOGITS:
            assert found[name] == pytest.approx(expected[name], rel=1e-11), name
            # A cell of 1/64 moves p by less than 1.6% of itself, and few pixels past each other.
            assert found[name] == pytest.approx(of_pixels[name], rel=0.02, abs=2e-4), name
        elif "mutual" not in name and "std" not in name:
            assert found[name] == pytest.approx(of_pixels[name], rel=1e-12), name
        else:  # cells of 1.6% put that many pixels past each other
            assert found[name] == pytest.approx(of_pixels[name], rel=0.02), name


def test_frames_in_any_order_and_split_are_one_batch():
    frames = [make_frame(seed) for seed in range(3)]

    def below(maps):
        return np.concatenate(maps, axis=-2)

    # A row of invalid pixels between frames, lest a hit reach from one to the next.
    gap = replace(make_frame(9, shape=(1, 1, SIZE)), valid=np.zeros((1, 1, SIZE), bool))
    pieces = [frames[0], gap, frames[1], gap, frames[2]]
    names = ("logit", "mutual_information", "std", "target", "valid", "significance")
    batch = replace(gap, **{name: below([getattr(p, name) for p in pieces]) for name in names})
    expected = values(totals([batch]))
    assert_close(values(totals(frames)), expected)
    assert_close(values(totals(frames[::-1])), expected)
    assert_close(values(totals(pieces)), expected)


def test_classes_add_up():
    both = make_frame(3, shape=(2, SIZE, SIZE))
    assert_close(values(totals([both.only(0), both.only(1)])), values(totals([both])))


def test_weights_are_repetitions():
    frames = [make_frame(seed) for seed in range(3)]
    expected = values(totals([frames[0], frames[0], frames[2], frames[2], frames[2]]))
    assert_close(values(totals(frames, weights=[2, 0, 3])), expected)
    as_float = {s: np.asarray(t, np.float64) for s, t in totals(frames, [2, 0, 3]).items()}
    assert_close(values(as_float), expected)


def test_an_archive_of_ten_thousand_million_pixels():
    """The same pixels five million times: areas lose their 1 / N, all else stays."""
    total = totals([make_frame(4)])
    once, often = values(total), values({s: 5_000_000 * array for s, array in total.items()})
    for name, value in once.items():
        tolerance = 0.02 if "AURC" in name else 1e-9
        assert often[name] == pytest.approx(value, rel=tolerance), name


def test_no_valid_pixel_is_nan_everywhere():
    frame = make_frame(5)
    nothing = replace(frame, valid=np.zeros_like(frame.valid))
    assert all(math.isnan(value) for value in values(totals([nothing])).values())


def test_no_positive_pixel_is_a_number_or_nan_everywhere():
    frame = make_frame(5)
    found = values(totals([replace(frame, target=np.zeros_like(frame.target))]))
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {
        "Brier skill", "calibration slope", "calibration intercept", "AUROC", "AUPRC",
        "precision at 95% recall", "hit recall",
    } | {name for name in found if name.startswith("TPR")}  # fmt: skip
    assert found["IoU"] == found["Dice"] == found["uncertainty"] == 0.0


def test_a_predictor_without_doubt_of_its_own_has_none_judged():
    frame = make_frame(6)
    silent = np.full_like(frame.std, -1e-9)  # rounding of two entropies that are equal
    found = values(totals([replace(frame, mutual_information=silent, std=silent)]))
    of_doubt = {name for name in found if "std" in name or "mutual information" in name}
    for name, value in found.items():
        assert math.isnan(value) == (name in of_doubt - {"mean mutual information"}), name


def test_names_are_unique_and_groups_stand_together():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    groups = [metric.group for metric in METRICS]
    assert list(dict.fromkeys(groups)) == [
        "scores", "calibration", "detection", "selective prediction", "uncertainty",
    ]  # fmt: skip
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index)


def test_a_score_that_only_ranks_loses_what_takes_it_at_its_word():
    """Under z -> z / 4 the order, the answers and the doubts stay: so must all other columns."""
    frame = make_frame(7, atoms=True)
    found, scaled = (values(totals([f])) for f in (frame, replace(frame, logit=frame.logit / 4.0)))
    for metric in METRICS:
        if not metric.of_probability:
            assert scaled[metric.name] == pytest.approx(found[metric.name], rel=1e-11), metric.name
    changed = {name for name in found if scaled[name] != pytest.approx(found[name], nan_ok=True)}
    assert changed <= {metric.name for metric in METRICS if metric.of_probability}


def test_a_metric_of_ones_own_is_one_declaration():
    def faint(frame):
        faint = frame.valid & frame.target & (frame.significance < 5.0)
        return np.array([faint.sum(), (faint & (frame.logit > 0.0)).sum()])

    metric = Metric(
        name="faint recall",
        better="higher",
        statistic=Statistic(of=faint),
        compute=lambda total: total[1] / total[0] if total[0] else math.nan,
    )
    frames = [make_frame(seed) for seed in range(2)]
    total = sum(metric.statistic.of(frame) for frame in frames)
    assert total[0] > 0
    assert metric.compute(metric.statistic.view(total)) == 0.0  # 5 is where the logit is 0
