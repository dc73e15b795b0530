"""``bayescr train``: frames with truth in, a saved posterior out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayescr.cli._options import (
    Device,
    Overwrite,
    Precision,
    Quiet,
    Seed,
    check_output,
    chosen,
    read_data,
    shows_progress,
)
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    import pandas as pd

    from bayescr.data import PatchDataset
    from bayescr.inference import Posterior
    from bayescr.models import UNet

__all__ = ["EXAMPLE", "train"]

EXAMPLE = (
    "Example:  bayescr train --data frames --guide mean-field --prior fan-in-normal --epochs 20 "
    "--seed 0 -o mean-field"
    "\n\n"
    "A guide, prior, likelihood, schedule or estimator is a name that `bayescr info` lists, or "
    "your own as file.py:attribute or package.module:attribute, such as "
    "pyro.infer.autoguide:AutoNormal. A class whose arguments all have defaults is called to make "
    "the object; anything else is used as it is. Arguments come in a table, as in an experiment: "
    """--guide '{name = "low-rank", rank = 8}'."""
)


def train(
    data: Annotated[
        Path,
        typer.Option(
            help="Folder of FITS files with SCI, DQ and CRMASK, or an index, .csv or .parquet: "
            "its split train."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the posterior and its history.")
    ],
    guide: Annotated[str, typer.Option(help="Family of approximations.")] = "mean-field",
    prior: Annotated[str, typer.Option(help="Belief about the weights.")] = "fan-in-normal",
    likelihood: Annotated[str, typer.Option(help="Of the pixels.")] = "bernoulli",
    random: Annotated[
        list[str] | None,
        typer.Option(
            help='Pattern of the weights that are random, such as "head.*"; may be given several '
            "times. Default: all. The others are plain parameters."
        ),
    ] = None,
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
        typer.Option(
            min=0.0,
            help="Share of the exposures to choose the best epoch by; 0: none. An index with a "
            "split validation has chosen them.",
        ),
    ] = 0.2,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 20,
    batch_size: Annotated[int, typer.Option(help="Patches a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Adam's, at its highest.")] = 3e-3,
    kl_schedule: Annotated[str, typer.Option(help="How the KL's weight grows.")] = "linear",
    estimator: Annotated[str, typer.Option(help="Of the gradient.")] = "weight-draws",
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
    from bayescr._random import seeded
    from bayescr.cli._posteriors import options
    from bayescr.data import Scaling
    from bayescr.inference import annealing, fit, gradients, guides
    from bayescr.inference.checkpoints import describe, own_parts
    from bayescr.models import BayesianSegmenter, likelihoods, priors

    guide_factory = chosen(guide, guides.FAMILY, kind="guide")
    weight_prior = chosen(prior, priors.FAMILY, kind="prior")
    pixel_likelihood = chosen(likelihood, likelihoods.FAMILY, kind="likelihood")
    schedule = chosen(kl_schedule, annealing.FAMILY, kind="KL schedule")
    gradient = chosen(estimator, gradients.FAMILY, kind="estimator")
    compute_dtype(precision, find_device(device))
    spelled = {"prior": prior, "likelihood": likelihood, "guide": guide}
    start_posterior = None if start is None else _start(start, device=device, **spelled)

    scaling = Scaling() if start_posterior is None else start_posterior.scaling
    parts = _parts(data, validation=validation, seed=seed, patch=patch, scaling=scaling)
    with seeded(seed):
        net = _network(
            start_posterior, num_classes=parts[0].num_classes, width=width, depth=depth, norm=norm
        )
    posterior = fit(
        BayesianSegmenter(net, prior=weight_prior, likelihood=pixel_likelihood, random=random),
        guide_factory,
        parts[0].augmented() if augment else parts[0],
        validation=parts[1] if validation else None,
        start=start_posterior,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        kl_schedule=schedule,
        estimator=gradient,
        patience=patience,
        precision=precision,
        device=device,
        seed=seed,
        progress=shows_progress(quiet=quiet),
    )

    own = own_parts(describe(posterior))
    if own:  # the file does not hold it: what is said of it may help to find it
        posterior.provenance["code"] = {part: spelled[part] for part in own}
    with atomic_path(history) as temporary:
        posterior.history.to_csv(temporary, index=False)
    posterior.save(target)  # last: where it is, the training is complete
    typer.echo(_summary(posterior) + f": {target}")
    for part in own:
        typer.echo(
            f"note: the {part} is your own code, which the file does not hold: the other commands "
            f"need {options([part], spelled)}",
            err=True,
        )


def _parts(data: Path, *, validation: float, seed: int, **settings: Any) -> list[PatchDataset]:
    """What to train on and, if anything, to choose by: as an index says, or split here."""
    from bayescr.data.index import is_index, read_index

    dataset = read_data(data, split="train", **settings)
    if not validation:
        return [dataset]
    if is_index(data) and "validation" in set(read_index(data)["split"]):
        return [dataset, read_data(data, split="validation", **settings)]
    if len(set(dataset.exposures)) == 1:
        raise BayescrError(
            f"'{data}' holds one exposure, which cannot be split into 2 parts: add exposures, or "
            "do without validation, --validation 0"
        )
    return dataset.split(1 - validation, validation, seed=seed)


def _start(path: Path, *, device: str, **spelled: str) -> Posterior:
    """The posterior to start from; what is own code in it is taken to be that of this training."""
    from bayescr.cli._posteriors import load_posterior, own_code

    needed, _ = own_code(path)
    own = {part: text for part, text in spelled.items() if part in needed}
    return load_posterior(path, device=device, **own)


def _network(start: Posterior | None, *, num_classes: int, **chosen: int | str | None) -> UNet:
    """The network of ``start``, or a new one, as far as nothing else was chosen."""
    from bayescr.models import UNet

    settings = {} if start is None else dict(start.model.net.config)  # type: ignore[arg-type]
    settings |= {name: value for name, value in chosen.items() if value is not None}
    return UNet(**{**settings, "num_classes": num_classes})


def _summary(posterior: Posterior) -> str:
    from bayescr.cli._posteriors import kept_epochs, told

    rows = kept_epochs(posterior)
    scores = f"NLL {_range(rows['nll'])}"
    if "validation_nll" in rows:
        scores += f", validation NLL {_range(rows['validation_nll'])}"
    name, temperature = posterior.name, posterior.temperature
    return f"{name} (T = {temperature:g}), {told(posterior)}, {scores} per pixel"


def _range(values: pd.Series[float]) -> str:
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    return low if low == high else f"{low} to {high}"
