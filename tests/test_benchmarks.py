"""The benchmarks run, on sizes at which their times mean nothing, and write what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = [
    "coverage", "evaluation", "gradients", "guides", "labels", "prediction", "roofline",
    "scaling", "simulation", "tolerance", "training",
]  # fmt: skip


@pytest.mark.slow
def test_benchmarks_run(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--quick", "--output", tmp_path, *NAMES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        content = json.loads((tmp_path / f"{name}.json").read_text())
        assert content["benchmark"] == name
        assert content["machine"]["torch"]
        assert content["result"]
