"""The No-U-Turn sampler: the posterior itself, for networks small enough to afford it.

Draws of a Markov chain whose stationary distribution is p(w) p(D|w)^(1/T): what a guide
approximates, and so the reference to judge one by. Every step looks at the whole training set, and
trajectories take up to 2^max_tree_depth gradients a draw.
"""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd
import torch
from pyro import poutine
from pyro.infer import NUTS
from pyro.infer.autoguide.initialization import init_to_sample, init_to_uniform
from pyro.ops.stats import effective_sample_size, split_gelman_rubin
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.utils.data import DataLoader

from bayescr._device import find_device
from bayescr._progress import Advance, track
from bayescr._random import generator, seeded
from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference._descent import move
from bayescr.inference._pyro import local_parameters
from bayescr.inference.guides._finite import StoredDraws, plain_parameters
from bayescr.inference.posterior import Posterior
from bayescr.inference.svi import _census, _check_channels, _check_data, _describe, _versions
from bayescr.models import BayesianSegmenter

__all__ = ["MOST_WEIGHTS", "nuts"]

MOST_WEIGHTS = 2000  # numbers to move at once; beyond, chains take days and have not mixed then


def nuts(
    model: BayesianSegmenter,
    train: PatchDataset,
    *,
    num_samples: int = 200,
    warmup: int = 200,
    chains: int = 1,
    seed: int = 0,
    device: torch.device | str | None = "cpu",
    max_tree_depth: int = 10,
    temperature: float = 1.0,
    progress: bool = False,
) -> Posterior:
    """Draw from the posterior of a small model's weights.

    The model is copied. Chains begin at draws from the prior, one after the other, and adapt their
    step and a diagonal mass matrix while they warm up. Patches are taken as they are: nothing is
    flipped or turned.

    Weights of a network may be exchanged without changing it, so that chains which agree on every
    prediction may differ in their weights: R-hat far from 1 says that weights have not mixed, and
    predictions of two chains whether that matters.

    Args:
        model: What is believed before the data; all that it trains must be random.
        train: Patches of one size; the whole set is one batch.
        num_samples: Draws kept of each chain, from 4 up.
        warmup: Draws before these, which are not kept.
        chains: Number of chains; two tell more than one of twice the length.
        seed: The same seed on the same machine gives the same bytes.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        max_tree_depth: Largest number of doublings of a trajectory.
        temperature: T; only 1 is the Bayesian posterior.
        progress: Show a bar.

    Returns:
        The posterior of the draws, in an order of chance so that the first n are spread over all
        chains. ``history`` has a row a chain: divergences, mean probability of acceptance and step
        size. ``provenance["convergence"]`` has for each latent the largest split R-hat and the
        smallest effective sample size of its numbers.

    Raises:
        BayescrError: For settings out of range, data that cannot be trained on, too many weights,
            or parameters that are not random.

    References:
        Hoffman & Gelman, "The No-U-Turn Sampler", arXiv:1111.4246.

    Example:
        >>> from bayescr.inference import nuts
        >>> reference = nuts(model, train, chains=2)  # doctest: +SKIP
    """
    _check(num_samples=(num_samples, 4), warmup=(warmup, 1), chains=(chains, 1),
           max_tree_depth=(max_tree_depth, 1))  # fmt: skip
    if not temperature > 0:
        raise BayescrError(f"temperature is {temperature}: expected a number above 0")
    _check_data(train, None, None)
    _check_model(model)
    place = find_device(device)
    train = copy.copy(train)
    train.augment = False
    base_rate, _ = _census(train)
    in_channels = len(train[0]["image"])
    _check_channels(model, in_channels)
    with seeded(seed, device=place), local_parameters():
        model = copy.deepcopy(model).to(place).eval()
        model.set_base_rate(base_rate)
        batch = move(next(iter(DataLoader(train, batch_size=len(train)))), place)
        drawn, history = [], []
        with track("nuts", chains * (warmup + num_samples), show=progress) as advance:
            for number in range(chains):
                kernel = NUTS(
                    _target(model, temperature),
                    max_tree_depth=max_tree_depth,
                    init_strategy=_start(model),
                )
                with seeded(seed, number, device=place):
                    drawn.append(_chain(kernel, batch, warmup, num_samples, advance))
                history.append({"chain": number, **_told(kernel)})
        draws = {name: torch.stack([chain[name] for chain in drawn]) for name in drawn[0]}
        factory = StoredDraws(num_samples=chains * num_samples)
        guide = factory(model).to(place).eval()
        order = torch.randperm(factory.num_samples, generator=generator(seed)).to(place)
        guide.store({name: values.flatten(0, 1)[order] for name, values in draws.items()})
    return Posterior(
        model=model,
        guide=guide,
        guide_factory=factory,
        scaling=train.scaling,
        in_channels=in_channels,
        temperature=float(temperature),
        history=pd.DataFrame(history),
        provenance={
            "settings": {
                "num_samples": num_samples,
                "warmup": warmup,
                "chains": chains,
                "max_tree_depth": max_tree_depth,
                "seed": seed,
            },
            "convergence": {name: _convergence(values) for name, values in draws.items()},
            "start": None,
            "base_rate": base_rate.tolist(),
            "train_data": _describe(train),
            "train_exposures": sorted(set(train.exposures)),
            "validation_exposures": [],
            "versions": _versions(),
        },
    )


def _chain(
    kernel: NUTS, batch: tuple[Tensor, ...], warmup: int, num_samples: int, advance: Advance
) -> dict[str, Tensor]:
    """The draws of one chain, {site: (num_samples, *shape)}."""
    with poutine.block():
        kernel.setup(warmup, *batch)
        state, kept = kernel.initial_params, []
        for step in range(warmup + num_samples):
            state = kernel.sample(state)
            if step >= warmup:
                kept.append(state)
            advance(1, f"step size {kernel.step_size:.2g}")
    with torch.no_grad():
        return {
            name: transform.inv(torch.stack([state[name] for state in kept]))
            for name, transform in kernel.transforms.items()
        }


def _told(kernel: NUTS) -> dict[str, float]:
    return {
        "divergences": len(kernel.diagnostics()["divergences"]),
        "accept_prob": float(kernel.logging()["acc. prob"]),
        "step_size": float(kernel.step_size),
    }


def _target(model: BayesianSegmenter, temperature: float) -> Any:
    def target(image: Tensor, target: Tensor, valid: Tensor) -> None:
        with _Tempered(temperature):
            model(image, target, valid)

    return target


class _Tempered(Messenger):
    """Divides the log-likelihood, and it alone, by T."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def _pyro_sample(self, site: Any) -> None:
        if site["is_observed"]:
            site["scale"] = site["scale"] / self.temperature


def _start(model: BayesianSegmenter) -> Any:
    """Weights from their prior; its own latents, which may have no mean, from -2 to 2."""
    weights = set(model.random_weights)

    def start(site: Any) -> Tensor:
        return init_to_sample(site) if site["name"] in weights else init_to_uniform(site)

    return start


def _convergence(draws: Tensor) -> dict[str, float]:
    """The worst of a latent's numbers, of (chains, draws, *shape)."""
    # A few numbers at a time: pyro's estimate takes memory by the square of the draws.
    parts = draws.flatten(2).double().split(16, dim=-1) if draws.dim() > 2 else [draws.double()]
    return {
        "r_hat": max(split_gelman_rubin(part).max().item() for part in parts),
        "ess": min(effective_sample_size(part).min().item() for part in parts),
    }


def _check_model(model: BayesianSegmenter) -> None:
    plain = plain_parameters(model)
    if plain:
        raise BayescrError(
            f"'{plain[0]}' is trained but not random: NUTS draws latents and trains nothing; make "
            "all weights random, BayesianSegmenter(..., random='*', prior=priors.Normal()), and "
            "take a likelihood that learns nothing"
        )
    number = sum(weight.numel() for weight in model.random_weights.values())
    if number > MOST_WEIGHTS:
        raise BayescrError(
            f"the model has {number} random weights: NUTS moves {MOST_WEIGHTS} at most; take a "
            "smaller network, or a guide such as LowRank() with fit()"
        )


def _check(**settings: tuple[int, int]) -> None:
    for name, (value, least) in settings.items():
        if value < least:
            raise BayescrError(f"{name} is {value}: expected a whole number from {least} up")
