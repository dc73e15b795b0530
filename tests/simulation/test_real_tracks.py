"""Simulated tracks look like those that a real sensor collected."""

import importlib

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1], ids=["LSST", "Kast"])
def test_every_distance_to_real_tracks_is_small(index, real_data):
    tracks = importlib.import_module("benchmarks.tracks")
    detector = tracks.DETECTORS[index]
    folder = real_data(["lsst_itl_cr_catalog", "kast_red_2019"][index]).parent
    real = [stamp for stamp in detector.read(folder) if stamp.max() > detector.least]
    found = tracks.distances(tracks.measured(real), tracks.measured(detector.simulate(25, seed=3)))
    # Samples of about 300 and 600 or more differ by 0.09 once in twenty times when they are alike.
    assert max(found.values()) < 0.15, found
