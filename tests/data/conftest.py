"""Where the real exposures are, if anywhere."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """A function: name -> path of a real file, below BAYESCR_TEST_DATA if that is set."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("BAYESCR_TEST_DATA") or beside)

    def find(name):
        if not (folder / name).exists():
            pytest.skip(f"real data not found: {name}; BAYESCR_TEST_DATA may name its folder")
        return folder / name

    return find
