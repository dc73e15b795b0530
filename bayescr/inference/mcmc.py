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

from bayescr._checks import check_count, check_positive
from bayescr._device import find_device
from bayescr._progress import Advance, track
from bayescr._random import generator, seeded
from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference._descent import move
from bayescr.inference._pyro import local_parameters
from bayescr.inference._training import (
    begin,
    census,
    check_channels,
    check_data,
    describe,
    versions,
)
from bayescr.inference.guides._finite import StoredDraws, centred_on_start, way_to_random
from bayescr.inference.posterior import Posterior
from bayescr.models import BayesianSegmenter

__all__ = ["MOST_WEIGHTS", "nuts"]

MOST_WEIGHTS = 2000  # numbers to move at once; beyond, chains take days and have not mixed then


def nuts(
    model: BayesianSegmenter,
    train: PatchDataset,
    *,
    start: Posterior | None = None,
    num_samples: int = 200,
    num_warmup: int = 200,
    num_chains: int = 1,
    seed: int = 0,
    device: torch.device | str | None = "cpu",
    max_tree_depth: int = 10,
    temperature: float = 1.0,
    progress: bool = False,
) -> Posterior:
    """Draw from the posterior of a small model's weights.

    The model is copied. Chains run one after the other, each from a draw of the prior or from
    ``start``, and adapt their step and a diagonal mass matrix while they warm up. Patches are taken
    as they are: nothing is flipped or turned.

    Weights of a network may be exchanged without changing it, so that chains which agree on every
    prediction may differ in their weights: R-hat far from 1 says that weights have not mixed, and
    predictions of two chains whether that matters.

    Args:
        model: What is believed before the data; all that it trains must be random.
        train: Patches of one size; the whole set is one batch.
        start: A fitted posterior whose centre is where all chains begin, and what a prior such as
            `priors.Empirical` is centred on. R-hat then says less: chains that begin together
            agree for a while whether they have mixed or not.
        num_samples: Draws kept of each chain, from 4 up: num_samples * num_chains in all.
        num_warmup: Draws of each chain before these, which are not kept.
        num_chains: Number of chains; two tell more than one of twice the length.
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
            parameters that are not random, or a prior that is centred on a start that is not given.

    References:
        Hoffman & Gelman, "The No-U-Turn Sampler", arXiv:1111.4246.

    Example:
        >>> from bayescr.inference import nuts
        >>> reference = nuts(model, train, num_chains=2)  # doctest: +SKIP
    """
    check_count("", num_samples=num_samples, least=4)
    check_count("", num_warmup=num_warmup, num_chains=num_chains, max_tree_depth=max_tree_depth)
    check_positive("", temperature=temperature)
    check_data(train)
    _check_model(model, start)
    place = find_device(device)
    train = copy.copy(train)
    train.augment = False
    base_rate, _ = census(train)
    in_channels = len(train[0]["image"])
    check_channels(model, in_channels)
    with seeded(seed, device=place), local_parameters():
        model = copy.deepcopy(model).to(place).eval()
        begin(model, start, base_rate)
        batch = move(next(iter(DataLoader(train, batch_size=len(train)))), place)
        drawn, history = [], []
        with track("nuts", num_chains * (num_warmup + num_samples), show=progress) as advance:
            for number in range(num_chains):
                kernel = NUTS(
                    _target(model, temperature),
                    max_tree_depth=max_tree_depth,
                    init_strategy=_start(model),
                )
                with seeded(seed, number, device=place):
                    drawn.append(_chain(kernel, batch, num_warmup, num_samples, advance))
                history.append({"chain": number, **_told(kernel)})
        draws = {name: torch.stack([chain[name] for chain in drawn]) for name in drawn[0]}
        factory = StoredDraws(num_samples=num_chains * num_samples)
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
                "num_warmup": num_warmup,
                "num_chains": num_chains,
                "max_tree_depth": max_tree_depth,
                "seed": seed,
            },
            "convergence": {name: _convergence(values) for name, values in draws.items()},
            "start": None if start is None else start.name,
            "base_rate": base_rate.tolist(),
            "train_data": describe(train),
            "train_exposures": sorted(set(train.exposures)),
            "validation_exposures": [],
            "versions": versions(),
        },
    )


def _chain(
    kernel: NUTS, batch: tuple[Tensor, ...], num_warmup: int, num_samples: int, advance: Advance
) -> dict[str, Tensor]:
    """The draws of one chain, {site: (num_samples, *shape)}."""
    with poutine.block():
        kernel.setup(num_warmup, *batch)
        state, kept = kernel.initial_params, []
        for step in range(num_warmup + num_samples):
            state = kernel.sample(state)
            if step >= num_warmup:
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
    """Weights where they were started, or from their prior; latents of it from -2 to 2.

    These may have no mean.
    """
    weights = model.random_weights

    def start(site: Any) -> Tensor:
        name = site["name"]
        if name not in weights:
            return init_to_uniform(site)
        return weights[name].clone() if model.is_started else init_to_sample(site)

    return start


def _convergence(draws: Tensor) -> dict[str, float]:
    """The worst of a latent's numbers, of (chains, draws, *shape)."""
    # A few numbers at a time: pyro's estimate takes memory by the square of the draws.
    parts = draws.flatten(2).double().split(16, dim=-1) if draws.dim() > 2 else [draws.double()]
    return {
        "r_hat": max(split_gelman_rubin(part).max().item() for part in parts),
        "ess": min(effective_sample_size(part).min().item() for part in parts),
    }


def _check_model(model: BayesianSegmenter, start: Posterior | None) -> None:
    plain = model.plain_parameters
    if plain:
        way_out = (
            "take a likelihood that learns nothing"
            if plain[0].startswith("likelihood.")
            else way_to_random(model, plain[0])
        )
        raise BayescrError(
            f"'{plain[0]}' is trained but not random: NUTS draws latents and trains nothing; "
            f"{way_out}"
        )
    centred = centred_on_start(model)
    if centred and start is None:
        raise BayescrError(
            f"the prior of '{centred[0]}' is centred on the start, and there is none: give one, "
            "start=fit(model, guides.MAP(), train)"
        )
    number = sum(weight.numel() for weight in model.random_weights.values())
    if number > MOST_WEIGHTS:
        raise BayescrError(
            f"the model has {number} random weights: NUTS moves {MOST_WEIGHTS} at most; take a "
            "smaller network, or a guide such as LowRank() with fit()"
        )
