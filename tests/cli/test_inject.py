"""``bayescr inject`` paints what it was told, repeats itself, and ends well on bad input."""

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from bayescr.cli.inject import _seed
from bayescr.data import BAD_BITS, PatchDataset
from bayescr.evaluation.classical import Astroscrappy, unavailable
from bayescr.injection import Track, TrackCatalogue, read_catalogue, write_catalogue

GAIN = 2.5
SHAPE = (48, 64)
STARS = ((40, 10), (35, 50), (15, 45), (42, 33))


def write_sky(path, *, seed=0, hit=None, **header):
    """Stars on 100 electrons behind a bias of 300 counts, in counts; two more columns."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    stars = sum(3e3 * np.exp(-((y - v) ** 2 + (x - u) ** 2) / (2 * 1.5**2)) for v, u in STARS)
    electrons = rng.poisson(100.0 + stars) + rng.normal(0.0, 4.0, SHAPE)
    if hit is not None:
        electrons[hit] += 5000.0
    counts = np.pad(electrons / GAIN + 300.0, ((0, 0), (0, 2)), constant_values=300.0)
    hdu = fits.PrimaryHDU(counts.astype(np.float32))
    hdu.header.update(EXPTIME=100.0, OBJECT="field", **header)
    hdu.writeto(path)
    return path


@pytest.fixture(scope="module")
def skies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("skies")
    return [
        write_sky(folder / f"s{k}.fits", seed=k, hit=(10 * k + 5, slice(20, 24))) for k in range(3)
    ]


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    rng = np.random.default_rng(3)
    stamps = rng.uniform(100.0, 5e3, (60, 2, 4)).astype(np.float32)
    catalogue = TrackCatalogue(
        tracks=tuple(map(Track, stamps)), exposure_time=100.0, pixels=10**6, pixel_size=15.0,
        name="sixty",
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tracks") / "tracks.fits"
    write_catalogue(catalogue, path)
    return path


def planes(path):
    with fits.open(path) as hdus:
        return {hdu.name: hdu.data.copy() for hdu in hdus[1:]}, hdus["SCI"].header.copy()


def test_counts_become_electrons_and_tracks_are_added(bayescr, tmp_path, skies, tracks):
    result = bayescr(
        "inject", "--sky", *skies, "--gain", GAIN, "--columns", "0:64", "--tracks", tracks,
        "--number", 9, "--copies", 2, "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "own hits: exposures" in result.stdout
    paths = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in paths] == [f"s{k}_000{c}.fits" for k in range(3) for c in (0, 1)]
    for path in paths:
        found, header = planes(path)
        k = int(path.name[1])
        counts = fits.getdata(skies[k])[:, :64]
        np.testing.assert_allclose(found["SCI"], GAIN * counts + found["CRCHARGE"], rtol=1e-5)
        assert (header["NTRACKS"], header["SKY"], header["CATALOG"]) == (9, f"s{k}.fits", "sixty")
        assert header["OWNHITS"] == "exposures"
        assert not found["CRVALID"][10 * k + 4 : 10 * k + 7, 19:25].any()  # its own hit
        assert found["CRVALID"].mean() > 0.9
    first, second = (planes(path)[0]["CRCHARGE"] for path in paths[:2])
    assert (first != second).any()
    assert len(PatchDataset.from_directory(tmp_path / "out", patch=None)) == 6


def test_same_seed_same_bytes_whatever_else_is_made(bayescr, tmp_path, skies, tracks):
    common = ("--gain", GAIN, "--tracks", tracks, "--number", 5, "--own-hits", "none")
    bayescr("inject", "--sky", skies[1], *common, "-o", tmp_path / "a")
    bayescr("inject", "--sky", *skies, *common, "--copies", 2, "-o", tmp_path / "b")
    bayescr("inject", "--sky", skies[1], *common, "--seed", 1, "-o", tmp_path / "c")
    a, b, c = ((tmp_path / folder / "s1_0000.fits").read_bytes() for folder in "abc")
    assert a == b != c


def test_seeds_of_copies_never_change():
    """Frames that somebody published are made again by their seed, years later."""
    place = Path("a/b_flc.fits")
    assert _seed(5, place, 0, "all") == 7404995316438532730
    assert _seed(5, place, 3, "test") == 6001290584101274811


def test_the_gain_measured_from_flats(bayescr, tmp_path, skies, tracks):
    rng = np.random.default_rng(0)
    for k in range(2):
        flat = 300.0 + rng.poisson(2e4, (256, 256)) / GAIN
        bias = 300.0 + rng.normal(0.0, 2.0, (256, 256))
        for name, data in (("flat", flat), ("bias", bias)):
            header = fits.Header({"BUNIT": "adu", "GAIN": 1.3})  # wrong, and not believed
            fits.PrimaryHDU(data.astype(np.float32), header).writeto(tmp_path / f"{name}{k}.fits")
    result = bayescr(
        "inject", "--sky", skies[0], "--flat", *sorted(tmp_path.glob("flat*")),
        "--bias", *sorted(tmp_path.glob("bias*")), "--tracks", tracks, "--number", 0,
        "--own-hits", "none", "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found, _ = planes(tmp_path / "out" / "s0_0000.fits")
    # two flats of 65536 pixels: the gain to sqrt(2 / 65536), 0.6%, and a little less for clipping
    assert np.median(found["SCI"] / fits.getdata(skies[0])) == pytest.approx(GAIN, rel=0.02)


def test_parts_of_the_tracks_share_none_and_can_be_kept(bayescr, tmp_path, skies, tracks):
    kept = {}
    for part in ("train", "test", "all"):
        bayescr(
            "inject", "--sky", skies[0], "--gain", GAIN, "--tracks", tracks, "--number", 1,
            "--own-hits", "none", "--part", part, "--train-share", 0.5, "-o", tmp_path / part,
            "--save-tracks", tmp_path / f"{part}.fits",
        )  # fmt: skip
        found = read_catalogue(tmp_path / f"{part}.fits")
        kept[part] = {track.charge.tobytes() for track in found.tracks}
    assert kept["train"].isdisjoint(kept["test"])
    assert kept["train"] | kept["test"] == kept["all"]
    assert 15 < len(kept["train"]) < 45


def test_parts_share_no_place(bayescr, tmp_path, skies, tracks):
    hits = []
    for part in ("train", "test"):
        bayescr(
            "inject", "--sky", skies[0], "--gain", GAIN, "--tracks", tracks, "--number", 20,
            "--own-hits", "none", "--part", part, "-o", tmp_path / part,
        )  # fmt: skip
        hits.append(planes(next((tmp_path / part).glob("*.fits")))[0]["CRMASK"] > 0)
    # By chance some 5% of either's 160 pixels; from one seed almost all.
    assert 0 < (hits[0] & hits[1]).sum() < 0.2 * hits[0].sum()


def test_own_hits_are_those_of_the_chip_and_what_it_leaves_open(bayescr, tmp_path, tracks):
    rng = np.random.default_rng(0)
    hdus = [fits.PrimaryHDU(header=fits.Header({"EXPTIME": 100.0}))]
    for version in (1, 2):
        truth, valid = np.zeros((32, 32), np.uint8), np.ones((32, 32), np.uint8)
        truth[4 * version : 4 * version + 2, 3:6] = 1
        valid[20 + version, :] = 0
        science = rng.normal(100.0, 5.0, (32, 32)).astype(np.float32)
        header = fits.Header({"BUNIT": "electron"})
        planes_of = {"SCI": science, "CRMASK": truth, "CRVALID": valid}
        hdus += [fits.ImageHDU(d, header, name=n, ver=version) for n, d in planes_of.items()]
    fits.HDUList(hdus).writeto(tmp_path / "sky.fits")
    result = bayescr(
        "inject", "--sky", tmp_path / "sky.fits", "--extension", "SCI,2", "--tracks", tracks,
        "--number", 0, "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found, _ = planes(next((tmp_path / "out").glob("*.fits")))
    assert not found["CRVALID"][8:10, 3:6].any()
    assert not found["CRVALID"][22].any()
    assert found["CRVALID"][4:6, 3:6].all()  # the other chip's


def test_own_hits_of_a_file_are_cut_as_the_sky_is(bayescr, fails, tmp_path, tracks):
    rng = np.random.default_rng(0)
    truth, valid = np.zeros((2, 32, 40), np.uint8)
    valid += 1
    truth[4:6, 10:13], valid[20, 30] = 1, 0
    science = rng.normal(100.0, 5.0, truth.shape).astype(np.float32)
    header = fits.Header({"BUNIT": "electron", "EXPTIME": 100.0})
    planes_of = {"SCI": science, "CRMASK": truth, "CRVALID": valid}
    hdus = [fits.ImageHDU(data, header, name=name) for name, data in planes_of.items()]
    path = tmp_path / "sky.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    common = (
        "inject", "--sky", path, "--tracks", tracks, "--number", 0, "--own-hits", "file",
        "--columns", "8:40",
    )  # fmt: skip
    result = bayescr(*common, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found, _ = planes(tmp_path / "out" / "sky_0000.fits")
    expected = np.zeros((32, 40), bool)
    expected[3:7, 9:14] = expected[19:22, 29:32] = True  # with all pixels that touch them
    np.testing.assert_array_equal(found["CRVALID"] == 0, expected[:, 8:])
    hdus[1].data = truth[:, :32]  # of another shape than its image
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    fails(*common, "-o", tmp_path / "no", says="has shape (32, 32)")


def test_darks_report_their_control(bayescr, tmp_path, skies):
    rng = np.random.default_rng(1)
    for k in range(3):
        dark = rng.normal(300.0, 2.0, (96, 96))
        dark[20 + 10 * k : 22 + 10 * k, 40:46] += 400.0
        hdu = fits.PrimaryHDU(dark.astype(np.float32))
        hdu.header["EXPTIME"] = 300.0
        hdu.writeto(tmp_path / f"dark{k}.fits")
    darks = sorted(tmp_path.glob("dark*"))
    common = ("inject", "--sky", skies[0], "--gain", GAIN, "--number", 3, "--own-hits", "none")
    result = bayescr(
        *common, "--tracks", *darks, "--track-gain", 3.0, "-o", tmp_path / "out",
        "--save-tracks", tmp_path / "cut.fits",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "darks: 3 events, 0 in the sign-flipped control" in result.stdout
    found = read_catalogue(tmp_path / "cut.fits")
    assert [track.charge.shape for track in found.tracks] == [(2, 6)] * 3
    # 12 pixels of 400 counts at 3 electrons; noise of 2 counts, and of the others' median
    assert [track.charge.sum() for track in found.tracks] == pytest.approx([14400] * 3, rel=0.01)


def test_the_truth_of_simulated_skies_is_their_own_hits(bayescr, tmp_path, frames, tracks):
    result = bayescr(
        "inject", "--sky", *sorted(frames.iterdir()), "--tracks", tracks, "--number", 4,
        "-o", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "own hits: file" in result.stdout
    for path in frames.iterdir():
        found, header = planes(tmp_path / path.name.replace(".fits", "_0000.fits"))
        before, _ = planes(path)
        assert not found["CRVALID"][before["CRMASK"] == 1].any()
        assert not found["CRVALID"][(before["DQ"] & BAD_BITS) != 0].any()
        assert header["FILTER"] in ("F606W", "F814W")
        assert header["SKY"] == path.name
        np.testing.assert_allclose(found["SCI"], before["SCI"] + found["CRCHARGE"], rtol=1e-5)


def test_own_hits_of_a_lone_exposure(bayescr, tmp_path, skies, tracks):
    reason = unavailable(Astroscrappy())
    if reason:
        pytest.skip(reason)
    result = bayescr(
        "inject", "--sky", skies[0], "--gain", GAIN, "--columns", "0:64", "--tracks", tracks,
        "--number", 0, "-o", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found, header = planes(tmp_path / "s0_0000.fits")
    assert header["OWNHITS"] == "astroscrappy"
    assert not found["CRVALID"][4:7, 19:25].any()
    assert found["CRVALID"].mean() > 0.97


def test_a_lone_exposure_is_given_to_the_laplacian_at_its_noise(monkeypatch, tmp_path, skies):
    """Sky and read noise as the package's model has them: level = variance, no read noise."""
    from bayescr.cli._own_hits import _laplacian_hits
    from bayescr.data import read_frame, sky_and_noise

    seen = []

    def score(self, frame: CCDData):
        seen.append((self, frame))
        return np.where(frame.data > 4500.0, 1.0, -1.0)

    monkeypatch.setattr(Astroscrappy, "score", score)
    frame = read_frame(skies[0], unit="adu", gain=GAIN)[:, :64]
    hits = _laplacian_hits(frame)
    (method, given) = seen[0]
    level, noise = sky_and_noise(given.data)
    assert level == pytest.approx(noise**2, rel=0.02)
    assert method.readnoise == 0.0
    assert np.argwhere(hits).tolist() == [[5, c] for c in range(20, 24)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--part", "tset"], "did you mean 'test'?"),
        (["--own-hits", "exposure"], "did you mean 'exposures'?"),
        (["--own-hits", "file"], "no extension ('CRMASK', 1)"),
        (["--own-hits", "exposures"], "1 exposures given"),
        (["--number", "-3"], "number is -3"),
        (["--rate", "2", "--number", "1"], "exclude one another"),
        (["--threshold", "0.5"], "undecided is 0.7"),
        (["--columns", "0-64"], "columns are '0-64'"),
        (["--columns", "0:67"], ["columns are 0:67 but", "s0.fits' has 66"]),
        (["--part", "test", "--train-share", "1"], "train-share is 1"),
        (["--smallest", "9"], ["covers 9 pixels, the largest 8", "--smallest"]),
        (["--saturation", "-1"], "saturation is -"),
        (["--flat", "nowhere.fits"], "--gain and --flat exclude one another"),
    ],
)
def test_options_that_cannot_be_used(fails, tmp_path, skies, tracks, options, says):
    common = ["--gain", GAIN, "--own-hits", "none", "--tracks", tracks, "-o", tmp_path / "out"]
    if "--number" not in options:
        common += ["--number", 1]
    fails("inject", "--sky", skies[0], *common, *options, says=says)


def test_skies_in_counts_need_a_gain(fails, tmp_path, skies, tracks):
    fails(
        "inject", "--sky", skies[0], "--tracks", tracks, "-o", tmp_path / "out",
        says=["is in 'adu'", "--gain", "--flat"],
    )  # fmt: skip


def test_two_darks_are_not_enough(fails, tmp_path, skies):
    fails(
        "inject", "--sky", skies[0], "--gain", GAIN, "--tracks", *skies[:2], "--number", 1,
        "--track-gain", 1, "-o", tmp_path / "out", says="2 exposures given",
    )  # fmt: skip


def test_files_that_are_there_already(fails, bayescr, tmp_path, skies, tracks):
    common = (
        "inject", "--sky", skies[0], "--gain", GAIN, "--tracks", tracks, "--number", 1,
        "--own-hits", "none", "-o", tmp_path,
    )  # fmt: skip
    assert bayescr(*common).exit_code == 0
    fails(*common, says="s0_0000.fits' exists already")
    assert bayescr(*common, "--overwrite").exit_code == 0


def test_two_skies_of_one_name(fails, tmp_path, skies, tracks):
    (tmp_path / "other").mkdir()
    twin = write_sky(tmp_path / "other" / "s0.fits")
    fails(
        "inject", "--sky", skies[0], twin, "--gain", GAIN, "--tracks", tracks, "--number", 1,
        "-o", tmp_path / "out", says="two skies are named 's0'",
    )  # fmt: skip


def test_what_is_read_is_never_replaced(fails, bayescr, tmp_path, tracks):
    first = write_sky(tmp_path / "s.fits")
    again = write_sky(tmp_path / "s_0000.fits", seed=1)
    common = ("--gain", GAIN, "--number", 1, "--own-hits", "none", "--overwrite", "-o", tmp_path)
    fails(
        "inject", "--sky", first, again, "--tracks", tracks, *common,
        says="s_0000.fits' is one of the files that are read",
    )  # fmt: skip
    own = tmp_path / "tracks.fits"
    own.write_bytes(tracks.read_bytes())
    for target, says in (
        (own, "tracks.fits' is one of the files that are read"),
        (tmp_path / "s_0000.fits", "the name of a frame"),
        (tmp_path / "tracks", "expected a name in .fits"),
    ):
        fails(
            "inject", "--sky", first, "--tracks", own, *common, "--save-tracks", target, says=says
        )  # fmt: skip


def test_all_is_known_before_the_first_frame_is_written(fails, tmp_path, skies, tracks):
    timeless = write_sky(tmp_path / "timeless.fits")
    fits.delval(timeless, "EXPTIME")
    common = ("inject", "--sky", skies[0], timeless, "--own-hits", "none", "-o", tmp_path / "out")
    fails(
        *common, "--gain", GAIN, "--tracks", tracks, says="timeless.fits' has no exposure time"
    )  # fmt: skip
    no_tracks = ("--tracks", tmp_path / "nowhere.fits")  # what is said was found before they are
    for options, says in (
        (("--gain", -1), "--gain is -1"),
        (("--track-gain", 0), "--track-gain is 0"),
        (("--pixel-size", 0), "--pixel-size is 0"),
        (("--rate", -1), "--rate is -1"),
        (("--number", 1, "--track-columns", "9"), "--track-columns are '9'"),
        (("--number", 1), ["s0.fits' is in 'adu'", "--gain"]),
    ):
        fails(*common, *no_tracks, *options, says=says)


def test_labelled_frames_and_darks_in_counts_name_their_option(fails, tmp_path, skies):
    fails(
        "inject", "--sky", skies[0], "--gain", GAIN, "--tracks", *skies, "--number", 1,
        "-o", tmp_path / "out", says=["s0.fits' is in 'adu'", "--track-gain"],
    )  # fmt: skip


def test_a_rate_needs_the_size_of_the_pixels(fails, tmp_path, skies):
    fails(
        "inject", "--sky", skies[0], "--gain", GAIN, "--tracks", *skies, "--track-gain", GAIN,
        "-o", tmp_path / "out", says=["--pixel-size", "--number"],
    )  # fmt: skip


def test_simulated_frames_are_labelled_ones(bayescr, tmp_path, skies, frames):
    result = bayescr(
        "inject", "--sky", skies[0], "--gain", GAIN, "--tracks", *sorted(frames.iterdir()),
        "--number", 2, "--own-hits", "none", "-o", tmp_path, "--save-tracks", tmp_path / "t.fits",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "darks:" not in result.stdout  # nothing was searched
    charges = [planes(path)[0]["CRCHARGE"] for path in sorted(frames.iterdir())]
    known = {float(value) for plane in charges for value in plane[plane > 0]}
    for track in read_catalogue(tmp_path / "t.fits").tracks:
        assert {float(value) for value in track.charge[track.charge > 0]} <= known


@pytest.mark.parametrize(("false", "code"), [(1, 0), (8, 2)])
def test_tracks_that_may_be_false(bayescr, tmp_path, skies, false, code):
    """Pixels that are low in one dark are what noise of either sign would make high as well."""
    rng = np.random.default_rng(1)
    for k in range(6):  # of fewer the lowest is believed
        dark = rng.normal(300.0, 2.0, (96, 96))
        dark[20 + 10 * k : 22 + 10 * k, 40:46] += 400.0
        for hole in range(false if k == 0 else 0):
            dark[2 + 8 * hole, 60:63] -= 200.0
        header = fits.Header({"EXPTIME": 300.0})
        fits.PrimaryHDU(dark.astype(np.float32), header).writeto(tmp_path / f"dark{k}.fits")
    result = bayescr(
        "inject", "--sky", skies[0], "--gain", GAIN, "--tracks", *sorted(tmp_path.glob("dark*")),
        "--track-gain", 3, "--number", 3, "--own-hits", "none", "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == code, result.output
    assert "events" in result.stderr
    assert "may be false" in result.stderr
    assert "--track-columns" in result.stderr
    assert (tmp_path / "out").exists() == (code == 0)


def test_the_header_says_what_was_done(bayescr, tmp_path, tracks):
    """An index for a gain, keywords of the whole image, no name of a field."""
    sky = write_sky(tmp_path / "one.FIT", GAIN=9.0, EGAIN=GAIN, DATASEC="[1:66,1:48]")
    fits.delval(sky, "OBJECT")
    named = write_sky(tmp_path / "two.fits", GAIN=9.0)
    common = ("--tracks", tracks, "--number", 1, "--own-hits", "none", "--columns", "0:64")
    out = tmp_path / "out"
    assert bayescr("inject", "--sky", sky, *common, "--copies", 2, "-o", out).exit_code == 0
    assert bayescr("inject", "--sky", named, *common, "--gain", 2, "-o", out).exit_code == 0
    for name, gain, field, origin in (
        ("one_0000", GAIN, "one", "one.FIT"),
        ("one_0001", GAIN, "one", "one.FIT"),
        ("two_0000", 2.0, "field", "two.fits"),
    ):
        with fits.open(out / f"{name}.fits") as hdus:
            primary, header = hdus[0].header, hdus["SCI"].header
            assert (primary["GAIN"], primary["FIELD"]) == (gain, field)
            assert header["SKY"] == origin
            assert "DATASEC" not in header


def test_read_noise_is_written_where_it_was_measured(bayescr, tmp_path, skies, tracks):
    rng = np.random.default_rng(0)
    for k in range(2):
        flat = 300.0 + rng.poisson(2e4, (48, 66)) / GAIN
        fits.PrimaryHDU(flat.astype(np.float32)).writeto(tmp_path / f"flat{k}.fits")
        bias = rng.normal(300.0, 2.0, (48, 66)).astype(np.float32)
        fits.PrimaryHDU(bias).writeto(tmp_path / f"bias{k}.fits")
    result = bayescr(
        "inject", "--sky", skies[0], "--flat", *sorted(tmp_path.glob("flat*")), "--bias",
        *sorted(tmp_path.glob("bias*")), "--columns", "0:64", "--tracks", tracks, "--number", 0,
        "--own-hits", "none", "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    header = fits.getheader(tmp_path / "out" / "s0_0000.fits")
    # 3072 pixels: 2.5% of a standard deviation of a difference, and as much of the gain's
    assert header["READNSE"] == pytest.approx(2.0 * header["GAIN"], rel=0.1)
    assert header["GAIN"] == pytest.approx(GAIN, rel=0.1)


def test_which_skies_are_taken_for_one_field(tmp_path, monkeypatch):
    from bayescr.cli._own_hits import _best_way
    from bayescr.data import read_frame

    monkeypatch.setattr("bayescr.evaluation.classical.unavailable", lambda method: "")

    def way(objects, positions=(None,) * 3):
        paths = [tmp_path / f"{k}.fits" for k in range(3)]
        for path, name, ra in zip(paths, objects, positions, strict=True):
            header = fits.Header({"OBJECT": name} if name is not None else {})
            if ra is not None:
                header.update(
                    CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=ra, CRVAL2=10.0, CRPIX1=8.0,
                    CRPIX2=8.0, CDELT1=-1e-4, CDELT2=1e-4, CUNIT1="deg", CUNIT2="deg",
                )  # fmt: skip
            data = np.ones((16, 16), np.float32)
            fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
        return _best_way(paths, [read_frame(path) for path in paths], None)

    assert way(("M 67",) * 3) == "exposures"
    assert way((None,) * 3) == way(("",) * 3) == "astroscrappy"
    assert way(("M 67", "M 67", "M 3")) == "astroscrappy"
    assert way((None,) * 3, (20.0, 20.0002, 20.0004)) == "exposures"
    assert way((None,) * 3, (20.0, 20.0002, 21.0)) == "astroscrappy"
    assert way((None,) * 3, (20.0, 20.0002, None)) == "astroscrappy"


def test_the_control_of_skies_compared_with_one_another(bayescr, tmp_path, skies, tracks):
    result = bayescr(
        "inject", "--sky", *skies, "--gain", GAIN, "--columns", "0:64", "--tracks", tracks,
        "--number", 1, "-o", tmp_path,
    )  # fmt: skip
    assert re.search(r"own hits: \d+ events, \d+ in the sign-flipped control", result.stdout)
