"""An experiment of the smallest size: two arms, two seeds, frames of 64 pixels."""

import shutil

import pytest
import torch

from bayescr.experiments import compare

TINY = """
title = "Tiny"
seeds = [0, 1]

[data.simulate]
fields = ["ex"]
size = 64
train = 2
validation = 1
test = 2

[model]
width = 2

[training]
patch = 32
epochs = 1
precision = "float32"

[arms.MAP]
guide = "map"

[arms.mean-field]
guide = "mean-field"

[evaluation]
num_samples = 2
num_bootstrap = 10
"""


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Frames this small are slower on several threads, much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _quickly(patch, *, figures=False):
    """Without figures, which take longer than all the rest and have tests of their own.

    And with a fixed hash of the source: saving a file while the tests run is no failure.
    """
    if not figures:
        patch.setattr("bayescr.evaluation._saving.figures_of", lambda report: {})
    patch.setattr("bayescr.evaluation.manifest.source_sha256", lambda *floors: "0" * 64)


@pytest.fixture
def figures():
    """A test that asks for this has its figures drawn."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch, request):
    _quickly(monkeypatch, figures="figures" in request.fixturenames)


@pytest.fixture
def write(tmp_path):
    """Writes an experiment: `TINY` with pieces of text replaced; returns the file."""

    def write(*replacements, name="experiment.toml", more=""):
        text = TINY
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text + more)
        return path

    return write


@pytest.fixture(scope="session")
def _finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    (folder / "experiment.toml").write_text(TINY)
    said = []
    with pytest.MonkeyPatch.context() as patch:
        _quickly(patch)
        compare(folder / "experiment.toml", folder / "out", device="cpu", say=said.append)
    return folder / "out", said


@pytest.fixture
def finished(_finished, tmp_path):
    """The folder of the tiny experiment, run to its end; a copy that may be changed."""
    shutil.copytree(_finished[0], tmp_path / "finished")
    return tmp_path / "finished"


@pytest.fixture
def said(_finished):
    """What the comparison that filled the folder said."""
    return _finished[1]
