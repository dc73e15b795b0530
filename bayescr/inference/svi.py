"""Stochastic variational inference: model, guide and data in, posterior out.

Each step draws a batch, evaluates the annealed negative ELBO (`bayescr.inference.elbo`),

    neg_elbo(t) = - (N / B) sum_{n in batch} log p(y_n | x_n, w) + kl_weight(t) KL(q || p),

and lets Adam move the parameters of the guide and those of the network that are not random.
Nothing here knows which guide it trains. What a guide needs besides, it or its factory says:

``learning_rate_schedule``              of the factory: the one that suits it, if none is chosen
``is_trainable``                        of the factory; False: there is nothing to train
``on_step(step, fraction)``             called after each step
``keeps_last``                          True: what it gathers on the way forbids going back to an
                                        earlier epoch
``in_turn``                             guides inside it to train one after the other, each with
                                        all the steps
``finalize(model, train, kl_weight=)``  called when all steps are done
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import nn

from bayescr._calls import check_call
from bayescr._checks import check_count
from bayescr._device import compute_dtype, find_device
from bayescr._progress import Advance, track
from bayescr._random import seeded
from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference import annealing, gradients
from bayescr.inference._descent import Descent
from bayescr.inference._pyro import build_guide, guide_name, local_parameters
from bayescr.inference._training import (
    begin,
    census,
    check_can_stop,
    check_channels,
    check_data,
    check_trainable,
    describe,
    versions,
)
from bayescr.inference._validation import EarlyStopping, validation_nll
from bayescr.inference.gradients import GradientEstimator
from bayescr.inference.guides import GuideFactory
from bayescr.inference.posterior import Posterior
from bayescr.models import BayesianSegmenter

__all__ = ["fit"]


def fit(
    model: BayesianSegmenter,
    guide: GuideFactory,
    train: PatchDataset,
    *,
    validation: PatchDataset | None = None,
    start: Posterior | None = None,
    epochs: int = 20,
    batch_size: int = 16,
    learning_rate: float = 3e-3,
    learning_rate_schedule: Callable[[float], float] | None = None,
    kl_schedule: annealing.KLSchedule | None = None,
    estimator: GradientEstimator | None = None,
    clip_norm: float | None = 1.0,
    patience: int | None = None,
    validation_samples: int = 4,
    precision: str = "auto",
    device: torch.device | str | None = "cpu",
    seed: int = 0,
    progress: bool = False,
) -> Posterior:
    """Approximate the posterior of a model's weights by a guide.

    The model is copied, so that one declaration serves many fits.

    Args:
        model: What is believed before the data.
        guide: ``model -> guide``: one of `bayescr.inference.guides`, or a Pyro autoguide.
        train: Patches to learn from; its scaling goes with the posterior.
        validation: Patches of other exposures. With them, the weights kept are those with the
            lowest predictive NLL among the epochs at the schedule's final kl_weight: earlier
            ones belong to another temperature. A guide that needs its last steps (SWAG) keeps
            the last weights instead.
        start: A fitted posterior whose centre is where the guide starts.
        epochs: Passes over ``train``.
        batch_size: Images a step.
        learning_rate: Adam's, at the top of its schedule.
        learning_rate_schedule: Multiplier by fraction of steps; default the guide's own, or
            `annealing.warmup_cosine`.
        kl_schedule: kl_weight by fraction of steps; default `annealing.linear`.
        estimator: Of the gradient, one of `bayescr.inference.gradients`; default
            `gradients.WeightDraws`.
        clip_norm: Largest norm of the gradient of the loss per pixel; None for no limit.
        patience: Epochs without a better validation NLL after which to stop, of those whose
            weights could be kept; None: never. A guide that needs its last steps refuses it.
        validation_samples: Posterior draws behind the validation NLL.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"`` for the convolutions.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        seed: The same seed on the same machine gives the same bytes.
        progress: Show a bar with loss, NLL, KL and kl_weight.

    Returns:
        The posterior, with ``history``: one row an epoch.

    Raises:
        BayescrError: For settings out of range, data that cannot be trained on, or a loss that
            is no longer finite.

    Example:
        >>> from bayescr.inference import fit, guides
        >>> posterior = fit(model, guides.MeanField(), train, epochs=2)  # doctest: +SKIP
    """
    check_count("", epochs=epochs, batch_size=batch_size, validation_samples=validation_samples)
    check_data(train, validation)
    _check_patience(patience, validation)
    check_trainable(guide)
    for name, value in (("learning_rate", learning_rate), ("clip_norm", clip_norm)):
        if value is not None and not value > 0:
            raise BayescrError(f"{name} is {value}: expected a number above 0")
    kl_schedule = annealing.linear() if kl_schedule is None else kl_schedule
    rate_schedule = (
        learning_rate_schedule
        or getattr(guide, "learning_rate_schedule", None)
        or annealing.warmup_cosine()
    )
    estimator = gradients.WeightDraws() if estimator is None else estimator
    check_call(guide, "guide")
    check_call(kl_schedule, "KL schedule")
    check_call(rate_schedule, "learning-rate schedule")
    check_call(estimator, "estimator")
    rates = _sampled(rate_schedule, "learning_rate_schedule")
    kl_weights = _sampled(kl_schedule, "kl_schedule")
    place = find_device(device)
    dtype = compute_dtype(precision, place)

    with seeded(seed, device=place), local_parameters():
        base_rate, num_pixels = census(train)
        model = copy.deepcopy(model).to(place)
        begin(model, start, base_rate)
        in_channels = len(train[0]["image"])
        check_channels(model, in_channels)
        built = build_guide(guide, model, in_channels=in_channels).to(place)
        parts = getattr(built, "in_turn", None) or [built]
        check_can_stop(patience, parts, guide_name(guide))
        history, kept = [], []
        for number, part in enumerate(parts):
            descent = Descent(
                modules=nn.ModuleDict({"model": model, "guide": part}),
                train=train,
                num_pixels=num_pixels,
                total=epochs * math.ceil(len(train) / batch_size),
                batch_size=batch_size,
                learning_rate=lambda x: learning_rate * rate_schedule(x),
                kl_schedule=kl_schedule,
                estimator=estimator,
                clip_norm=clip_norm,
                device=place,
            )
            with track(f"fit {guide_name(guide)}", descent.total, show=progress) as advance:
                rows, epoch = _train(
                    descent,
                    epochs=epochs,
                    dtype=dtype,
                    validation=validation,
                    validation_samples=validation_samples,
                    patience=patience,
                    advance=advance,
                )
            history += rows if part is built else [{"member": number, **row} for row in rows]
            kept.append(epoch)
        model.eval()
        built.eval()
        if hasattr(built, "finalize"):
            built.finalize(model, train, kl_weight=float(kl_schedule(1.0)))

    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "learning_rate_schedule": rates,
        "kl_schedule": kl_weights,
        "estimator": repr(estimator),
        "clip_norm": clip_norm,
        "patience": patience,
        "validation_samples": validation_samples,
        "precision": str(dtype).removeprefix("torch."),
        "seed": seed,
    }
    return Posterior(
        model=model,
        guide=built,
        guide_factory=guide,
        scaling=train.scaling,
        in_channels=in_channels,
        temperature=float(kl_schedule(1.0)),
        history=pd.DataFrame(history),
        provenance={
            "settings": settings,
            "start": None if start is None else start.name,
            "kept_epoch": kept[0] if len(kept) == 1 else kept,
            "base_rate": base_rate.tolist(),
            "train_data": describe(train),
            "train_exposures": sorted(set(train.exposures)),
            "validation_exposures": [] if validation is None else sorted(set(validation.exposures)),
            "versions": versions(),
        },
    )


def _train(
    descent: Descent,
    *,
    epochs: int,
    dtype: torch.dtype,
    validation: PatchDataset | None,
    validation_samples: int,
    patience: int | None,
    advance: Advance,
) -> tuple[list[dict[str, float]], int]:
    """Train a guide and go to its best epoch; returns a row an epoch, and which one that is."""
    model: Any = descent.modules["model"]
    guide: Any = descent.modules["guide"]
    final = descent.kl_schedule(1.0)
    stopping = EarlyStopping(descent.modules, patience)
    history = []
    for epoch in range(1, epochs + 1):
        with model.computing_in(dtype):
            row = {"epoch": epoch, **descent.epoch(advance)}
        history.append(row)
        if validation is None:
            stopping.keep(epoch)
            continue
        nll = validation_nll(model, guide, validation, validation_samples, descent.batch_size)
        row["validation_nll"] = nll
        if getattr(guide, "keeps_last", False):
            stopping.keep(epoch)
        elif math.isclose(row["kl_weight"], final, rel_tol=1e-6):
            stopping.offer(nll, epoch)
        if stopping.is_out_of_patience:
            break
    stopping.restore()
    return history, stopping.epoch


def _sampled(schedule: Callable[[float], float], name: str) -> list[float]:
    """A schedule at eleven points from 0 to 1."""
    values = [float(schedule(i / 10)) for i in range(11)]
    for i, value in enumerate(values):
        if not 0.0 <= value < math.inf:
            raise BayescrError(
                f"{name} is {value} at {i / 10} of the steps: expected a finite number from 0 up"
            )
    return values


def _check_patience(patience: int | None, validation: PatchDataset | None) -> None:
    if patience is not None and patience < 1:
        raise BayescrError(f"patience is {patience}: expected a whole number of epochs from 1 up")
    if patience is not None and validation is None:
        raise BayescrError(f"patience={patience} needs validation data to watch: give some")
