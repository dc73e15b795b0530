"""Stochastic variational inference: model, guide and data in, posterior out.

Each step draws a batch, evaluates the annealed negative ELBO (`bayescr.inference.elbo`),

    neg_elbo(t) = - (N / B) sum_{n in batch} log p(y_n | x_n, w) + kl_weight(t) KL(q || p),

and lets Adam move the parameters of the guide and those of the network that are not random.
Nothing here knows which guide it trains.
"""

from __future__ import annotations

import copy
import math
import platform
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyro
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import bayescr
from bayescr._device import compute_dtype, find_device
from bayescr._progress import Advance, track
from bayescr._random import seeded
from bayescr.data import Patch, PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference import annealing
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference.elbo import AnnealedELBO
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
            ones belong to another temperature.
        start: A fitted posterior whose centre is where the guide starts.
        epochs: Passes over ``train``.
        batch_size: Images a step.
        learning_rate: Adam's, at the top of its schedule.
        learning_rate_schedule: Multiplier by fraction of steps; default
            `annealing.warmup_cosine`.
        kl_schedule: kl_weight by fraction of steps; default `annealing.linear`.
        clip_norm: Largest norm of the gradient of the loss per pixel; None for no limit.
        patience: Epochs without a better validation NLL after which to stop; None: never.
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
    _check(epochs=epochs, batch_size=batch_size, validation_samples=validation_samples)
    _check_data(train, validation, patience)
    for name, value in (("learning_rate", learning_rate), ("clip_norm", clip_norm)):
        if value is not None and not value > 0:
            raise BayescrError(f"{name} is {value}: expected a number above 0")
    kl_schedule = annealing.linear() if kl_schedule is None else kl_schedule
    rate_schedule = learning_rate_schedule or annealing.warmup_cosine()
    place = find_device(device)
    dtype = compute_dtype(precision, place)

    with seeded(seed, device=place), local_parameters():
        base_rate, num_pixels = _census(train)
        model = copy.deepcopy(model).to(place)
        if start is None:
            model.set_base_rate(base_rate)
        else:
            _start_from(model, start)
        in_channels = len(train[0]["image"])
        built = build_guide(guide, model, in_channels=in_channels).to(place)
        descent = _Descent(
            modules=nn.ModuleDict({"model": model, "guide": built}),
            train=train,
            num_pixels=num_pixels,
            total=epochs * math.ceil(len(train) / batch_size),
            batch_size=batch_size,
            learning_rate=lambda x: learning_rate * rate_schedule(x),
            kl_schedule=kl_schedule,
            clip_norm=clip_norm,
            device=place,
        )
        keeper = _Keeper(descent.modules, patience)
        history = []
        with track(f"fit {_name(guide)}", descent.total, show=progress) as advance:
            for epoch in range(1, epochs + 1):
                with model.computing_in(dtype):
                    row = {"epoch": epoch, **descent.epoch(advance)}
                history.append(row)
                if validation is None:
                    keeper.keep(epoch)
                    continue
                nll = _validation_nll(model, built, validation, validation_samples, batch_size)
                row["validation_nll"] = nll
                if math.isclose(row["kl_weight"], kl_schedule(1.0), rel_tol=1e-6):
                    keeper.offer(nll, epoch)
                if keeper.is_out_of_patience(epoch):
                    break
        keeper.restore()
        descent.modules.eval()
        if hasattr(built, "finalize"):
            built.finalize(model, train)

    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "learning_rate_schedule": [rate_schedule(i / 10) for i in range(11)],
        "kl_schedule": [kl_schedule(i / 10) for i in range(11)],
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
            "kept_epoch": keeper.epoch,
            "base_rate": base_rate,
            "train_exposures": sorted(set(train.exposures)),
            "validation_exposures": [] if validation is None else sorted(set(validation.exposures)),
            "versions": _versions(),
        },
    )


@dataclass(kw_only=True)
class _Descent:
    """Gradient steps on the annealed negative ELBO."""

    modules: nn.ModuleDict
    train: PatchDataset
    num_pixels: int
    total: int
    batch_size: int
    learning_rate: Callable[[float], float]
    kl_schedule: annealing.KLSchedule
    clip_norm: float | None
    device: torch.device
    step: int = 0

    def __post_init__(self) -> None:
        order = torch.Generator()
        order.manual_seed(int(torch.randint(2**62, ())))
        self.loader: DataLoader[Patch] = DataLoader(
            self.train, batch_size=self.batch_size, shuffle=True, generator=order
        )
        self.parameters = [p for p in self.modules.parameters() if p.requires_grad]
        groups: dict[float, list[nn.Parameter]] = defaultdict(list)
        for parameter in self.parameters:  # a guide may ask that some of its numbers move faster
            groups[getattr(parameter, "learning_rate_factor", 1.0)].append(parameter)
        self.optimiser = torch.optim.Adam(
            [{"params": group, "factor": factor} for factor, group in groups.items()], fused=True
        )
        self.elbo = AnnealedELBO()

    def epoch(self, advance: Advance) -> dict[str, float]:
        """One pass over the data; returns the means of its steps and the last kl_weight."""
        self.modules.train()
        rows = []
        for batch in self.loader:
            rows.append(self._step(*_to(batch, self.device)))
            advance(1, _status(rows[-1]))
        means = {key: sum(row[key] for row in rows) / len(rows) for key in ("loss", "nll", "kl")}
        return {**means, **{key: rows[-1][key] for key in ("kl_weight", "learning_rate")}}

    def _step(self, image: Tensor, target: Tensor, valid: Tensor) -> dict[str, float]:
        self.step += 1
        fraction = self.step / self.total
        rate, kl_weight = self.learning_rate(fraction), self.kl_schedule(fraction)
        terms = self.elbo.terms(
            self.modules["model"],
            self.modules["guide"],
            image,
            target,
            valid,
            num_images=len(self.train),
        )
        loss = (kl_weight * terms.kl - terms.log_likelihood) / self.num_pixels
        self.optimiser.zero_grad()
        loss.backward()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimiser.step()
        on_step = getattr(self.modules["guide"], "on_step", None)
        if on_step is not None:
            on_step(step=self.step, fraction=fraction)
        _check_finite(loss.item(), self.step, rate)
        return {
            "loss": loss.item(),
            "nll": -terms.log_likelihood.item() / self.num_pixels,
            "kl": terms.kl.item(),
            "kl_weight": kl_weight,
            "learning_rate": rate,
        }


class _Keeper:
    """Remembers the best weights seen, and how long ago that was."""

    def __init__(self, modules: nn.ModuleDict, patience: int | None) -> None:
        self.modules, self.patience = modules, patience
        self.best, self.epoch = math.inf, 0
        self.state: dict[str, Tensor] = {}

    def offer(self, nll: float, epoch: int) -> None:
        """Keep these weights if their NLL is the lowest."""
        if not self.state or nll < self.best or math.isnan(self.best):
            self.best = nll
            self.keep(epoch)
            self.state = {name: t.clone() for name, t in self.modules.state_dict().items()}

    def keep(self, epoch: int) -> None:
        """These weights are the ones."""
        self.epoch = epoch

    def is_out_of_patience(self, epoch: int) -> bool:
        """Whether the best epoch is ``patience`` epochs ago."""
        return self.patience is not None and 0 < self.epoch <= epoch - self.patience

    def restore(self) -> None:
        """Go back to the best weights, if any were offered."""
        if self.state:
            self.modules.load_state_dict(self.state)


def _start_from(model: BayesianSegmenter, start: Posterior) -> None:
    """Copy the centre of a posterior, and its plain parameters, into a model."""
    theirs = {**start.model.net.state_dict(), **start.median()}
    ours = model.net.state_dict()
    for name, value in ours.items():
        if name not in theirs or theirs[name].shape != value.shape:
            got = tuple(theirs[name].shape) if name in theirs else "nothing"
            raise BayescrError(
                f"start has {got} for weight '{name}', the model {tuple(value.shape)}: start from "
                "a posterior of the same network"
            )
    model.net.load_state_dict({name: theirs[name] for name in ours})


@torch.no_grad()
def _validation_nll(
    model: BayesianSegmenter,
    guide: Any,
    validation: PatchDataset,
    num_samples: int,
    batch_size: int,
) -> float:
    """Negative log of the mean predictive probability, per valid pixel [nat]."""
    model.eval()
    nll, count = 0.0, 0
    device = next(iter(model.random_weights.values())).device
    with seeded(0, device=device):  # the same draws of noise at every epoch: epochs compare
        draws = [draw_latents(guide)[0] for _ in range(num_samples)]
    weights = [{name: draw[name] for name in model.random_weights} for draw in draws]
    for batch in DataLoader(validation, batch_size=batch_size):
        image, target, valid = _to(batch, device)
        sign = 2.0 * target - 1.0
        log_p = torch.stack(
            [nn.functional.logsigmoid(sign * model.logits(image, draw)) for draw in weights]
        )
        predictive = log_p.logsumexp(0) - math.log(num_samples)
        counted = valid.expand_as(predictive)
        nll -= predictive[counted].double().sum().item()
        count += int(counted.sum())
    return nll / max(count, 1)


def _census(train: PatchDataset) -> tuple[float, int]:
    """Share of positive pixels, kept off 0 and 1, and number of valid pixels times classes."""
    positive, count = 0, 0
    for index in range(len(train)):
        item = train[index]
        counted = item["valid"].expand_as(item["target"])
        positive += int(item["target"][counted].sum())
        count += int(counted.sum())
    if not count:
        raise BayescrError("the training set has no valid pixel: look at the frames' masks")
    return (positive + 0.5) / (count + 1.0), count


def _to(batch: Patch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    image = batch["image"].to(device, memory_format=torch.channels_last, non_blocking=True)
    return image, batch["target"].to(device), batch["valid"].to(device)


def _name(guide: GuideFactory) -> str:
    inner = getattr(guide, "func", guide)  # of a functools.partial
    return getattr(inner, "__name__", type(inner).__name__)


def _status(values: dict[str, float]) -> str:
    return (
        f"loss {values['loss']:.4f} NLL {values['nll']:.4f} KL {values['kl']:.2g} "
        f"kl_weight {values['kl_weight']:.2f}"
    )


def _versions() -> dict[str, str]:
    return {
        "bayescr": bayescr.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pyro": pyro.__version__,
    }


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise BayescrError(f"{name} is {count}: expected a whole number from 1 up")


def _check_data(train: PatchDataset, validation: PatchDataset | None, patience: int | None) -> None:
    if not len(train):
        raise BayescrError("the training set is empty: it needs at least one patch")
    if patience is not None and patience < 1:
        raise BayescrError(f"patience is {patience}: expected a whole number of epochs from 1 up")
    if validation is None:
        if patience is not None:
            raise BayescrError(f"patience={patience} needs validation data to watch: give some")
        return
    if validation.num_classes != train.num_classes:
        raise BayescrError(
            f"validation has {validation.num_classes} classes, train {train.num_classes}: expected "
            "the same"
        )
    if validation.scaling != train.scaling:
        raise BayescrError(
            f"validation is scaled by {validation.scaling}, train by {train.scaling}: use one "
            "Scaling for both"
        )
    shared = sorted(set(train.exposures) & set(validation.exposures))
    if shared:
        raise BayescrError(
            f"exposure '{shared[0]}' is in both train and validation: split by exposure, "
            "`dataset.split(0.8, 0.2)`"
        )


def _check_finite(loss: float, step: int, learning_rate: float) -> None:
    if not math.isfinite(loss):
        raise BayescrError(
            f"the loss is {loss} at step {step}: lower learning_rate (now {learning_rate:g}), "
            "train in precision='float32', or look for non-finite pixels in the data"
        )
