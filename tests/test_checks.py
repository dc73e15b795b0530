"""Settings that are no numbers, or out of range, and what the message says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

from bayescr._checks import check_count, check_positive, check_share, is_number
from bayescr.errors import BayescrError

NO_NUMBERS = ["8", None, True, False, math.nan, math.inf, -math.inf, [1.0], 1j]


@dataclass
class Owner:
    rank: Any


@pytest.mark.parametrize(
    ("check", "good", "bad", "expected"),
    [
        (check_positive, [1e-9, 1, 1e9], [0, 0.0, -1.0], "a number above 0"),
        (check_share, [1e-9, 1 - 1e-9], [0, 1, 0.0, 1.0, -0.1, 1.1], "a number between 0 and 1"),
        (check_count, [1, 2, 10**6], [0, -1, 1.0, 2.5], "a whole number from 1 up"),
    ],
)  # fmt: skip
def test_of_an_owner_and_by_name(check, good, bad, expected):
    for value in good:
        check(Owner(value), "rank")
        check("linear", rank=value)
    for value in bad + NO_NUMBERS:
        for arguments, settings in (((Owner(value), "rank"), {}), (("Owner",), {"rank": value})):
            with pytest.raises(BayescrError) as caught:
                check(*arguments, **settings)
            assert str(caught.value) == f"Owner rank is {value!r}: expected {expected}"


def test_a_setting_that_nobody_owns():
    with pytest.raises(BayescrError, match=r"^epochs is 2\.5: expected a whole number from 1 up$"):
        check_count("", epochs=2.5)


def test_the_least_count():
    check_count(Owner(4), "rank", least=4)
    with pytest.raises(BayescrError, match="Owner rank is 3: expected a whole number from 4 up"):
        check_count(Owner(3), "rank", least=4)


def test_numbers_are_finite_and_no_truth_values():
    assert all(is_number(value) for value in (0, -1, 0.5, 10**20))
    assert not any(is_number(value) for value in NO_NUMBERS)
