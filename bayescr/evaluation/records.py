"""What a pass over a dataset leaves behind: the truth, and of each row sums that add up.

Nothing here grows with the pixels. Exposures are sorted by name, so that the order in which they
came is forgotten, and statistics are kept by block: an exposure each, until there are more than
128, which then share blocks with their neighbours of the same field. The statistics of a block
take 0.1 to 0.5 MB a row of the table; beyond, memory grows by a few numbers an exposure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array
from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics.family import LOGITS, SUMS, Statistic, Sums
from bayescr.evaluation.predictors import Constant, Predictor, is_posterior, unwrap
from bayescr.evaluation.scored import ScoredFrame

__all__ = [
    "ALL_FIELDS",
    "MAX_BLOCKS",
    "Extreme",
    "Observed",
    "Row",
    "Slice",
    "Tally",
    "file_stem",
    "fraction",
    "member_name",
]

ALL_FIELDS = "all"
MAX_BLOCKS = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One predictor of a comparison.

    Attributes:
        name: Of its row in the table.
        member: Its number among those of that name: the same arm trained with several seeds.
        predictor: The predictor.
    """

    name: str
    member: int
    predictor: Predictor

    @property
    def base(self) -> Predictor:
        """The predictor under any recalibration."""
        return unwrap(self.predictor)

    @property
    def is_curve(self) -> bool:
        """Whether its scores differ, so that it has curves."""
        return not isinstance(self.predictor, Constant)

    @property
    def has_pictures(self) -> bool:
        """Whether its best and worst items are kept: one network of each posterior's row."""
        return self.member == 0 and is_posterior(self.predictor)

    @property
    def is_probability(self) -> bool:
        """Whether its logit may be taken at its word."""
        return bool(getattr(self.predictor, "is_probability", True))


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of the data that has rows of its own in the table.

    Attributes:
        name: "all", a field, or a class.
        blocks: Which blocks of exposures.
        classes: Which classes.
    """

    name: str
    blocks: tuple[int, ...]
    classes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """The truth, the same for all rows.

    Attributes:
        exposures: (E,) names, sorted.
        fields: Exposure -> field; empty where the dataset names none.
        pixels: (E, C) valid pixels.
        positive: (E, C) valid pixels that are positive.
        sha256: Of the images, labels and masks, whatever the order of the exposures.
    """

    exposures: tuple[str, ...]
    fields: Mapping[str, str]
    pixels: Array
    positive: Array
    sha256: str

    @property
    def num_classes(self) -> int:
        """Classes per pixel, C."""
        return int(self.pixels.shape[1])

    @property
    def positive_fraction(self) -> Array:
        """Fraction of valid labels that are positive, (E,); NaN in an exposure without any."""
        return fraction(self.positive.sum(axis=1), self.pixels.sum(axis=1))

    @property
    def base_rate(self) -> tuple[float, ...]:
        """Fraction of positive pixels of each class; NaN without a valid pixel."""
        rates = fraction(self.positive.sum(axis=0), self.pixels.sum(axis=0))
        return tuple(rates.tolist())

    @cached_property
    def block(self) -> Mapping[str, int]:
        """Exposure -> its block."""
        by_field: dict[str, list[str]] = {}
        for exposure in self.exposures:
            by_field.setdefault(self.fields.get(exposure, ""), []).append(exposure)
        share = min(1.0, MAX_BLOCKS / max(len(self.exposures), 1))
        blocks: dict[str, int] = {}
        for names in by_field.values():
            first, count = len(set(blocks.values())), max(1, int(share * len(names)))
            blocks |= {name: first + i * count // len(names) for i, name in enumerate(names)}
        return blocks

    @cached_property
    def slices(self) -> tuple[Slice, ...]:
        """All exposures; each field, of at least two; each class, of at least two."""
        every, classes = tuple(sorted(set(self.block.values()))), tuple(range(self.num_classes))
        found = [Slice(name=ALL_FIELDS, blocks=every, classes=classes)]
        fields = sorted({self.fields[e] for e in self.exposures if e in self.fields})
        for name in fields:
            if name in {ALL_FIELDS, *(f"class {index}" for index in classes)}:
                raise BayescrError(
                    f"a field is named '{name}', as other rows of the table are: rename it"
                )
        for field in fields if len(fields) > 1 else []:
            inside = {self.block[e] for e in self.exposures if self.fields.get(e) == field}
            found.append(Slice(name=field, blocks=tuple(sorted(inside)), classes=classes))
        for index in classes if len(classes) > 1 else ():
            found.append(Slice(name=f"class {index}", blocks=every, classes=(index,)))
        return tuple(found)

    def within(self, part: Slice) -> list[int]:
        """The exposures of a slice, by index."""
        return [e for e, name in enumerate(self.exposures) if self.block[name] in part.blocks]


@dataclass(frozen=True, kw_only=True, eq=False)
class Extreme:
    """The item that a row does best or worst on, by its mean NLL.

    Attributes:
        nll: Mean over its valid pixels [nat].
        frame: The item as scored.
        image: (C_in, H, W) network input.
    """

    nll: float
    frame: ScoredFrame
    image: Array

    @property
    def key(self) -> tuple[float, str]:
        """By which extremes compare: equal scores by name, so that no order matters."""
        return self.nll, self.frame.exposure


class Tally:
    """The sums of one row.

    Attributes:
        row: Whose.
        sums: (exposure) -> `SUMS` of it.
        log_likelihood: (S, E) [nat], per draw and exposure; empty without draws.
        positive_fraction: (S, E) of labels replicated from each draw; empty likewise.
        draws: Draws of the chosen sites, each (S, *shape).
        best: The item done best, of a row that has pictures.
        worst: The item done worst, likewise.
    """

    def __init__(self, row: Row, observed: Observed, statistics: Sequence[Statistic]) -> None:
        self.row, self.observed, self.statistics = row, observed, tuple(statistics)
        self.sums: dict[str, Array] = {}
        self.draws: Mapping[str, Array] = {}
        self.best: Extreme | None = None
        self.worst: Extreme | None = None
        self._blocks: dict[tuple[int, int, int], csr_array] = {}  # statistic, block, class
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._likelihoods: dict[str, Array] = {}  # exposure -> (S,)
        self._replicated: dict[str, Array] = {}

    def add(self, frame: ScoredFrame, image: Array) -> None:
        """Add one item."""
        block, count = self.observed.block[frame.exposure], len(frame.target)
        for index in range(count):
            part = frame if count == 1 else frame.only(index)
            for number, statistic in enumerate(self.statistics):
                value = np.asarray(statistic.of(part))
                shape = self._shapes.setdefault(number, value.shape)
                if shape != value.shape:
                    raise BayescrError(
                        f"a statistic has shape {value.shape} on exposure '{frame.exposure}' and "
                        f"had {shape} before: it must have one shape to add up"
                    )
                key = (number, block, index)
                row = csr_array(value.reshape(1, -1).astype(np.float64))
                self._blocks[key] = self._blocks[key] + row if key in self._blocks else row
        sums = SUMS.of(frame)
        self.sums[frame.exposure] = self.sums.get(frame.exposure, 0.0) + sums
        if self.row.has_pictures:
            self._keep_extremes(frame, image, SUMS.view(sums))

    def add_draws(self, exposure: str, log_likelihood: Array, positives: Array) -> None:
        """Add what each draw says of one item."""
        for total, values in (
            (self._likelihoods, log_likelihood),
            (self._replicated, positives),
        ):
            total[exposure] = total.get(exposure, 0) + values

    def statistic(self, number: int, part: Slice) -> tuple[csr_array, tuple[int, ...]]:
        """A statistic of the blocks of a slice, a flat row each, and its shape."""
        from scipy.sparse import vstack

        rows = []
        for block in part.blocks:
            of_classes = [self._blocks[number, block, index] for index in part.classes]
            rows.append(sum(of_classes[1:], start=of_classes[0]))
        return vstack(rows, format="csr"), self._shapes[number]

    def total(self, statistic: Statistic, part: Slice) -> Any:
        """The view of a statistic summed over a slice."""
        rows, shape = self.statistic(self.statistics.index(statistic), part)
        return statistic.view(np.asarray(rows.sum(axis=0)).reshape(shape))

    def counts(self, part: Slice) -> Counts:
        """Pixels of a slice by logit and label."""
        counts: Counts = self.total(LOGITS, part)
        return counts

    def of_exposure(self, exposure: str) -> Sums:
        """Sums over one exposure."""
        sums: Sums = SUMS.view(self.sums[exposure])
        return sums

    @property
    def num_draws(self) -> int:
        """Draws behind the row; 0 for what does not draw."""
        return len(next(iter(self._likelihoods.values()), ()))

    @property
    def log_likelihood(self) -> Array:
        """(S, E) log-likelihood of the exposures' valid labels under each draw [nat]."""
        return self._by_exposure(self._likelihoods)

    @property
    def positive_fraction(self) -> Array:
        """(S, E) fraction of positives in labels replicated from each draw."""
        return fraction(self._by_exposure(self._replicated), self.observed.pixels.sum(axis=1))

    def _by_exposure(self, values: Mapping[str, Array]) -> Array:
        if not values:
            return np.empty((0, len(self.observed.exposures)))
        return np.stack([values[exposure] for exposure in self.observed.exposures], axis=1)

    def _keep_extremes(self, frame: ScoredFrame, image: Array, sums: Sums) -> None:
        if not sums.pixels:
            return
        new = Extreme(nll=sums.neg_log_likelihood / sums.pixels, frame=frame, image=image)
        if self.best is None or new.key < self.best.key:
            self.best = new
        if self.worst is None or new.key > self.worst.key:
            self.worst = new


def member_name(name: str, member: int, count: int) -> str:
    """What one of the ``count`` networks of a row is called: as the row, if it is the only one."""
    return name if count == 1 else f"{name}, network {member + 1}"


def file_stem(name: str) -> str:
    """A row's name as part of a file's."""
    return re.sub(r"[^\w.+-]+", "-", name).strip(".-") or "row"


def fraction(part: Array, whole: Array) -> Array:
    """Part / whole, NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
