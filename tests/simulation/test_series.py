"""Files: planes, reproducibility, workers, interruption."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from bayescr.errors import BayescrError
from bayescr.simulation import INSTRUMENTS, simulate, simulate_exposure, write_exposure
from bayescr.simulation.series import PLANES, frame_seed


@pytest.fixture(scope="module")
def exposure():
    return simulate_exposure("gc", size=(96, 128), seed=3, exposure_time=700.0)


def test_written_file_reads_back(exposure, tmp_path):
    path = tmp_path / "new" / "frame.fits"
    write_exposure(exposure, path)
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == [
            "PRIMARY", "SCI", "DQ", "CRMASK", "CRCHARGE", "HOT", "WARM", "DEAD", "BADCOL",
            "SATURATED", "BLEED", "TRAIL",
        ]  # fmt: skip
        primary = hdus[0].header
        assert primary["FIELD"] == "globular-cluster"
        assert primary["INSTRUME"] == "hst-acs-wfc"
        assert (primary["SEED"], primary["EXPTIME"]) == (3, 700.0)
        assert (primary["READNSE"], primary["GAIN"]) == (5.0, 2.0)
        assert hdus["SCI"].header["BUNIT"] == "ELECTRONS"
        for name, plane, kind in (
            ("SCI", exposure.frame.data, ">f4"),
            ("DQ", exposure.dq, ">i2"),
            ("CRMASK", exposure.cosmic_rays, "u1"),
            ("CRCHARGE", exposure.charge, ">f4"),
            *((name, exposure.defects[kind], "u1") for kind, name in PLANES.items()),
        ):
            np.testing.assert_array_equal(hdus[name].data, plane)
            assert hdus[name].data.dtype == np.dtype(kind)
        sky, back = WCS(hdus["SCI"].header), exposure.frame.wcs
        corner, mine = sky.pixel_to_world(0, 0), back.pixel_to_world(0, 0)
        assert corner.separation(mine).arcsec < 1e-3
        beside = sky.pixel_to_world(1, 0)
        assert corner.separation(beside).arcsec == pytest.approx(0.05, rel=1e-4)
    assert [entry.name for entry in path.parent.iterdir()] == ["frame.fits"]
    with pytest.raises(BayescrError, match="exists already"):
        write_exposure(exposure, path)


def test_every_defect_has_a_plane(exposure):
    assert set(exposure.defects) == set(PLANES)


def test_no_image_of_the_sky_no_coordinates(tmp_path):
    write_exposure(simulate_exposure("dark", size=16), tmp_path / "dark.fits")
    assert "CTYPE1" not in fits.getheader(tmp_path / "dark.fits", "SCI")


def test_frame_k_does_not_depend_on_how_many(tmp_path):
    seen = []
    few = simulate(tmp_path / "few", "gc", frames=1, size=32, seed=7)
    many = simulate(tmp_path / "many", "gc", frames=3, size=32, seed=7, progress=seen.append)
    assert seen == [1, 2, 3]
    assert [path.name for path in many][:2] == [
        "globular-cluster_hst-acs-wfc_7_0000.fits",
        "globular-cluster_hst-acs-wfc_7_0001.fits",
    ]
    assert few[0].read_bytes() == many[0].read_bytes()
    assert len({path.read_bytes() for path in many}) == 3


def test_frames_do_not_depend_on_the_number_of_workers(tmp_path):
    seen = []
    settings = {"frames": 3, "size": 48, "seed": 5, "exposure_time": 300.0}
    instrument = INSTRUMENTS["thick-ground-ccd"]
    alone = simulate(tmp_path / "one", "spectrum", instrument=instrument, **settings)
    together = simulate(
        tmp_path / "two", "spectrum", instrument="thick-ground-ccd", workers=2,
        progress=seen.append, **settings,
    )  # fmt: skip
    assert seen == [1, 2, 3]
    assert [path.name for path in together] == [path.name for path in alone]
    assert [path.read_bytes() for path in together] == [path.read_bytes() for path in alone]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_interrupted_series_leaves_whole_frames_only(tmp_path, workers):
    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(
            tmp_path, "dark", frames=40, size=64, workers=workers, progress=interrupt
        )  # fmt: skip
    written = sorted(tmp_path.iterdir())
    assert 1 <= len(written) < 40
    for path in written:
        with fits.open(path) as hdus:
            assert hdus[-1].name == "TRAIL"
            assert hdus[-1].data.shape == (64, 64)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_error_in_a_worker_is_the_users(tmp_path, workers):
    with pytest.raises(BayescrError, match="threshold is -1"):
        simulate(tmp_path, "dark", frames=2, size=16, workers=workers, threshold=-1)
    assert not list(tmp_path.iterdir())


def test_instruments_of_one_seed_share_a_folder_and_nothing_else(tmp_path):
    frames = [
        simulate(tmp_path, "dark", frames=1, size=64, instrument=name, exposure_time=900.0)[0]
        for name in ("hst-acs-wfc", "hst-wfc3-uvis")
    ]
    assert len(set(frames)) == 2
    hot = [fits.getdata(path, "HOT").astype(bool) for path in frames]
    assert (hot[0] & hot[1]).sum() <= 2


def test_frame_seeds_are_numpys_spawned_children():
    children = np.random.SeedSequence(7).spawn(3)
    words = [int(child.generate_state(1, np.uint64)[0]) // 2 for child in children]
    assert [frame_seed(7, index) for index in range(3)] == words


@pytest.mark.parametrize("setting", ["frames", "workers"])
def test_no_frames_and_no_workers_are_errors(tmp_path, setting):
    with pytest.raises(BayescrError, match=f"{setting} is 0"):
        simulate(tmp_path, "gc", **({"frames": 1} | {setting: 0}))
