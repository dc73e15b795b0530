"""Different priors for different weights, chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from pyro.distributions import Distribution
from torch import Tensor, nn

from bayescr.errors import BayescrError
from bayescr.models.priors.fan_in_normal import FanInNormal

__all__ = ["Select"]

_Prior = Callable[[str, Tensor], Distribution]


@dataclass(frozen=True, kw_only=True)
class Select:
    """The first pattern that fits a weight's name says what its prior is.

    Attributes:
        priors: ``{pattern: prior}`` in the order in which they are tried, patterns as in a shell:
            ``*`` is anything. A prior is a member of the family, another `Select`, or a function
            of one's own; None: the weight is not random but a plain parameter. Read-only.

    Raises:
        BayescrError: For what is no table of priors.

    Example:
        >>> prior = Select(priors={"head.*": FanInNormal(gain=1.0), "*.bias": None,
        ...                        "*": FanInNormal()})
        >>> prior.of("head.weight")
        FanInNormal(gain=1.0, bias_scale=1.0)
    """

    priors: Mapping[str, _Prior | None] = field(default_factory=lambda: {"*": FanInNormal()})

    def __post_init__(self) -> None:
        if not isinstance(self.priors, Mapping) or not self.priors:
            raise BayescrError(
                f"Select priors is {self.priors!r}: expected a table of patterns and priors, such "
                'as {"head.*": ARD(), "*": FanInNormal()}'
            )
        for pattern, prior in self.priors.items():
            _check(pattern, prior)
        object.__setattr__(self, "priors", _Table(self.priors))

    def of(self, name: str) -> _Prior | None:
        """The prior of a weight; None if it has none.

        Raises:
            BayescrError: If no pattern fits.
        """
        for pattern, prior in self.priors.items():
            if fnmatchcase(name, pattern):
                inner = getattr(prior, "of", None)
                return prior if inner is None else inner(name)
        raise BayescrError(
            f"no pattern of Select fits weight '{name}': there are "
            f'{", ".join(repr(pattern) for pattern in self.priors)}; add "*" for all others'
        )

    def __call__(self, name: str, parameter: Tensor) -> Distribution:
        """The prior of one weight."""
        prior = self.of(name)
        if prior is None:
            raise BayescrError(
                f"weight '{name}' is a plain parameter by Select: expected a prior; give it one, "
                "or do not sample it"
            )
        return prior(name, parameter)


class _Table(Mapping[str, Any]):
    """A read-only table that knows the order of its entries and can be a key itself."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Table) and [*self.items()] == [*other.items()]

    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    def __repr__(self) -> str:
        return repr(self._entries)


def _check(pattern: Any, prior: Any) -> None:
    if not isinstance(pattern, str):
        raise BayescrError(f"Select has the pattern {pattern!r}: expected a text, such as 'head.*'")
    if isinstance(prior, type):
        raise BayescrError(
            f"Select has the class {prior.__name__} for '{pattern}': expected a prior; give its "
            f"settings too, {prior.__name__}()"
        )
    if isinstance(prior, nn.Module):
        raise BayescrError(
            f"Select has a module for '{pattern}', whose parameters nobody would train: expected "
            "a prior without any; write one module that chooses by the weight's name"
        )
    if prior is not None and not callable(prior):
        raise BayescrError(
            f"Select has {prior!r} for '{pattern}': expected a prior, such as FanInNormal(), or "
            "None for a plain parameter"
        )
