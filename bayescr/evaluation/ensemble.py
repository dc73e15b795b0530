"""Several trained networks as one predictor: the deep ensemble.

    p = 1/M sum_m p(w_m)

of networks that differ by the seed of their training. Their disagreement is a mutual information,
so that an ensemble of deterministic networks knows its ignorance, too; at M times the cost of one.

References:
    Lakshminarayanan, Pritzel & Blundell, "Simple and Scalable Predictive Uncertainty Estimation
    using Deep Ensembles", arXiv:1612.01474.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Ensemble", "num_draws"]


@dataclass(frozen=True)
class Ensemble:
    """Posteriors of the same shape, each with the same weight.

    Attributes:
        members: At least one; what they share is read off the first.
    """

    members: tuple[Any, ...]

    @property
    def name(self) -> str:
        """Of the members, and how many they are."""
        return f"ensemble of {len(self.members)} {self.members[0].name}"

    @property
    def scaling(self) -> Any:
        """Of the members."""
        return self.members[0].scaling

    @property
    def temperature(self) -> float:
        """Of the members."""
        return float(self.members[0].temperature)

    @property
    def num_classes(self) -> int:
        """Of the members."""
        return int(self.members[0].num_classes)

    @property
    def is_deterministic(self) -> bool:
        """Whether there is but one network."""
        return len(self.members) == 1 and bool(self.members[0].is_deterministic)

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the members come from."""
        return {"members": [dict(member.provenance) for member in self.members]}

    def logits(
        self, image: torch.Tensor, *, num_samples: int = 16, seed: int = 0
    ) -> Iterator[torch.Tensor]:
        """One map of logits a member; of members that draw, their share of the draws."""
        for member in self.members:
            yield from member.logits(image, num_samples=self._draws(member, num_samples), seed=seed)

    def draw(
        self, num_samples: int, *, seed: int = 0, sites: list[str] | None = None
    ) -> Mapping[str, torch.Tensor]:
        """Draws behind `logits`, {site: (S, *shape)}."""
        drawn = [
            member.draw(self._draws(member, num_samples), seed=seed, sites=sites)
            for member in self.members
        ]
        return {site: torch.cat([one[site] for one in drawn]) for site in drawn[0]}

    def share(self, num_samples: int) -> int:
        """Draws of each member, of so many in all."""
        return max(1, num_samples // len(self.members))

    def _draws(self, member: Any, num_samples: int) -> int:
        return num_draws(member, self.share(num_samples))


def num_draws(posterior: Any, num_samples: int) -> int:
    """How many draws a mean over a posterior takes when so many are asked for; 1 of a point."""
    own = getattr(posterior, "num_draws", None)
    if own is not None:
        return int(own(num_samples))
    return 1 if posterior.is_deterministic else num_samples
