"""How many draws a tile gets, and how they are averaged.

`Fixed` averages a set number. `ToTolerance` adds draws where the mean is still undecided, and
stays unbiased, which stopping on the mean's own draws would not be: the draws come in two
independent halves, A and B; a pilot of each says how many draws the OTHER needs, and the mean is
that of the two halves,

    p = (p_A + p_B) / 2,        n_A = s_B^2 / t^2,   n_B = s_A^2 / t^2     (at least the pilot)

so that n_A knows nothing of the draws that it counts. With s^2 the variance within a group of
three balanced draws of normal noise (`bayescr.inference.sampling`), whose members have correlation
-1/2, a component of degree d of the probability that has variance c adds c (1 + 2 (-1/2)^d) / 3 to
the variance of the group's mean and c (1 - (-1/2)^d) to s^2; their ratio is largest for d = 2, and

    Var(p_A) <= 2 s^2 / n_A        Var(p) <= (2 s^2 / n_A + 2 s^2 / n_B) / 4 = t^2.

Near the centre of a trained posterior the probability is almost linear in the noise, d = 1, which
adds nothing: errors are then several times smaller than the tolerance. The bound takes s^2 for
known, but three draws tell it, pooled over the pixels of a tile: where all of them move together,
along one direction of the weights and purely by the square of the noise, the error can be two or
three times the tolerance.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from bayescr.errors import BayescrError
from bayescr.inference import sampling
from bayescr.inference.prediction import RunningPrediction
from bayescr.inference.predictive import Run
from bayescr.inference.sampling import num_draws, number_of_draws

__all__ = ["Fixed", "ToTolerance", "choose", "suited"]

_MOST = 1000  # draws of a half


@dataclass(frozen=True)
class Fixed:
    """The mean of a set number of draws."""

    num_samples: int
    group: ClassVar[int] = sampling.GROUP

    @property
    def fewest(self) -> int:
        """Draws that every tile gets."""
        return self.num_samples

    def __call__(self, run: Run) -> RunningPrediction:
        """Average the draws 0, 1, ... of ``run``."""
        running = RunningPrediction()
        for index in range(self.num_samples):
            running.add(run(index))
        return running


@dataclass(frozen=True)
class ToTolerance:
    """As many draws as the root-mean-square error of the probability needs to meet the tolerance.

    The mean square is over the pixels of a tile, of the worst class and tile of those that go
    through the network together.

    Raises:
        BayescrError: If the tolerance is not between 0 and 1.
    """

    tolerance: float
    group: ClassVar[int] = 3  # the fewest draws whose spread bounds the error of their mean
    fewest: ClassVar[int] = 2 * group  # draws that every tile gets

    def __post_init__(self) -> None:
        if not 0.0 < self.tolerance < 1.0:
            raise BayescrError(
                f"tolerance is {self.tolerance}: expected an error of a probability, such as 0.01"
            )

    def __call__(self, run: Run) -> RunningPrediction:
        """Average as many draws of ``run`` as it takes, from six up."""
        halves = RunningPrediction(), RunningPrediction()
        for half in (0, 1):
            self._add(halves[half], run, half)
        needed = [self._groups_needed(pilot) for pilot in reversed(halves)]
        for half in (0, 1):
            for number in range(1, needed[half]):
                self._add(halves[half], run, 2 * number + half)
        return halves[0].merge(halves[1])

    def _add(self, running: RunningPrediction, run: Run, number: int) -> None:
        """Add the draws of a group."""
        for member in range(self.group):
            running.add(run(number * self.group + member))

    def _groups_needed(self, pilot: RunningPrediction) -> int:
        """Groups for which the bound reaches the tolerance, judged by one group."""
        variance = pilot.variance() * self.group / (self.group - 1)  # s^2, (B, K, h, w)
        draws = variance.mean((-2, -1)).max().item() / self.tolerance**2
        if math.isnan(draws):  # no number of draws would help
            return 1
        if draws > _MOST:
            warnings.warn(
                f"tolerance={self.tolerance:g} asks for more than {2 * _MOST} draws somewhere, "
                "which are all that are made: choose a larger one",
                stacklevel=2,
            )
        return max(1, math.ceil(min(draws, _MOST) / self.group))


def suited(asked: Fixed | ToTolerance, guide: Any, points: int | None) -> Fixed | ToTolerance:
    """What is asked for, as a guide can give it: see `sampling.num_draws`.

    Raises:
        BayescrError: For a tolerance and an ensemble whose members have a width.
    """
    if isinstance(asked, Fixed):
        return Fixed(num_draws(guide, asked.num_samples, points))
    if points is not None:
        return Fixed(points)
    if hasattr(guide, "members"):  # a group would be draws of different members
        raise BayescrError(
            f"tolerance={asked.tolerance:g} needs draws that are alike, those of an ensemble come "
            "from its members in turn: give num_samples"
        )
    return asked


def choose(
    num_samples: int | None, tolerance: float | None, draws: Mapping[str, Tensor] | None
) -> Fixed | ToTolerance:
    """The estimator that is asked for: a number of draws, 16 unless said, or a tolerance.

    Raises:
        BayescrError: If both are given, or either is out of range.
    """
    if tolerance is None:
        return Fixed(number_of_draws(16 if num_samples is None else num_samples, draws))
    if num_samples is not None or draws is not None:
        raise BayescrError(
            f"tolerance={tolerance} says how many draws are made: leave out num_samples and draws"
        )
    return ToTolerance(tolerance)
