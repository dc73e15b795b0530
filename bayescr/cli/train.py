"""``bayescr train``: frames with truth in, a saved posterior out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayescr.cli._options import (
    Device,
    Overwrite,
    Precision,
    Quiet,
    Seed,
    check_output,
    shows_progress,
)
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from bayescr.inference import Posterior
    from bayescr.models import UNet

__all__ = ["EXAMPLE", "train"]

EXAMPLE = (
    "Example:  bayescr train --data frames --guide mean-field --prior fan-in-normal --epochs 20 "
    "--seed 0 -o mean-field"
    "\n\n"
    "A guide, prior, likelihood or schedule is a name that `bayescr info` lists, or your own as "
    "file.py:attribute or package.module:attribute, such as pyro.infer.autoguide:AutoNormal. "
    "A class whose arguments all have defaults is called to make the object; anything else is "
    "used as it is."
)


def train(
    data: Annotated[Path, typer.Option(help="Folder of FITS files with SCI, DQ and CRMASK.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the posterior and its history.")
    ],
    guide: Annotated[str, typer.Option(help="Family of approximations.")] = "mean-field",
    prior: Annotated[str, typer.Option(help="Belief about the weights.")] = "fan-in-normal",
    likelihood: Annotated[str, typer.Option(help="Of the pixels.")] = "bernoulli",
    start: Annotated[
        Path | None, typer.Option(help="A trained posterior whose centre is where to start.")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Channels of the U-Net (default: 32, or --start's).")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="Levels of the U-Net (default: 2, or --start's).")
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(help="none, layer, batch or group (default: none, or --start's)."),
    ] = None,
    patch: Annotated[int, typer.Option(help="Side of the training patches in pixels.")] = 64,
    augment: Annotated[bool, typer.Option(help="Flip and turn patches at random.")] = True,
    validation: Annotated[
        float,
        typer.Option(min=0.0, help="Share of the exposures to choose the best epoch by; 0: none."),
    ] = 0.2,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 20,
    batch_size: Annotated[int, typer.Option(help="Patches a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Adam's, at its highest.")] = 3e-3,
    kl_schedule: Annotated[str, typer.Option(help="How the KL's weight grows.")] = "linear",
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without improvement.")
    ] = None,
    precision: Precision = "auto",
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Train a posterior: writes posterior.safetensors and history.csv.

    Exposures, never patches of one, are split between training and validation.
    """
    target, history = output / "posterior.safetensors", output / "history.csv"
    check_output(target, overwrite=overwrite)
    check_output(history, overwrite=overwrite)
    if not validation < 1.0:
        raise BayescrError(
            f"--validation is {validation}: fractions are expected from 0 up to, but not at, 1"
        )

    from bayescr._device import compute_dtype, find_device
    from bayescr._files import atomic_path
    from bayescr._names import make
    from bayescr._random import seeded
    from bayescr.data import PatchDataset, Scaling
    from bayescr.inference import Posterior, annealing, fit, guides
    from bayescr.inference.checkpoints import describe
    from bayescr.models import BayesianSegmenter, likelihoods, priors

    guide_factory = make(guide, guides.FAMILY, kind="guide")
    weight_prior = make(prior, priors.FAMILY, kind="prior")
    pixel_likelihood = make(likelihood, likelihoods.FAMILY, kind="likelihood")
    schedule = make(kl_schedule, annealing.FAMILY, kind="KL schedule")
    compute_dtype(precision, find_device(device))
    start_posterior = None if start is None else Posterior.load(start, device=device)

    scaling = Scaling() if start_posterior is None else start_posterior.scaling
    dataset = PatchDataset.from_directory(data, patch=patch, scaling=scaling)
    if validation and len(set(dataset.exposures)) == 1:
        raise BayescrError(
            f"'{data}' holds one exposure, which cannot be split into 2 parts: add exposures, or "
            "do without validation, --validation 0"
        )
    parts = dataset.split(1 - validation, validation, seed=seed) if validation else [dataset]
    with seeded(seed):
        net = _network(
            start_posterior, num_classes=dataset.num_classes, width=width, depth=depth, norm=norm
        )
    posterior = fit(
        BayesianSegmenter(net, prior=weight_prior, likelihood=pixel_likelihood),
        guide_factory,
        parts[0].augmented() if augment else parts[0],
        validation=parts[1] if validation else None,
        start=start_posterior,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        kl_schedule=schedule,
        patience=patience,
        precision=precision,
        device=device,
        seed=seed,
        progress=shows_progress(quiet=quiet),
    )

    with atomic_path(history) as temporary:
        posterior.history.to_csv(temporary, index=False)
    posterior.save(target)  # last: where it is, the training is complete
    typer.echo(_summary(posterior) + f": {target}")
    described = describe(posterior)
    for part in ("prior", "likelihood", "guide"):
        if described[part]["name"] is None:
            typer.echo(
                f"note: the {part} is your own code, which the file does not hold: the other "
                "commands cannot load it, Posterior.load(..., model=..., guide=...) can",
                err=True,
            )


def _network(start: Posterior | None, *, num_classes: int, **chosen: int | str | None) -> UNet:
    """The network of ``start``, or a new one, as far as nothing else was chosen."""
    from bayescr.models import UNet

    settings = {} if start is None else dict(start.model.net.config)  # type: ignore[arg-type]
    settings |= {name: value for name, value in chosen.items() if value is not None}
    return UNet(**{**settings, "num_classes": num_classes})


def _summary(posterior: Posterior) -> str:
    history, kept = posterior.history, posterior.provenance["kept_epoch"]
    row = history[history["epoch"] == kept].iloc[0]
    scores = f"NLL {row['nll']:.4g}"
    if "validation_nll" in row:
        scores += f", validation NLL {row['validation_nll']:.4g}"
    return (
        f"{posterior.name} (T = {posterior.temperature:g}), epoch {kept} of {len(history)}, "
        f"{scores} per pixel"
    )
