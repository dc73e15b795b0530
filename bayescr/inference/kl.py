"""Closed forms of KL(q || p) for one latent, or None where there is none.

A normal q, with correlations or without, is known by its `Moments`. Its KL is

    KL(q || p) = -H(q) - E_q[log p]

and the second term needs of q no more than p looks at: its marginals, if the numbers are
independent under p; p's own ``expected_log_prob(mean, scale, factor)``, a tensor or None, if it has
one (`CorrelatedNormal`).
What q or p does not know, torch's registry of pairs may.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pyro.distributions as dist
import torch
from pyro.distributions import Distribution
from torch import Tensor
from torch.distributions import kl_divergence

__all__ = ["Moments", "closed_form_kl", "cross_entropy", "moments", "normal_cross_entropy"]


class Moments(NamedTuple):
    """Of a normal over a tensor with P elements: N(mean, diag(scale)^2 + F F^T).

    Attributes:
        mean: Of the tensor's shape.
        scale: Diagonal standard deviations, of the same shape.
        factor: F, (P, rank); None: no correlations.
    """

    mean: Tensor
    scale: Tensor
    factor: Tensor | None = None

    @property
    def stddev(self) -> Tensor:
        """Of each number by itself."""
        if self.factor is None:
            return self.scale
        shared = self.factor.square().sum(-1).reshape(self.mean.shape)
        return (self.scale.square() + shared).sqrt()

    def part(self, first: int, shape: torch.Size) -> Moments:
        """Of the numbers from ``first`` on, as a tensor of a shape, when these are a vector."""
        numbers = slice(first, first + shape.numel())
        factor = None if self.factor is None else self.factor[numbers]
        mean, scale = self.mean[numbers].reshape(shape), self.scale[numbers].reshape(shape)
        return Moments(mean, scale, factor)


def moments(q: Distribution) -> Moments | None:
    """Of a normal distribution, all of it one event; None of any other."""
    own = getattr(q, "moments", None)
    if own is not None:
        return own()
    if isinstance(q, dist.Independent) and isinstance(q.base_dist, dist.Normal):
        normal = q.base_dist
        return Moments(normal.loc, normal.scale) if not q.batch_shape else None
    if isinstance(q, dist.MultivariateNormal) and not q.batch_shape:
        return Moments(q.loc, torch.zeros_like(q.loc), q.scale_tril)
    return None


def closed_form_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p) of the batch: q's own ``kl_divergence`` first, the registry last."""
    own = getattr(q, "kl_divergence", None)
    if own is not None:
        return own(p)
    if isinstance(q, dist.Delta):  # log q need not be constant: a transformed latent's is not
        return None
    if getattr(p, "expected_log_prob", None) is not None or hasattr(q, "moments"):
        known = moments(q)
        cross = None if known is None else cross_entropy(known, p)
        return None if cross is None else cross - q.entropy()
    return _registered_kl(q, p)


def cross_entropy(q: Moments, p: Distribution) -> Tensor | None:
    """-E_q[log p] of a normal q."""
    if p.event_shape != q.mean.shape or p.batch_shape:
        return None
    own: Any = getattr(p, "expected_log_prob", None)
    if own is not None:
        expected = own(q.mean, q.scale, q.factor)
        return None if expected is None else -expected
    if not isinstance(p, dist.Independent) or p.base_dist.event_shape:
        return None  # it may look at more than the marginals
    marginals = dist.Normal(q.mean, q.stddev)
    kl = _registered_kl(marginals.to_event(q.mean.dim()), p)
    if kl is None:
        return None
    return kl + (marginals.scale.log() + 0.5 * math.log(2.0 * math.pi * math.e)).sum()


def normal_cross_entropy(mean: Tensor, variance: Tensor, prior: Distribution) -> Tensor | None:
    """-E[log prior] of weights of any distribution with that mean and variance, in nats.

    None unless the prior is one of independent normals, whose log-density is a parabola.
    """
    if not isinstance(prior, dist.Independent) or not isinstance(prior.base_dist, dist.Normal):
        return None
    if prior.batch_shape or prior.event_shape != mean.shape:
        return None
    return 0.5 * (variance / prior.base_dist.variance).sum() - prior.log_prob(mean)


def _registered_kl(q: Distribution, p: Distribution) -> Tensor | None:
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None
