"""Hot, warm and dead pixels and bad columns come as the detector's settings say."""

import numpy as np
import pytest

from bayescr.errors import BayescrError
from bayescr.simulation import Detector
from bayescr.simulation.defects import BLOCKED, DEAD, draw_defects

SIDE = 400
NUMBER = SIDE**2


def drawn(detector, seed=1):
    return draw_defects((SIDE, SIDE), detector, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", ["hot", "warm", "dead"])
def test_pixels_come_in_the_stated_shares(clean_detector, kind):
    defects = drawn(clean_detector(hot_fraction=0.02, warm_fraction=0.03, dead_fraction=0.01))
    expected = NUMBER * {"hot": 0.02, "warm": 0.03, "dead": 0.01}[kind]
    assert defects.planes[kind].sum() == pytest.approx(expected, abs=5 * np.sqrt(expected))


def test_no_pixel_has_two_defects(clean_detector):
    planes = drawn(clean_detector(hot_fraction=0.3, warm_fraction=0.3, dead_fraction=0.4)).planes
    assert (planes["hot"] ^ planes["warm"] ^ planes["dead"]).all()


@pytest.mark.parametrize(("kind", "limits"), [("hot", (0.1, 20.0)), ("warm", (0.03, 0.1))])
def test_currents_are_uniform_in_the_logarithm(clean_detector, kind, limits):
    defects = drawn(clean_detector(hot_fraction=0.05, warm_fraction=0.05, dark_current=0.01))
    pixels = defects.planes[kind]
    current = defects.dark_current[pixels] - 0.01
    assert limits[0] * (1 - 1e-9) <= current.min()
    assert current.max() <= limits[1] * (1 + 1e-9)
    quantile = np.log(current / limits[0]) / np.log(limits[1] / limits[0])
    # Mean of N uniform numbers: standard error 1 / sqrt(12 N).
    assert quantile.mean() == pytest.approx(0.5, abs=5 / np.sqrt(12 * len(current)))
    assert (defects.dark_current[~defects.planes["hot"] & ~defects.planes["warm"]] == 0.01).all()


def test_some_of_each_kind_are_not_flagged(clean_detector):
    defects = drawn(
        clean_detector(
            hot_fraction=0.02, warm_fraction=0.02, dead_fraction=0.02, hot_flagged=0.5,
            dead_flagged=0.5,
        )
    )  # fmt: skip
    for kind, bit in (("hot", 16), ("warm", 64), ("dead", 4)):
        flagged = (defects.dq & bit) > 0
        plane = defects.planes[kind]
        assert plane[flagged].all()
        assert 0 < flagged.sum() < plane.sum()
    bright = defects.planes["hot"] & (defects.dark_current > 0.4)
    known = ((defects.dq & 16) > 0)[bright].mean()
    assert known == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(bright.sum()))
    assert not ((defects.dq & 16) > 0)[defects.planes["hot"] & ~bright].any()


def test_dead_pixels_collect_a_tenth_and_others_scatter(clean_detector):
    defects = drawn(clean_detector(dead_fraction=0.1, response_scatter=0.02))
    dead = defects.planes["dead"]
    assert defects.sensitivity[dead].mean() == pytest.approx(DEAD, rel=0.01)
    good = defects.sensitivity[~dead]
    assert good.std() == pytest.approx(0.02, rel=5 / np.sqrt(2 * good.size))
    assert good.mean() == pytest.approx(1.0, abs=5 * 0.02 / np.sqrt(good.size))


def test_bad_columns(clean_detector):
    detector = clean_detector(bad_column_fraction=0.01, bad_column_flagged=0.5)
    starts, partial, blocked, whole_rows = 0, 0, 0, 0
    for seed in range(60):
        defects = drawn(detector, seed)
        bad = defects.planes["bad_column"]
        assert bad[-1].sum() == bad.any(axis=0).sum()  # those that begin late reach the far end
        assert (np.diff(bad.astype(int), axis=0) >= 0).all()
        starts += bad.any(axis=0).sum()
        whole_rows += bad[0].sum()
        closed = defects.transmission < 1
        assert (defects.transmission[closed] <= BLOCKED[1]).all()
        glowing = defects.dark_current > 0
        assert ((closed | glowing) == bad).all()
        blocked += closed.any(axis=0).sum()
        flagged = (defects.dq & 128) > 0
        assert bad[flagged].all()
        partial += flagged.any(axis=0).sum()
    # Groups start at 1% of 400 columns in 60 frames, 240, and are 1.5 wide on average, some of
    # them over each other: variance of a sum of geometric widths, five standard errors.
    assert starts == pytest.approx(360, abs=5 * np.sqrt(240 * 3))
    for half in (whole_rows, blocked, partial):
        assert half == pytest.approx(starts / 2, abs=5 * np.sqrt(240 * 3) / 2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"read_noise": -1.0}, "read_noise is -1.0"),
        ({"full_well": 0.0}, "full_well is 0.0"),
        ({"hot_fraction": 2.0}, "hot_fraction is 2.0"),
        ({"gain": "2"}, "gain is 2"),
        ({"transfer_loss": float("nan")}, "transfer_loss is nan"),
        ({"hot_current": (3.0, 1.0)}, r"hot_current is \(3.0, 1.0\)"),
    ],
)
def test_bad_detector_is_named(arguments, named):
    with pytest.raises(BayescrError, match=named):
        Detector(**arguments)
