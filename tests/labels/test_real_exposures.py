"""Real darks, spectra and images: the counts of events, and what their controls say.

The counts are those of simpler recipes (row medians, the median or minimum of the others, a 3 x 3
maximum), which different choices move by some per cent; 15% is allowed.
"""

import numpy as np
import pytest
from scipy.ndimage import label

from bayescr.data import read_frame
from bayescr.labels import label_darks, label_exposures, label_spectra, measure_noise

KAST = "kast_red_2019/{}.fits.gz"
NICKEL = "nickel_ngc6819_2019/{}.fits.gz"
STL = "sbig_stl1001_darks_2019/dark_{}.DARK.FIT.gz"


def frames(real_data, names, columns=slice(None)):
    return [read_frame(real_data(name))[:, columns] for name in names]


def kast(real_data, *names):
    return frames(real_data, [KAST.format(name) for name in names], slice(62, 346))


def controls(labels):
    return sum(one.num_control for one in labels) / sum(one.num_events for one in labels)


def test_kast_darks(real_data):
    labels = label_darks(kast(real_data, "r3039", "r3073", "r3081", "r3092"))
    assert sum(one.num_events for one in labels) == pytest.approx(287, rel=0.15)
    assert controls(labels) <= 0.03
    assert min(one.valid.mean() for one in labels) > 0.98


def test_kast_spectra(real_data):
    labels = label_spectra(kast(real_data, "r3111", "r3112", "r3113"))
    for one in labels:
        assert 62 * 0.85 <= one.num_events <= 74 * 1.15
    assert controls(labels) <= 0.03


@pytest.mark.parametrize(
    ("flats", "biases", "gain"),
    [
        (("r3082", "r3083"), ("r3074", "r3075", "r3076"), 1.83),
    ],
)
def test_kast_gain(real_data, flats, biases, gain):
    """Against itself: the header's GAIN is an index, and no other value is known."""
    noise = measure_noise(kast(real_data, *flats), kast(real_data, *biases))
    assert noise.gain == pytest.approx(gain, rel=0.03)


def test_nickel_gain(real_data):
    """About 1.8; dark exposures of 30 s stand for the biases that there are none of."""
    flats, darks = (
        frames(real_data, [NICKEL.format(name) for name in names], slice(0, 1024))
        for names in (("d3009", "d3010", "d3011"), ("d3018", "d3019", "d3020"))
    )
    assert measure_noise(flats, darks).gain == pytest.approx(1.8, rel=0.05)


@pytest.mark.slow
def test_nickel(real_data):
    """d3163 has 43 to 45 events by each of four noise models of the simple recipe, all compact."""
    names = ("d3162", "d3163", "d3164", "d3166")
    images = frames(real_data, [NICKEL.format(name) for name in names], slice(0, 1024))
    labels = label_exposures(images)
    for one, count in zip(labels, (48, 44, 37, 31), strict=True):
        assert one.num_events == pytest.approx(count, rel=0.15)
    assert controls(labels) <= 0.03


@pytest.mark.slow
def test_stl_darks(real_data):
    """Hot pixels, one in 18 here, are no events: all but some of these cover two pixels or more."""
    names = [f"10series_0c_0m30s.{index:08d}" for index in range(1, 11)]
    names += ["series_0c_10s.00000001", "series_0c_1m.00000002", "series_0c_1m30s.00000001"]
    names += [
        f"series_0c_{time}.00000001" for time in ("2m", "2m30s", "3m", "3m30s", "4m", "4m30s")
    ]
    names += ["series_0c_5m.00000002"]
    labels = label_darks(frames(real_data, [STL.format(name) for name in names]))
    assert controls(labels) <= 0.03
    regions = [label(one.truth, np.ones((3, 3)))[0] for one in labels]
    sizes = np.concatenate([np.bincount(one.ravel())[1:] for one in regions])
    assert (sizes == 1).mean() < 0.1
    assert 300 < sum(one.num_events for one in labels) < 430
