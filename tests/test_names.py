"""Names become things: members of a family, the user's own, with arguments or without."""

import sys
from dataclasses import dataclass, field
from typing import Any

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

class Needs:
    def __init__(self, scale):
        self.scale = scale
    def __call__(self, name, parameter):
        return self.scale
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


# Members inside members.


@dataclass(frozen=True, kw_only=True)
class Plain:
    level: float = 0.0

    def __call__(self, x):
        return self.level


@dataclass(frozen=True, kw_only=True)
class Sum:
    """Of one member by its default, of others by a table of them, of any in a list."""

    one: Any = Plain()
    table: Any = field(default_factory=lambda: {"*": Plain()})
    several: Any = ()
    title: Any = "plain"

    def __call__(self, x):
        return self.one(x)


NESTED = {"plain": Plain, "sum": Sum, "line": Line}


def nested(**arguments):
    return make("sum", NESTED, kind="schedule", arguments=arguments)


def test_a_table_with_a_name_is_a_member_wherever_it_stands(own):
    deep = {"name": "sum", "one": {"name": "plain", "level": 2.0}}
    made = nested(one=deep, several=[{"name": "plain"}, {"name": f"{own}:Grid", "step": 3.0}])
    assert made.one == Sum(one=Plain(level=2.0))
    assert made.several[0] == Plain()
    assert made.several[1](7.0) == 2.0
    assert nested(title={"inner": {"name": "plain"}}).title == {"inner": Plain()}


def test_a_name_alone_is_a_member_where_the_default_is_one(own):
    """Elsewhere a text is a text, though a member has the name."""
    assert nested(one="plain").one == Plain()
    assert nested(one=f"{own}:ready").one(5.0) == 2.0
    assert nested(title="plain", several=["plain"]) == Sum(title="plain", several=("plain",))


def test_none_in_a_table_of_members_is_none_and_patterns_keep_their_order():
    table = {"b.*": "none", "a.*": {"name": "none"}, "*": "plain", "name": {"name": "plain"}}
    made = nested(table=table).table
    assert list(made.items()) == [("b.*", None), ("a.*", None), ("*", Plain()), ("name", Plain())]
    assert nested(title="none").title == "none"


def test_an_array_is_a_tuple_however_deep():
    assert nested(title=[1, [2, 3], {"a": [4]}]).title == (1, (2, 3), {"a": (4,)})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"one": "plane"}, "unknown schedule 'plane': did you mean 'plain'"),
        ({"one": {"name": "plain", "levl": 1}}, "schedule 'plain': unknown argument 'levl': did "),
        ({"table": {"*": "plane"}}, "unknown schedule 'plane'"),
        ({"one": "math:pi"}, "schedule 'math:pi' is of type float: expected something to call"),
    ],
)
def test_what_cannot_be_made_inside(arguments, says):
    with pytest.raises(BayescrError) as caught:
        nested(**arguments)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "attribute", "says"),
    [
        ("prior", "Needs", "takes (scale) but is called with (name, parameter): give it its argum"),
        ("KL schedule", "power", "takes (x, exponent) but is called with (fraction)"),
        ("prior", "Bare", "takes (step) but"),
    ],
)
def test_a_thing_without_its_arguments_is_found_before_it_is_called(own, kind, attribute, says):
    with pytest.raises(BayescrError) as caught:
        make(f"{own}:{attribute}", {}, kind=kind)
    assert says in str(caught.value)


def test_with_its_arguments_it_is_taken(own):
    assert make(f"{own}:Needs", {}, kind="prior", arguments={"scale": 2})("w", None) == 2
    assert make(f"{own}:power", {}, kind="KL schedule", arguments={"exponent": 2})(3) == 9


def test_a_file_alone_is_asked_what_in_it(own):
    with pytest.raises(BayescrError, match=r"own.py' is a file: say what in it, '.*own.py:attr"):
        make(str(own), FAMILY, kind="prior")
