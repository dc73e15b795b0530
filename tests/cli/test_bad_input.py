"""Bad input ends in one clear line and status 2, and leaves the disk as it was."""

import errno
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from safetensors.numpy import save_file


def write_plain(path, data, **header):
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(header)
    hdu.writeto(path)
    return path


def missing(folder):
    return folder / "missing.fits"


def not_fits(folder):
    path = folder / "text.fits"
    path.write_text("dear diary\n" * 500)
    return path


def empty_file(folder):
    path = folder / "zero.fits"
    path.touch()
    return path


def empty_hdu(folder):
    return write_plain(folder / "empty.fits", None)


def one_dimensional(folder):
    return write_plain(folder / "line.fits", np.arange(64.0))


def three_dimensional(folder):
    return write_plain(folder / "cube.fits", np.zeros((3, 16, 16)))


def all_nan(folder):
    return write_plain(folder / "nan.fits", np.full((16, 16), np.nan))


def truncated(folder):
    path = write_plain(folder / "cut.fits", np.ones((64, 64)))
    path.write_bytes(path.read_bytes()[:9000])
    return path


def truncated_gzip(folder):
    path = write_plain(folder / "cut.fits.gz", np.random.default_rng(0).normal(size=(64, 64)))
    path.write_bytes(path.read_bytes()[:3000])
    return path


def odd_unit(folder):
    return write_plain(folder / "unit.fits", np.ones((16, 16)), BUNIT="furlongs")


def folder_itself(folder):
    return folder


FRAMES = {
    missing: "there is no such file",
    not_fits: "as FITS",
    empty_file: "as FITS",
    empty_hdu: "holds no image data",
    one_dimensional: "shape (64,), expected a 2-D image",
    three_dimensional: "shape (3, 16, 16), expected a 2-D image",
    all_nan: "no usable pixel",
    truncated: "as FITS",
    truncated_gzip: "as FITS",
    odd_unit: "unknown unit 'furlongs'",
    folder_itself: "it is a folder",
}


@pytest.mark.parametrize("make", FRAMES, ids=lambda make: make.__name__)
def test_predict_frames(fails, tmp_path, posterior, make):
    path = make(tmp_path)
    arguments = ("predict", path, "--model", posterior, "-o", tmp_path / "out.fits")
    fails(*arguments, says=[str(path), FRAMES[make]])


@pytest.mark.parametrize("make", [one_dimensional, all_nan, empty_hdu, truncated])
def test_predict_checks_all_exposures_before_the_first(fails, tmp_path, exposure, posterior, make):
    out = tmp_path / "out"
    fails("predict", exposure, make(tmp_path), "--model", posterior, "-o", out, says=FRAMES[make])


@pytest.mark.parametrize("make", [not_fits, empty_hdu, one_dimensional, three_dimensional, all_nan])
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_bad_frame_among_the_data(fails, tmp_path, exposure, posterior, make, command):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.fits").write_bytes(exposure.read_bytes())
    path = make(data)
    if make is all_nan:  # nothing else is wrong with it
        fits.append(path, np.zeros((16, 16), np.uint8), fits.Header({"EXTNAME": "CRMASK"}))
    options = ("--model", posterior) if command == "evaluate" else ()
    fails(command, "--data", data, *options, "-o", tmp_path / "out", says=FRAMES[make])


@pytest.mark.parametrize("make", [missing, not_fits, empty_file])
def test_info_frames(fails, tmp_path, make):
    fails("info", make(tmp_path), says=FRAMES[make])


def test_no_science_extension(fails, tmp_path, posterior):
    path = write_plain(tmp_path / "plain.fits", np.ones((16, 16)))
    arguments = ("predict", path, "--model", posterior, "-o", tmp_path / "out.fits")
    fails(*arguments, "--extension", "SCI", says=["no extension 'SCI'", "'PRIMARY,1'"])


def test_rate_without_exposure_time(fails, bayescr, tmp_path, posterior):
    path = write_plain(tmp_path / "rate.fits", np.eye(16), BUNIT="electron/s")
    arguments = ("predict", path, "--model", posterior, "-o", tmp_path / "out.fits")
    fails(*arguments, says="no exposure time")
    assert bayescr(*arguments, "--exposure-time", 100).exit_code == 0


def test_truth_of_chips_that_share_a_version(fails, tmp_path, posterior):
    data = tmp_path / "data"
    data.mkdir()
    planes = [fits.ImageHDU(np.eye(16), name=name) for name in ("SCI", "CRMASK") * 2]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(data / "a.fits")
    options = ("--model", posterior, "-o", tmp_path / "out")
    fails("evaluate", "--data", data, *options, says="several SCI of one EXTVER")


# Models


def text_model(folder):
    path = folder / "model.safetensors"
    path.write_text("dear diary\n" * 50)
    return path, "not a safetensors file"


def foreign_model(folder):
    save_file({"weight": np.ones(3)}, folder / "foreign.safetensors")
    return folder / "foreign.safetensors", "no bayescr posterior"


def cut_model(folder):
    path, _ = foreign_model(folder)
    path.write_bytes(path.read_bytes()[:-4])
    return path, "not a safetensors file"


def missing_model(folder):
    return folder / "missing", "no posterior at"


def folder_without_model(folder):
    (folder / "empty").mkdir()
    return folder / "empty", "a folder without posterior.safetensors"


@pytest.mark.parametrize(
    "make", [text_model, foreign_model, cut_model, missing_model, folder_without_model]
)
@pytest.mark.parametrize("command", ["predict", "evaluate", "train", "info"])
def test_wrong_models(fails, tmp_path, frames, exposure, make, command):
    path, says = make(tmp_path)
    out = tmp_path / "out.fits"
    arguments = {
        "predict": ("predict", exposure, "--model", path, "-o", out),
        "evaluate": ("evaluate", "--data", frames, "--model", path, "-o", out),
        "train": ("train", "--data", frames, "--start", path, "-o", out),
        "info": ("info", path),
    }[command]
    if command == "info" and make is missing_model:
        says = "there is no such file"
    fails(*arguments, says=[str(path), says])


# Truth


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize("truth", ["other shape", "absent"])
def test_truth_does_not_fit(fails, tmp_path, exposure, posterior, command, truth):
    data = tmp_path / "data"
    data.mkdir()
    with fits.open(exposure) as hdus:
        mask = fits.ImageHDU(hdus["CRMASK"].data[:-1], name="CRMASK")
        planes = [hdus[0], hdus["SCI"], *([mask] if truth == "other shape" else [])]
        fits.HDUList(planes).writeto(data / "a.fits")
    says = "shape (63, 64)" if truth == "other shape" else "no extension ('CRMASK', 1)"
    options = ("--model", posterior) if command == "evaluate" else ()
    fails(command, "--data", data, *options, "-o", tmp_path / "out", says=["a.fits", says])


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_no_data(fails, tmp_path, folder):
    (tmp_path / "empty").mkdir()
    says = "expected a folder" if folder == "missing" else "no FITS file"
    fails("train", "--data", tmp_path / folder, "-o", tmp_path / "out", says=says)


def test_one_exposure_cannot_be_split(fails, tmp_path, exposure):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.fits").write_bytes(exposure.read_bytes())
    fails("train", "--data", data, "-o", tmp_path / "out", says="cannot be split into 2 parts")


# Output


def test_output_under_a_file(fails, tmp_path, frames, exposure, posterior):
    (tmp_path / "file").write_text("in the way")
    below = tmp_path / "file" / "folder"
    says = "is a file, not a folder"
    fails("simulate", "--field", "gc", "-o", below, says=says)
    fails("train", "--data", frames, "-o", below, says=says)
    fails("predict", exposure, "--model", posterior, "-o", below / "out.fits", says=says)
    fails("evaluate", "--data", frames, "--model", posterior, "-o", below, says=says)


def test_output_without_permission(fails, tmp_path, exposure, posterior, monkeypatch):
    refusing = SimpleNamespace(access=lambda path, mode: False, W_OK=2, X_OK=1)
    monkeypatch.setattr("bayescr.cli._options.os", refusing)  # the tests may run as root
    out = tmp_path / "out.fits"
    fails("predict", exposure, "--model", posterior, "-o", out, says="no permission")


def test_output_exists(fails, tmp_path, frames, exposure, posterior):
    arguments = {
        "out.fits": ("predict", exposure, "--model", posterior, "-o", tmp_path / "out.fits"),
        "posterior.safetensors": ("train", "--data", frames, "-o", tmp_path),
        "manifest.json": ("evaluate", "--data", frames, "--model", posterior, "-o", tmp_path),
    }
    for name, command in arguments.items():
        (tmp_path / name).write_text("mine")
        fails(*command, says=[name, "exists already", "--overwrite"])


def test_simulated_frame_exists(fails, bayescr, tmp_path):
    arguments = ("simulate", "--field", "gc", "--frames", 1, "--size", 32, "-o", tmp_path)
    assert bayescr(*arguments).exit_code == 0
    fails(*arguments, says="exists already")
    assert bayescr(*arguments, "--overwrite").exit_code == 0
    several = ("simulate", "--field", "dark", *arguments[1:])
    fails(*several, says="exists already")  # and not one of those that do not is made


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), MemoryError()])
def test_failure_while_writing(fails, tmp_path, exposure, posterior, monkeypatch, error):
    def fail(hdus, path, **options):
        path.write_bytes(b"half a file")
        raise error

    monkeypatch.setattr(fits.HDUList, "writeto", fail)
    says = "No space left" if isinstance(error, OSError) else "out of memory"
    fails("predict", exposure, "--model", posterior, "-o", tmp_path / "out.fits", says=says)


def test_interrupt_while_writing(bayescr, tmp_path, exposure, posterior, monkeypatch):
    def interrupt(hdus, path, **options):
        path.write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(fits.HDUList, "writeto", interrupt)
    result = bayescr("predict", exposure, "--model", posterior, "-o", tmp_path / "out.fits")
    assert (result.exit_code, result.output) == (130, "")
    assert list(tmp_path.iterdir()) == []


def test_several_exposures_need_a_folder(fails, tmp_path, frames, exposure, posterior):
    paths = sorted(frames.iterdir())[:2]
    out = tmp_path / "out.fits"
    fails("predict", *paths, "--model", posterior, "-o", out, says="give -o a folder")
    twin = tmp_path / "twin" / exposure.name
    twin.parent.mkdir()
    twin.write_bytes(exposure.read_bytes())
    out = tmp_path / "out"
    fails("predict", exposure, twin, "--model", posterior, "-o", out, says="would share the file")


# Names and numbers


@pytest.mark.parametrize(
    ("option", "name", "says"),
    [
        ("--guide", "mean-feild", "unknown guide 'mean-feild': did you mean 'mean-field'?"),
        ("--prior", "fan-in-norm", "unknown prior 'fan-in-norm': did you mean 'fan-in-normal'?"),
        ("--likelihood", "bernouli", "did you mean 'bernoulli'?"),
        ("--kl-schedule", "linaer", "did you mean 'linear'?"),
        ("--norm", "bach", "did you mean 'batch'?"),
        ("--prior", "missing.py:prior", "there is no file 'missing.py'"),
        ("--prior", "math:no_such_thing", "no attribute 'no_such_thing'"),
        ("--prior", "math:pi", "is of type float"),
        ("--device", "abacus", "unknown device 'abacus'"),
        ("--precision", "float8", "unknown precision 'float8'"),
        ("--epochs", 0, "epochs is 0"),
        ("--batch-size", 0, "batch_size is 0"),
        ("--learning-rate", -1, "learning_rate is -1"),
        ("--patch", 0, "patch is 0"),
        ("--width", 0, "width is 0"),
        ("--validation", 1.5, "fractions are"),
    ],
)
def test_train_names_and_numbers(fails, tmp_path, frames, option, name, says):
    fails("train", "--data", frames, "-o", tmp_path / "out", option, name, says=says)


def test_train_own_code_that_cannot_be_read(fails, tmp_path, frames):
    own = tmp_path / "own.py"
    own.write_text("def prior(:\n")
    fails("train", "--data", frames, "-o", tmp_path / "out", "--prior", f"{own}:prior",
          says=["cannot load prior", "own.py"])  # fmt: skip


def test_train_patience_without_validation(fails, tmp_path, frames):
    arguments = ("train", "--data", frames, "-o", tmp_path / "out", "--validation", 0)
    fails(*arguments, "--patience", 3, says="needs validation data")


def test_start_with_another_network(fails, tmp_path, frames, posterior):
    arguments = ("train", "--data", frames, "-o", tmp_path / "out", "--start", posterior)
    fails(*arguments, "--width", 3, says="a posterior of the same network")


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--tile", 0, "tile is 0"),
        ("--tile", "large", "tile is 'large'"),
        ("--tolerance", 0, "tolerance is 0"),
        ("--batch", 0, "batch is 0"),
        ("--precision", "float8", "unknown precision"),
        ("--device", "abacus", "unknown device"),
        ("--gain", -1, "gain"),
        ("--extension", "SCI,1,2", "is not understood"),
        ("--extension", "99", "no extension '99'"),
    ],
)
def test_predict_names_and_numbers(fails, tmp_path, exposure, posterior, option, value, says):
    arguments = ("predict", exposure, "--model", posterior, "-o", tmp_path / "out.fits")
    fails(*arguments, option, value, says=says)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--field", "globular-clutser", "did you mean 'globular-cluster'?"),
        ("--size", "big", "size is 'big'"),
        ("--size", "0", "size is"),
        ("--frames", "0", "frames is 0"),
        ("--exposure-time", "-3", "exposure_time is -3"),
    ],
)
def test_simulate_names_and_numbers(fails, tmp_path, option, value, says):
    fails("simulate", "--field", "gc", "-o", tmp_path / "out", option, value, says=says)


def test_evaluate_two_models_of_almost_one_name(fails, tmp_path, frames, posterior):
    models = ("--model", f"a={posterior}", "--model", f"A={posterior}")
    says = "rows 'a' and 'A' differ in case alone"
    fails("evaluate", "--data", frames, *models, "-o", tmp_path / "out", says=says)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--classical", "astroscrapy", "did you mean 'astroscrappy'"),
        ("--validation", "nowhere", "nowhere"),
        ("--shifted", "nowhere", "nowhere"),
    ],
)
def test_evaluate_options(fails, tmp_path, frames, posterior, option, value, says):
    arguments = ("--data", frames, "--model", posterior, "-o", tmp_path / "out")
    fails("evaluate", *arguments, option, value, says=says)


def test_unknown_option_is_status_2(bayescr):
    result = bayescr("predict", "--modle", "x")
    assert result.exit_code == 2
    assert "modle" in result.stderr


def test_predict_takes_a_number_of_draws_or_a_tolerance(fails, tmp_path, exposure, posterior):
    fails(
        "predict", exposure, "--model", posterior, "-o", tmp_path / "out.fits",
        "--samples", 4, "--tolerance", 0.01, says="--samples and --tolerance exclude one another",
    )  # fmt: skip
