"""``bayescr inject`` paints what it was told, repeats itself, and ends well on bad input."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

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
        (["--own-hits", "file"], "no extension 'CRMASK'"),
        (["--own-hits", "exposures"], "1 exposures given"),
        (["--number", "-3"], "number is -3"),
        (["--rate", "2", "--number", "1"], "exclude one another"),
        (["--threshold", "0.5"], "undecided is 0.7"),
        (["--columns", "0-64"], "columns are '0-64'"),
        (["--columns", "0:67"], "columns are 0:67 but the frame has 66"),
        (["--part", "test", "--train-share", "1"], "train-share is 1"),
        (["--smallest", "9"], "holds no track"),
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
        "inject", "--sky", skies[0], "--gain", GAIN, "--tracks", *skies[:2], "-o", tmp_path / "out",
        says="2 exposures given",
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
