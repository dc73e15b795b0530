"""Posterior draws that balance one another: the same Monte Carlo error from fewer passes.

A guide turns standard noise into weights. Draws come in groups of g; of the normal noise e_j of
its g members, independent of each other, member k of a group takes

    z_k = sqrt(g / (g - 1)) (e_k - mean_j e_j)

which is standard normal again, and so is the draw exactly one from the guide. But the noise of a
group sums to zero: whatever is linear in it cancels in the group's mean. For any function f of
normal noise, whose component of degree d in Hermite polynomials keeps the d-th power of the
correlation -1 / (g - 1) between two draws,

    Var(mean of n draws) <= (1 + 1 / (g - 1)) Var(f) / n

and for the nearly linear f of a trained network a fraction of Var(f) / n. Uniform noise, and with
it masks of zeros and ones, is spread evenly over a group: u_k = u + k / g modulo 1. Other noise
stays independent. Every mean over draws stays unbiased; the sample variance of n draws is too
large by n / (n - 1), since their mean does not move.

References:
    Craiu & Meng, "Multiprocess parallel antithetic coupling for backward and forward Markov Chain
    Monte Carlo", Ann. Statist. 33 (2005), 661 (extreme antithesis of more than two variates).
    McKay, Beckman & Conover, "A Comparison of Three Methods for Selecting Values of Input
    Variables", Technometrics 21 (1979), 239 (even spread of uniform variates).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bayescr._names import unknown_name
from bayescr._random import generator, seeded
from bayescr.errors import BayescrError
from bayescr.inference._pyro import draw_latents

__all__ = [
    "GROUP",
    "SAMPLINGS",
    "Draws",
    "draw",
    "num_draws",
    "num_points",
    "number_of_draws",
    "pick",
    "same",
]

SAMPLINGS = ("antithetic", "independent")
GROUP = 4  # draws that balance one another; larger groups gain little more


def draw(
    guide: Any,
    index: int,
    *,
    seed: int,
    device: torch.device,
    sampling: str = "antithetic",
    group: int = GROUP,
    noise: dict[Any, Any] | None = None,
) -> dict[str, Tensor]:
    """Draw number ``index`` of all latents; it depends on its number and the seed alone.

    A guide may have ``members``, each a guide: then the draws take turns, number k from member
    k modulo their number, so that each gets its share.

    Args:
        guide: What is drawn from.
        index: From 0 up; ``index // group`` is its group.
        seed: Of all draws.
        device: Where the guide is.
        sampling: ``"antithetic"`` as above, or ``"independent"``.
        group: Draws that balance one another, g.
        noise: Where to keep the noise of a group for its next member, which saves time.

    Raises:
        BayescrError: If ``sampling`` is neither.
    """
    if sampling not in SAMPLINGS:
        raise unknown_name("sampling", sampling, list(SAMPLINGS))
    members = getattr(guide, "members", None)
    if members is not None:
        index, member = divmod(index, len(members))
        of_member = None if noise is None else noise.setdefault(("member", member), {})
        return _draw(
            members[member],
            index,
            (seed, member),
            device=device,
            sampling=sampling,
            group=group,
            noise=of_member,
        )
    return _draw(guide, index, (seed,), device=device, sampling=sampling, group=group, noise=noise)


def num_points(guide: Any, *, device: torch.device) -> int | None:
    """How many draws there are: 1 of a point mass, M of M equally likely ones; None: no end.

    Draws 0 to M - 1 are then each of them once.
    """
    members = getattr(guide, "members", None)
    parts = [guide] if members is None else members
    with seeded(0, device=device):
        return len(parts) if all(draw_latents(part)[1] for part in parts) else None


def num_draws(guide: Any, num_samples: int, points: int | None) -> int:
    """How many draws a mean takes when so many are asked for.

    Of finitely many points each is drawn once at most: more would say the same again. The members
    of an ensemble get as many draws as one another, one at least: else some would count for more.

    Args:
        guide: What is drawn from.
        num_samples: How many are asked for.
        points: Of `num_points`.
    """
    if points is not None:
        return min(num_samples, points)
    members = len(getattr(guide, "members", [guide]))
    return members * math.ceil(num_samples / members)


def _draw(
    guide: Any,
    index: int,
    seed: tuple[int, ...],
    *,
    device: torch.device,
    sampling: str,
    group: int,
    noise: dict[Any, Any] | None,
) -> dict[str, Tensor]:
    balanced: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if sampling == "antithetic":
        number, member = divmod(index, group)
        balanced = _Balanced((*seed, number), member, group, {} if noise is None else noise)
    with seeded(*seed, index, device=device), balanced:
        latents, _ = draw_latents(guide)
    return latents


class Draws:
    """Draws by number, made when they are asked for and kept while they fit in a set memory.

    Args:
        make: The draw of a number, always the same one.
        budget: Bytes to hold draws in; one that no longer fits is made anew each time.
    """

    def __init__(
        self, make: Callable[[int], Mapping[str, Tensor]], *, budget: int = 512 * 2**20
    ) -> None:
        self._make, self._free = make, budget
        self._kept: dict[int, Mapping[str, Tensor]] = {}

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        """Draw number ``index``, from 0 up."""
        if index in self._kept:
            return self._kept[index]
        latents = self._make(index)
        size = sum(value.numel() * value.element_size() for value in latents.values())
        if size <= self._free:
            self._free -= size
            self._kept[index] = latents
        return latents


def number_of_draws(num_samples: int, draws: Mapping[str, Tensor] | None = None) -> int:
    """How many draws are asked for, or given, {site: (number, *shape)}.

    Raises:
        BayescrError: If there are none.
    """
    if draws is not None:
        sizes = [len(values) for values in draws.values()]
        if not sizes or min(sizes) < 1:
            raise BayescrError("draws are empty: draw at least one, `posterior.draw(8)`")
        return sizes[0]
    if num_samples < 1:
        raise BayescrError(f"num_samples is {num_samples}: expected a whole number from 1 up")
    return num_samples


def pick(draws: Mapping[str, Tensor], index: int, names: Iterable[str]) -> dict[str, Tensor]:
    """Some sites of one of the given draws.

    Raises:
        BayescrError: If a site is missing.
    """
    for name in names:
        if name not in draws:
            raise BayescrError(f"draws lack weight '{name}': draw all sites, `posterior.draw(8)`")
    return {name: draws[name][index] for name in names}


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Whether two draws are equal, as those of a point mass are."""
    return all(torch.equal(value, b[name]) for name, value in a.items())


class _Balanced(TorchFunctionMode):
    """Replaces the noise that torch draws by that of one member of a group.

    Args:
        seed: Of the group.
        member: Whose noise this is, from 0 up.
        size: Members of the group.
        kept: Noise of all members, of this group or the last one, by the call that asked for it.
    """

    def __init__(
        self, seed: tuple[int, ...], member: int, size: int, kept: dict[Any, Tensor]
    ) -> None:
        super().__init__()
        self.seed, self.member, self.size, self.kept = seed, member, size, kept
        self.calls = 0
        for key in [key for key in kept if key[0] != seed]:
            del kept[key]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        noise = _NOISE.get(func)
        # Who brings a generator has plans of his own.
        if noise is None or kwargs.get("generator") is not None:
            return out
        return out.copy_(noise(self, out, *args, **kwargs))

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal, summing to zero over the group."""

        def centred(source: torch.Generator) -> Tensor:
            noise = like.new_empty((self.size, *like.shape)).normal_(generator=source)
            return math.sqrt(self.size / (self.size - 1)) * (noise - noise.mean(0))

        return self._noise("normal", like, centred)

    def uniform(self, like: Tensor) -> Tensor:
        """Uniform on [0, 1), evenly spread over the group."""
        dtype = like.dtype if like.is_floating_point() else torch.float32

        def spread(source: torch.Generator) -> Tensor:
            shared = like.new_empty(like.shape, dtype=dtype).uniform_(generator=source)
            return torch.stack([(shared + one / self.size).frac() for one in range(self.size)])

        return self._noise("uniform", like, spread)

    def _noise(self, kind: str, like: Tensor, make: Callable[[torch.Generator], Tensor]) -> Tensor:
        """This member's noise for this call, the same whether the others asked before or not."""
        key = (self.seed, self.calls, kind, like.shape, like.dtype, like.device)
        if key not in self.kept:
            self.kept[key] = make(generator(*self.seed, self.calls, device=like.device))
        self.calls += 1
        return self.kept[key][self.member]


def _normal(
    noise: _Balanced, out: Tensor, mean: Any = 0.0, std: Any = 1.0, *_: Any, **__: Any
) -> Tensor:
    return mean + std * noise.normal(out)


def _uniform(
    noise: _Balanced, out: Tensor, low: float = 0.0, high: float = 1.0, **to: float
) -> Tensor:
    low, high = to.get("from", low), to.get("to", high)
    return low + (high - low) * noise.uniform(out)


def _bernoulli(noise: _Balanced, out: Tensor, input: Any, p: Any = None, **_: Any) -> Tensor:
    return noise.uniform(out) < (input if p is None else p)


def _fill_bernoulli(noise: _Balanced, out: Tensor, p: Any = 0.5, **_: Any) -> Tensor:
    return noise.uniform(out) < p


def _in_place(noise: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """For a method that fills a tensor, whose values do not matter."""
    return lambda mode, out, _, *args, **kwargs: noise(mode, out, *args, **kwargs)


# Noise by function, from what it would have returned and its arguments.
_NOISE: dict[Any, Callable[..., Tensor]] = {
    torch.normal: _normal,
    torch.Tensor.normal_: _in_place(_normal),
    torch.randn: lambda mode, out, *_, **__: mode.normal(out),
    torch.randn_like: lambda mode, out, *_, **__: mode.normal(out),
    torch.rand: lambda mode, out, *_, **__: mode.uniform(out),
    torch.rand_like: lambda mode, out, *_, **__: mode.uniform(out),
    torch.Tensor.uniform_: _in_place(_uniform),
    torch.bernoulli: _bernoulli,
    torch.Tensor.bernoulli: _bernoulli,
    torch.Tensor.bernoulli_: _in_place(_fill_bernoulli),
}
