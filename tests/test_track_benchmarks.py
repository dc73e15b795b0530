"""What `benchmarks.real_tracks` and `benchmarks.space_tracks` compute beside the library."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from bayescr.data import PatchDataset
from bayescr.evaluation import METRICS, ScoredFrame, evaluate
from benchmarks import space_tracks
from benchmarks.__main__ import named
from benchmarks.common import Settings, untrained
from benchmarks.failures import false_kinds, missed_kinds, threshold_at, worst
from benchmarks.failures_figure import failures_figure
from benchmarks.finders import COLUMNS, Once, Pieces, Trial, compare
from benchmarks.information import contrast, of_scored


def scored(logit, target, *, valid=None, information=0.0) -> ScoredFrame:
    logit, target = np.asarray(logit, np.float32), np.asarray(target, bool)
    valid = np.ones_like(target) if valid is None else valid
    return ScoredFrame(
        exposure="a", logit=logit[None], target=target[None], valid=valid[None],
        mutual_information=np.full((1, *logit.shape), information, np.float32),
        std=np.zeros((1, *logit.shape), np.float32), significance=np.zeros(logit.shape),
    )  # fmt: skip


@pytest.fixture
def frame() -> ScoredFrame:
    """One hit of five pixels, two of them missed; one of one, missed; three false pixels in two."""
    target, logit = np.zeros((40, 60), bool), np.full((40, 60), -5.0)
    target[5, 5:10], logit[5, 5:8], logit[5, 8:10] = True, 3.0, -1.0
    target[30, 40], logit[30, 40] = True, -4.0
    logit[6, 4] = 1.0  # beside the first hit
    logit[20, 50:52] = 2.0
    return scored(logit, target)


def test_missed_pixels_are_counted_by_region_and_strength(frame):
    strength = np.where(frame.target[0], 10.0, 0.0)
    strength[5, 9] = 2.5
    found = missed_kinds([frame], [strength], threshold=0.0)
    assert found["missed, of all hit pixels"] == 3 / 6
    assert found["regions"] == 2
    assert found["in regions of 1 pixel"] == pytest.approx(1 / 3)
    assert found["in regions of 2-3"] == pytest.approx(2 / 3)
    assert found["in regions of > 3"] == 0.0
    assert found["of hits missed as a whole"] == pytest.approx(1 / 3)
    assert found["at 2-3 sigma"] == pytest.approx(1 / 3)
    assert found["all hit pixels at 2-3 sigma"] == pytest.approx(1 / 6)


def test_false_pixels_are_counted_by_region_and_place(frame):
    found = false_kinds([frame], threshold=0.0)
    assert found["false, of all other pixels"] == 3 / (40 * 60 - 6)
    assert found["regions"] == 2
    assert found["in regions of 2-3"] == pytest.approx(2 / 3)
    assert found["beside a hit"] == pytest.approx(1 / 3)


def test_pixels_that_do_not_count_are_no_failures(frame):
    nothing = scored(frame.logit[0], frame.target[0], valid=np.zeros((40, 60), bool))
    assert missed_kinds([nothing], [np.zeros((40, 60))], threshold=0.0)["regions"] == 0
    assert worst([nothing], missed=False, number=3) == []


def test_threshold_leaves_the_share_of_negatives():
    logit = np.linspace(0.0, 1.0, 10_001).reshape(73, 137)
    frame = scored(logit, np.zeros(logit.shape))
    assert (logit > threshold_at([frame], 0.01)).mean() == pytest.approx(0.01, abs=2e-4)


def test_worst_failures_come_first_and_once_a_place(frame):
    missed = worst([frame, frame], missed=True, number=9)
    # -log p of the truth: log(1 + e^4) of the lone pixel, 2 log(1 + e) of the end of the track
    assert [one.cost for one in missed] == pytest.approx(
        [np.log1p(np.exp(4.0)), 2 * np.log1p(np.exp(1.0))]
    )
    assert [(one.row, one.column, one.pixels) for one in missed] == [(30, 40, 1), (5, 9, 2)]
    (false,) = worst([frame], missed=False, number=1)
    assert (false.row, false.column, false.pixels) == (20, 51, 2)


def test_failures_are_drawn_at_the_edge_of_a_frame_too(frame, tmp_path):
    failures_figure(tmp_path / "a.png", {"missed": worst([frame], missed=True, number=2)})
    assert (tmp_path / "a.png").stat().st_size > 1000
    failures_figure(tmp_path / "none.png", {"missed": []})
    assert not (tmp_path / "none.png").exists()


class Blurred:
    """A finder: the image, and noise of its own."""

    is_probability, provenance = False, {}

    def __init__(self, seed: int, noise: float) -> None:
        self.name, self._noise, self._seed = f"seed {seed}", noise, seed

    def score(self, frame):
        own = np.random.default_rng([self._seed, int(1e6 * abs(frame.data[0, 0]))])
        return (frame.data - 3 + self._noise * own.standard_normal(frame.data.shape)).astype("f4")


@pytest.fixture
def trial() -> tuple[PatchDataset, list[str]]:
    rng = np.random.default_rng(0)
    truths = [rng.random((16, 16)) < 0.1 for _ in range(8)]
    frames = [rng.normal(size=(16, 16)) + (3 + index / 4) * t for index, t in enumerate(truths)]
    names = [f"{exposure}{part}" for exposure in "abcd" for part in (0, 1)]
    return PatchDataset.from_frames(frames, truths, exposures=names, patch=None), names


def test_gains_over_pieces_are_those_of_the_library(trial, tmp_path):
    """Units that are the pieces: the intervals are `evaluate`'s, with the sign turned."""
    data, names = trial
    rows = {"ours": Blurred(0, 0.1), "theirs": Blurred(1, 2.0)}
    settings = Settings(quick=True, rounds=1, output=tmp_path)
    units = {"exposure": {name: name for name in names}}
    _, gains = compare(
        rows, Trial(data=data, strength=[], units=units), settings=settings, skipped={}
    )
    metrics = [one for one in METRICS if one.name in COLUMNS]
    report = evaluate(rows, data, metrics=metrics, reference="ours", num_bootstrap=100)
    known = report.differences.query("predictor == 'theirs' and field == 'all'")
    known = known.set_index("metric")
    for one in gains.to_dict("records"):
        expected, sign = known.loc[one["metric"]], -1 if one["metric"] != "AUGRC" else 1
        assert one["gain"] == pytest.approx(sign * expected["difference"], nan_ok=True)
        ends = sorted([sign * expected["low"], sign * expected["high"]])
        assert [one["low"], one["high"]] == pytest.approx(ends, nan_ok=True)
    assert gains.query("metric == 'AUPRC'")["gain"].item() > 0


def test_gains_over_two_kinds_of_unit_add_in_squares(trial, tmp_path):
    """Either kind by itself is `evaluate` on the same frames under the names of the units."""
    data, names = trial
    rows = {"ours": Blurred(0, 0.1), "theirs": Blurred(1, 2.0)}
    settings = Settings(quick=True, rounds=1, output=tmp_path)
    units = {"exposure": {n: n[0] for n in names}, "half": {n: n[1] for n in names}}
    _, gains = compare(
        rows, Trial(data=data, strength=[], units=units), settings=settings, skipped={}
    )
    one = gains.query("metric == 'AUPRC'").iloc[0]
    metrics = [metric for metric in METRICS if metric.name == "AUPRC"]
    reach = 0.0
    for kind, unit_of in units.items():
        merged = Pieces(data, [unit_of[name] for name in names])
        report = evaluate(rows, merged, metrics=metrics, reference="ours", num_bootstrap=100)
        known = report.differences.query("predictor == 'theirs'").iloc[0]
        assert one[f"low, {kind}"] == pytest.approx(-known["high"])
        reach += (-known["difference"] + known["high"]) ** 2
    assert one["low"] == pytest.approx(one["gain"] - np.sqrt(reach))


def test_a_posterior_is_asked_once():
    class Counting:
        calls = 0
        name = "counting"

        def logits(self, image, *, num_samples, seed):
            self.calls += 1
            for _ in range(num_samples):
                yield image * seed

    posterior = Counting()
    once, image = Once(posterior), torch.ones(1, 4, 4)
    first, again = (list(once.logits(image, num_samples=2, seed=3)) for _ in range(2))
    assert posterior.calls == 1
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    list(once.logits(2 * image, num_samples=2, seed=3))
    list(once.logits(image, num_samples=2, seed=4))
    assert posterior.calls == 3
    assert once.name == "counting"


def test_information_is_split_by_hits_and_contrasted(frame):
    home = of_scored("a", "home", [frame], simulated=True)
    away = of_scored("a", "away", [scored(frame.logit[0], frame.target[0], information=0.02)],
                     simulated=False)  # fmt: skip
    assert home["hits"] == 6
    assert home["MI, hits [nat]"] == 0.0
    assert away["MI, elsewhere [nat]"] == pytest.approx(0.02)
    p = 1 / (1 + np.exp(-frame.logit[0].astype(float)))
    entropy = -(p * np.log(p) + (1 - p) * np.log1p(-p))
    assert away["share, hits"] == pytest.approx(0.02 / entropy[frame.target[0]].mean())
    means = contrast(pd.DataFrame([away, {**home, "MI, hits [nat]": 0.01}]))
    ratio = means.set_index("in training").loc["ratio, no / yes", "MI, hits [nat]"]
    assert ratio == pytest.approx(2.0)


def test_models_are_named():
    assert named("one network=runs/a=b") == ("one network", "runs/a=b")
    assert named("ground") == ("bayescr", "ground")


@pytest.mark.slow
def test_space_tracks_run_without_real_data(tmp_path, monkeypatch):
    monkeypatch.setenv("BAYESCR_TEST_DATA", str(tmp_path / "none"))
    paths = [str(untrained(width=width).save(tmp_path / str(width))) for width in (4, 5)]
    models = dict(zip(("ours", "other"), paths, strict=True))
    result = space_tracks.run(
        Settings(quick=True, rounds=1, output=tmp_path, models=models)
    )  # fmt: skip
    assert "LSST tracks" in result["skipped"]
    tables = {name: pd.DataFrame(one) for name, one in result["tables"].items()}
    for field in space_tracks.CAMERA.fields:
        assert "ours" in set(tables[f"ACS, {field}, simulated"]["predictor"])
        assert "other" in set(tables[f"ACS, {field}, simulated, gains"]["row"])
    assert set(tables["mutual information"]["in training"]) == {"yes", "no"}
    json.dumps(result)
    assert (tmp_path / "space-tracks-failures.png").exists()
