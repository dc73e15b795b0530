"""A schedule of your own: no KL for a while, then a smooth rise to its final weight."""

from __future__ import annotations

from dataclasses import dataclass

from bayescr.errors import BayescrError


@dataclass(frozen=True, kw_only=True)
class Delayed:
    """kl_weight 0 up to ``wait``, ``final`` from ``full`` on, x^2 (3 - 2 x) of it in between.

    ``wait`` and ``full`` are fractions of the steps. A fit that ends at ``final`` below 1 has
    found the posterior tempered by T = final, and reports that T.
    """

    wait: float = 0.1
    full: float = 0.5
    final: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.wait < self.full <= 1.0:
            raise BayescrError(
                f"Delayed wait is {self.wait} and full is {self.full}: expected fractions of the "
                "steps, the first below the second"
            )

    def __call__(self, fraction: float) -> float:
        """The weight of the KL when this fraction of all steps is done."""
        x = min(max((fraction - self.wait) / (self.full - self.wait), 0.0), 1.0)
        return self.final * x**2 * (3.0 - 2.0 * x)
