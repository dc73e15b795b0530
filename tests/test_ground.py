"""The ground under the floors: files, names, random numbers, devices, progress."""

from __future__ import annotations

import contextlib
import gzip

import numpy as np
import pytest
import torch
from astropy.io import fits

from bayescr import _device
from bayescr._device import compute_dtype, find_device
from bayescr._files import atomic_path
from bayescr._names import kebab, resolve, unknown_name
from bayescr._planes import plane_hdus
from bayescr._progress import track
from bayescr._random import generator, seeded
from bayescr._seeds import child_seed
from bayescr.errors import BayescrError

# Files.


def test_a_file_appears_whole(tmp_path):
    target = tmp_path / "deep" / "er" / "out.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.name == target.name
    assert target.read_text() == "half"
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    target = tmp_path / "out.txt"
    target.write_text("old")

    def write_half():
        with atomic_path(target) as temporary:
            temporary.write_text("new")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_existing_files_and_folders_are_respected(tmp_path):
    target = tmp_path / "out.txt"
    target.write_text("old")
    with (
        pytest.raises(BayescrError, match="exists already"),
        atomic_path(target, overwrite=False),
    ):
        pass
    with pytest.raises(BayescrError, match="it is a folder"), atomic_path(tmp_path):
        pass
    with pytest.raises(BayescrError, match="cannot write"), atomic_path(target / "below.txt"):
        pass
    assert target.read_text() == "old"


def test_the_suffix_is_kept_for_writers_that_look_at_it(tmp_path):
    with atomic_path(tmp_path / "a.fits.gz") as temporary, gzip.open(temporary, "wb") as file:
        file.write(b"x")
    assert gzip.decompress((tmp_path / "a.fits.gz").read_bytes()) == b"x"


def test_planes_are_extensions_of_their_types():
    plane = np.array([[0.0, 2.0], [-3.0, 0.25]])
    names = ("SCI", "CRCONF", "CRCHARGE", "ERR", "DQ", "CRMASK", "HOT")
    planes = {name: plane for name in names} | {"CRVALID": None}
    hdus = list(plane_hdus(planes, science=fits.Header({"BUNIT": "ELECTRONS"})))
    assert [hdu.name for hdu in hdus] == list(names)
    for hdu in hdus:
        if hdu.name in ("CRMASK", "HOT"):
            kind, expected = np.uint8, plane != 0
        else:
            kind = np.int16 if hdu.name == "DQ" else np.float32
            expected = plane.astype(kind)
        assert hdu.data.dtype == kind
        np.testing.assert_array_equal(hdu.data, expected)
        assert ("BUNIT" in hdu.header) == (hdu.name == "SCI")


# Names.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("FanInNormal", "fan-in-normal"), ("MAP", "map"), ("MCDropout", "mc-dropout"),
        ("AutoIAFNormal", "auto-iaf-normal"), ("mean_field", "mean-field"), ("x", "x"),
        ("Auto2Normal", "auto2-normal"),
    ],
)  # fmt: skip
def test_kebab(name, expected):
    assert kebab(name) == expected


FAMILY = {"mean-field": "MF", "low-rank": "LR", "map": "M"}


@pytest.mark.parametrize("name", ["mean-field", "MeanField", "mean_field"])
def test_members_are_found_however_they_are_spelt(name):
    assert resolve(name, FAMILY, kind="guide") == "MF"


def test_unknown_names_get_the_nearest():
    with pytest.raises(BayescrError) as error:
        resolve("mean-feild", FAMILY, kind="guide")
    assert str(error.value) == (
        "unknown guide 'mean-feild': did you mean 'mean-field'? known are low-rank, map, mean-field"
    )
    assert "did you mean" not in str(unknown_name("guide", "zzz", FAMILY))


def test_a_users_own_is_found_by_path(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("guide = 41\n")
    assert resolve(f"{file}:guide", FAMILY, kind="guide") == 41
    assert resolve("math:pi", FAMILY, kind="prior") == pytest.approx(3.14159265)
    for name in (f"{file}:gide", f"{tmp_path}/other.py:guide", "no_such_package:x", "math:pie"):
        with pytest.raises(BayescrError, match="cannot load guide '.*expected 'package.module"):
            resolve(name, FAMILY, kind="guide")


# Random numbers.


def test_seeds_fix_the_numbers_and_nothing_else():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    draws = {}
    for seed in [(0,), (1,), (0, 1), (1, 1), (0, 2, 1), (2**40,)]:
        with seeded(*seed):
            draws[seed] = torch.rand(4)
        with seeded(*seed):
            assert torch.equal(torch.rand(4), draws[seed])
    assert torch.equal(before, torch.get_rng_state())
    values = [tuple(draw.tolist()) for draw in draws.values()]
    assert len({*values}) == len(values)


def test_numbers_are_put_back_after_an_error_and_when_nested():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with contextlib.suppress(ZeroDivisionError), seeded(1):
        torch.rand(1)
        raise ZeroDivisionError
    assert torch.equal(before, torch.get_rng_state())
    with seeded(1):
        first = torch.rand(2)
        with seeded(2):
            torch.rand(7)
        rest = torch.rand(2)
    with seeded(1):
        assert torch.equal(torch.rand(4), torch.cat([first, rest]))


def test_seeds_of_parts_are_those_of_numpys_spawned_children():
    child = np.random.SeedSequence(3).spawn(5)[4].spawn(2)[1]
    expected = int(child.generate_state(1, np.uint64)[0]) // 2
    assert child_seed(3, 4, 1) == expected
    assert generator(3, 4, 1).initial_seed() == expected


# Devices.


@pytest.mark.parametrize("has_gpu", [True, False])
def test_a_gpu_is_found_if_there_is_one(monkeypatch, has_gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(has_gpu))
    for asked in (None, "auto"):
        assert find_device(asked) == torch.device("cuda" if has_gpu else "cpu")
    assert find_device("cpu") == find_device(torch.device("cpu")) == torch.device("cpu")
    if has_gpu:
        assert find_device("cuda:0") == torch.device("cuda:0")
    else:
        with pytest.raises(BayescrError, match="torch sees no GPU: use 'cpu'"):
            find_device("cuda")


def test_unknown_devices_are_named():
    with pytest.raises(BayescrError, match="unknown device 'gpu': expected 'cpu', 'cuda'"):
        find_device("gpu")


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)],
)
def test_precision_on_a_gpu_follows_its_capability(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert compute_dtype("auto", torch.device("cuda")) == expected
    assert compute_dtype("float32", torch.device("cuda")) == torch.float32


@pytest.mark.parametrize("probe", ["_is_amx_tile_supported", "_is_avx512_bf16_supported"])
def test_precision_on_a_cpu_follows_its_instructions(monkeypatch, probe):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    cpu = torch.device("cpu")
    assert compute_dtype("auto", cpu) == torch.float32
    monkeypatch.setattr(torch.cpu, probe, lambda: True, raising=False)
    assert compute_dtype("auto", cpu) == torch.bfloat16
    assert compute_dtype("float32", cpu) == torch.float32


def test_an_older_torch_without_the_probes_computes_in_float32(monkeypatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert compute_dtype("auto", torch.device("cpu")) == torch.float32
    assert compute_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16


def test_precisions_are_a_family():
    for precision in _device.PRECISIONS:
        assert compute_dtype(precision, torch.device("cpu")).is_floating_point
    with pytest.raises(BayescrError, match="unknown precision 'half': known are auto, float32"):
        compute_dtype("half", torch.device("cpu"))


# Progress.


def test_bars_go_to_standard_error_and_only_if_asked(capsys):
    for show in (False, True):
        with track("working", 3, show=show) as advance:
            for step in range(3):
                advance(status=f"at {step}")
            advance(0)
        out, err = capsys.readouterr()
        assert out == ""
        assert ("working" in err) == show
