"""Curvature of the log-posterior at a point: what the Laplace approximation is made of.

Of the log-likelihood, the generalised Gauss-Newton matrix over all images n and labels i,

    G = sum_n J_n^T Lambda_n J_n        J = d logits / d w,    Lambda_i = -d^2 log p(y_i) / d l_i^2

which is the Hessian less a term that vanishes where the logits are linear in the weights. It is
never indefinite. Sums over images are in float64.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pyro.distributions as dist
import torch
from pyro.distributions import Distribution
from torch import Tensor
from torch.func import functional_call, jvp, vmap

from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.models import BayesianSegmenter
from bayescr.models._layout import channels_last

__all__ = [
    "Look",
    "gauss_newton",
    "gauss_newton_diagonal",
    "images",
    "looks",
    "prior_precision",
    "prior_precision_diagonal",
    "sampled_gauss_newton_diagonal",
]

_NUMBERS = 2**22  # of the logits of one chunk of directions


class Look(NamedTuple):
    """One image as the curvature sees it.

    Attributes:
        logits: From a vector of the chosen weights to the logits, (1, K, H, W).
        root: Square root of Lambda, of that shape.
    """

    logits: Callable[[Tensor], Tensor]
    root: Tensor


def images(train: PatchDataset, like: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Image, target and valid of each item, a batch of one, neither flipped nor turned.

    Args:
        train: The items.
        like: On whose device they are wanted, the images in its precision.
    """
    plain = copy.copy(train)
    plain.augment = False
    for index in range(len(plain)):
        item = plain[index]
        image = channels_last(item["image"].unsqueeze(0).to(like))
        target, valid = (item[part].unsqueeze(0).to(like.device) for part in ("target", "valid"))
        yield image, target, valid


def looks(
    model: BayesianSegmenter,
    points: Mapping[str, Tensor],
    pieces: Callable[[Tensor], dict[str, Tensor]],
    vector: Tensor,
    train: PatchDataset,
) -> Iterator[Look]:
    """Every image of a training set once, neither flipped nor turned.

    Args:
        model: Its network, plain parameters included, and its likelihood; in eval mode.
        points: All random weights.
        pieces: From the vector of the chosen ones to these.
        vector: Where they are.
        train: The images.

    Raises:
        BayescrError: If the curvature of the likelihood is not finite or negative.
    """
    likelihood: Any = model.likelihood
    for index, (image, target, valid) in enumerate(images(train, vector)):

        def logits(numbers: Tensor, image: Tensor = image) -> Tensor:
            return functional_call(model.net, {**points, **pieces(numbers)}, (image,))

        with torch.no_grad():
            weight = likelihood.curvature(logits(vector), target, valid)
        if not bool((weight.isfinite() & (weight >= 0)).all()):
            raise BayescrError(
                f"the curvature of {likelihood!r} is negative or not finite at item {index} "
                "of the training set: it has to be the expected one, which is neither"
            )
        yield Look(logits, weight.sqrt())


def gauss_newton(seen: Iterator[Look], vector: Tensor) -> Tensor:
    """G, (P, P), exact; memory for P numbers a label of an image."""
    total = torch.zeros(len(vector), len(vector), dtype=torch.float64, device=vector.device)
    for look in seen:
        rows = torch.cat([rows.flatten(1) for rows in _derivatives(look, vector)])
        for part in rows.split(2**16, dim=1):
            part = part.double()
            total += part @ part.T
    return total


def gauss_newton_diagonal(seen: Iterator[Look], vector: Tensor) -> Tensor:
    """The diagonal of G, (P,), exact, at the cost of P passes an image."""
    total = torch.zeros_like(vector, dtype=torch.float64)
    for look in seen:
        total += torch.cat(
            [rows.double().square().flatten(1).sum(1) for rows in _derivatives(look, vector)]
        )
    return total


def sampled_gauss_newton_diagonal(seen: Iterator[Look], vector: Tensor, *, probes: int) -> Tensor:
    """An unbiased estimate of the diagonal of G, (P,), at the cost of ``probes`` passes an image.

        E_v[(J^T Lambda^(1/2) v)_k^2] = (J^T Lambda J)_kk        v independent, -1 or 1 by label

    Where images count alike its relative standard error is sqrt(2 / (images * probes)) at most.
    """
    total = torch.zeros_like(vector, dtype=torch.float64)
    numbers = vector.detach().requires_grad_()
    for look in seen:
        with torch.enable_grad():
            logits = look.logits(numbers)
        for _ in range(probes):
            signs = 2.0 * torch.randint_like(logits, 2) - 1.0
            (gradient,) = torch.autograd.grad(logits, numbers, look.root * signs, retain_graph=True)
            total += gradient.double().square() / probes
    return total


def _derivatives(look: Look, vector: Tensor) -> Iterator[Tensor]:
    """Lambda^(1/2) times a column of J for every number in turn, in chunks (c, 1, K, H, W)."""

    def along(direction: Tensor) -> Tensor:
        return jvp(look.logits, (vector,), (direction,))[1]

    chunk = max(1, min(64, _NUMBERS // look.root.numel()))
    for first in range(0, len(vector), chunk):
        size = min(chunk, len(vector) - first)
        directions = torch.zeros(size, len(vector), dtype=vector.dtype, device=vector.device)
        directions.diagonal(first).fill_(1.0)
        with torch.no_grad(), warnings.catch_warnings():
            # At its first use, forward mode compiles parts of itself in a way torch deprecates.
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
            columns = vmap(along)(directions)
        yield look.root * columns


def prior_precision(prior: Distribution, point: Tensor) -> Tensor:
    """Minus the Hessian of a weight's log-prior, (P, P), kept positive as in the diagonal case."""
    if _is_independent(prior):
        return prior_precision_diagonal(prior, point).diag()
    size = point.numel()
    hessian: Any = torch.autograd.functional.hessian(prior.log_prob, point)
    values, vectors = torch.linalg.eigh(-hessian.reshape(size, size).double())
    return (vectors * values.clamp(min=0.0)) @ vectors.T


def prior_precision_diagonal(prior: Distribution, point: Tensor) -> Tensor:
    """The diagonal of minus the Hessian of a weight's log-prior, (P,), never negative.

    The numbers of an independent prior get at least the precision of the normal with the variance
    of the prior, if it has one: the tails and the corners of a density that is no normal have
    none of their own.

    Raises:
        BayescrError: For a prior with correlations that has no ``expected_log_prob``.
    """
    with torch.enable_grad():
        if _is_independent(prior):
            at = point.detach().clone().requires_grad_()
            (slope,) = torch.autograd.grad(prior.log_prob(at), at, create_graph=True)
            bend = torch.zeros_like(at)
            if slope.requires_grad:
                (bend,) = torch.autograd.grad(slope.sum(), at, materialize_grads=True)
            return torch.maximum(-bend, _normal_precision(prior, point)).flatten().double()
        expected: Any = getattr(prior, "expected_log_prob", None)
        if expected is None:
            raise BayescrError(
                f"prior {type(prior).__name__} has correlations and no expected_log_prob: take "
                "Laplace(structure='full')"
            )
        # E log p under N(point, diag(s)^2) = log p(point) - sum_k precision_kk s_k^2 / 2
        scale = torch.ones_like(point).requires_grad_()
        (slope,) = torch.autograd.grad(expected(point.detach(), scale, None), scale)
    return (-slope).clamp(min=0.0).flatten().double()


def _is_independent(prior: Distribution) -> bool:
    return isinstance(prior, dist.Independent) and not prior.base_dist.event_shape


def _normal_precision(prior: Distribution, point: Tensor) -> Tensor:
    """One over the variance of each number, 0 where it has none."""
    try:
        precision = prior.variance.reciprocal()
    except NotImplementedError:
        return torch.zeros_like(point)
    return precision.nan_to_num(nan=0.0, posinf=0.0).expand_as(point)
