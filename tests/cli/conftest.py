"""A folder of simulated frames, a posterior trained on it, and a way to run the command line."""

import os
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bayescr.cli import app


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Frames this small are slower on several threads, much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def bayescr():
    """Runs a command in this process; the result has exit_code, stdout and stderr."""
    return invoke


@pytest.fixture
def fails(tmp_path):
    """Asserts that a command ends as bad input must, and leaves the test's folder as it was."""

    def check(*arguments, says):
        before = snapshot(tmp_path)
        result = invoke(*arguments)
        assert result.exit_code == 2, result.output
        assert isinstance(result.exception, SystemExit), result.exception  # no traceback
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("error: ")
        for text in [says] if isinstance(says, str) else says:
            assert text in lines[0]
        assert result.stdout == ""
        assert snapshot(tmp_path) == before
        return result

    return check


def snapshot(folder: Path):
    """Every path below a folder, with the bytes of the files."""
    return {
        Path(parent) / name: (Path(parent) / name).read_bytes() if name in files else None
        for parent, folders, files in os.walk(folder)
        for name in [*folders, *files]
    }


@pytest.fixture(scope="session")
def frames(tmp_path_factory):
    """Three simulated exposures of 64 pixels a side."""
    folder = tmp_path_factory.mktemp("frames")
    result = invoke("simulate", "--field", "gc", "--frames", 3, "--size", 64, "-o", folder)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def exposure(frames):
    return sorted(frames.iterdir())[0]


@pytest.fixture(scope="session")
def train_quickly(frames):
    """Trains the smallest network for an epoch; returns the result of the command."""

    def train(output, *options, epochs=1):
        return invoke(
            "train", "--data", frames, "-o", output, "--width", 2, "--patch", 32,
            "--epochs", epochs, "--validation", 0.3, "--precision", "float32", *options,
        )  # fmt: skip

    return train


@pytest.fixture(scope="session")
def posterior(tmp_path_factory, train_quickly):
    """The folder of a mean-field posterior."""
    folder = tmp_path_factory.mktemp("trained") / "mean-field"
    result = train_quickly(folder)
    assert result.exit_code == 0, result.output
    return folder
