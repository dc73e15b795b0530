"""What `kl_report` gathers about one latent, draw by draw."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions import Distribution
from torch import Tensor

from bayescr.inference.guides.low_rank import LowRankNormal
from bayescr.inference.kl import Moments

__all__ = ["FALLEN_BACK", "Row", "Spread"]

FALLEN_BACK = 0.05  # nats: a mean that moved by a third of a standard deviation


class Row:
    """What is known of a latent, or of noise that several are made of, after some draws."""

    def __init__(self, numbers: int, within: str = "") -> None:
        self.numbers = numbers
        self.within = within
        self.has_density = True
        self.is_closed = True
        self.terms: dict[int, list[Tensor]] = defaultdict(list)  # of the bound, by member
        self.entropies: list[Tensor] = []  # of the marginal, where drawn with others
        self.known: Moments | None = None  # behind the last of these
        self.prior, self.posterior = Spread(), Spread()

    @classmethod
    def sum(cls, rows: list[Row], numbers: int) -> Row:
        """Several as one; what their terms owe to the same draws may cancel."""
        row = cls(numbers)
        row.has_density = all(part.has_density for part in rows)
        row.is_closed = all(part.is_closed for part in rows)
        for member in rows[0].terms:
            draws = zip(*(part.terms[member] for part in rows), strict=True)
            row.terms[member] = [torch.stack(terms).sum() for terms in draws]
        return row

    def term(self) -> tuple[float, float]:
        """The bound term and its standard error."""
        terms = torch.stack([torch.stack(draws) for draws in self.terms.values()])
        error = terms.std(1)
        # A closed form that is the same at every draw depends on none: what is left is rounding.
        if self.is_closed:
            error = error * (error > 1e-6 * terms.abs().amax(1))
        return terms.mean().item(), error.norm().item() / math.sqrt(terms.shape[1]) / len(terms)

    def add_entropy(self, known: Moments) -> None:
        """That of the marginal, which mostly is the same at every draw and dear to compute."""
        is_new = self.known is None or any(
            not torch.equal(now, before)
            for now, before in zip(known, self.known, strict=True)
            if now is not None and before is not None
        )
        self.entropies.append(_entropy(known) if is_new else self.entropies[-1])
        self.known = known

    def kl(self) -> dict[str, Any]:
        """The columns about the KL."""
        term, error = self.term()
        kl, is_exact = term, error == 0.0
        if self.within:
            is_known = bool(self.entropies)
            kl = kl - torch.stack(self.entropies).mean().item() if is_known else math.nan
            is_exact &= is_known
        if not self.has_density:
            kl, error, is_exact = math.inf, 0.0, True
        return {
            "numbers": self.numbers,
            "kl": kl,
            "exact": is_exact,
            "kl_error": math.nan if math.isnan(kl) else error,
            "kl_per_number": kl / self.numbers,
            "bound_term": term,
            "within": self.within,
        }

    def scales(self) -> dict[str, Any]:
        """The columns about prior and guide number by number."""
        (prior_mean, prior_scale), (mean, scale) = self.prior.moments(), self.posterior.moments()
        ratio, shift = scale / prior_scale, (mean - prior_mean) / prior_scale
        kl = 0.5 * (ratio.square() + shift.square() - 1.0) - ratio.log()
        return {
            "prior_scale": prior_scale.median().item(),
            "posterior_scale": scale.median().item(),
            "signal_to_noise": torch.where(scale > 0, mean.abs() / scale, math.inf).median().item(),
            "fallen_back": int((kl < FALLEN_BACK).sum()),
        }


class Spread:
    """Mean and standard deviation of each number over draws, by the law of total variance."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Any = 0.0
        self.squares: Any = 0.0
        self.variance: Any = 0.0
        self.draws: list[Tensor] = []

    def add(self, mean: Tensor, variance: Tensor | float = 0.0) -> None:
        """Moments given a draw of what they depend on; those of a draw itself: it, and 0."""
        self.count += 1
        step = mean.double() - self.mean
        self.mean = self.mean + step / self.count
        self.squares = self.squares + step * (mean.double() - self.mean)
        self.variance = self.variance + variance

    def add_prior(self, p: Distribution) -> None:
        """The moments of a prior, or a draw for its quantiles where it has none."""
        try:
            mean, variance = p.mean, p.variance
            has_moments = bool(mean.isfinite().all() and variance.isfinite().all())
        except NotImplementedError:
            has_moments = False
        if has_moments and not self.draws:
            self.add(mean, variance)
        else:
            self.draws.append(p.sample())

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, or those of a normal with the same quantiles."""
        if not self.draws:
            variance = self.variance / self.count + self.squares / (self.count - 1)
            return self.mean, variance.sqrt()
        draws = torch.stack(self.draws).sort(0).values  # torch.quantile takes no large tensors
        ranks = [round(level * (len(draws) - 1)) for level in (0.1587, 0.5, 0.8413)]
        low, middle, high = draws[ranks].double()
        return middle, (high - low) / 2


def _entropy(q: Moments) -> Tensor:
    """Of a normal with these moments, in nats."""
    mean, scale = q.mean.double(), q.scale.double()
    if q.factor is None:
        return dist.Normal(mean, scale).entropy().sum()
    factor = q.factor.double()
    if bool((scale > 0).all()):
        return LowRankNormal(mean, scale, factor).entropy()
    covariance = scale.flatten().square().diag() + factor @ factor.T
    log_determinant: Tensor = torch.linalg.slogdet(covariance).logabsdet
    return 0.5 * (log_determinant + len(covariance) * math.log(2.0 * math.pi * math.e))
