"""Names become things: members of a family, the user's own, with arguments or without."""

import sys

import pytest

from bayescr._names import make
from bayescr.errors import BayescrError

OWN = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass(frozen=True, kw_only=True)
class Grid:
    step: float = 1.0
    def __call__(self, x):
        return x // self.step

@dataclass(frozen=True, kw_only=True)
class Bare:
    step: float

def power(x, exponent):
    return x**exponent

ready = Grid(step=2.0)
number = 3
"""


class Line:
    def __init__(self, *, slope=1.0):
        self.slope = slope

    def __call__(self, x):
        return self.slope * x


FAMILY = {"line": Line}


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def test_a_member_is_called_with_its_arguments():
    assert make("line", FAMILY, kind="schedule")(3.0) == 3.0
    assert make("Line", FAMILY, kind="schedule", arguments={"slope": 2.0})(3.0) == 6.0


def test_the_users_own_is_called_only_if_that_completes_it(own):
    assert make(f"{own}:Grid", FAMILY, kind="schedule")(1.5) == 1.0
    assert make(f"{own}:Grid", FAMILY, kind="schedule", arguments={"step": 0.5})(1.6) == 3.0
    assert make(f"{own}:ready", FAMILY, kind="schedule")(5.0) == 2.0
    assert make(f"{own}:power", FAMILY, kind="schedule")(2, 3) == 8
    assert make(f"{own}:power", FAMILY, kind="schedule", arguments={"exponent": 2})(3) == 9
    assert "own" not in sys.modules


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("line", {"slop": 2.0}, "schedule 'line': unknown argument 'slop': did you mean 'slope'"),
        ("lien", {}, "unknown schedule 'lien': did you mean 'line'"),
        ("own.py:number", {}, "is of type int: expected something to call"),
        ("own.py:power", {"x": 1, "power": 2}, "unknown argument 'power'"),
        ("own.py:missing", {}, "has no attribute 'missing'"),
    ],
)
def test_what_cannot_be_made(own, monkeypatch, name, arguments, says):
    monkeypatch.chdir(own.parent)
    with pytest.raises(BayescrError) as caught:
        make(name, FAMILY, kind="schedule", arguments=arguments)
    assert says in str(caught.value)


def test_a_thing_that_lacks_the_method():
    with pytest.raises(BayescrError, match=r"finder 'line' is of type Line: expected something w"):
        make("line", FAMILY, kind="finder", method="score")
