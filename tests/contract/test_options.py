"""The suite runs over what the command line names, and over nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

OWN = """
import pyro.distributions as dist

def {name}(name, parameter):
    return dist.Laplace(parameter.new_zeros(()), {scale}).expand(parameter.shape).to_event({dim})
"""


def _run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE), *arguments],
        cwd=HERE.parent.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_prior_of_ones_own_is_run_and_a_wrong_one_found(tmp_path):
    own = tmp_path / "own.py"
    right = OWN.format(name="right", scale=0.3, dim="parameter.dim()")
    own.write_text(right + OWN.format(name="wrong", scale=0.3, dim="parameter.dim() - 1"))
    for name, returncode in (("right", 0), ("wrong", 1)):
        done = _run("--prior", f"{own}:{name}", "--guide", "map", "-k", "bfloat16")
        assert done.returncode == returncode, done.stdout
        outcome = "1 failed" if returncode else "1 passed"
        assert outcome in done.stdout
    assert "prior for weight 'down1.conv1.weight' has event shape" in done.stdout
