"""``bayescr predict``: an exposure in, the same exposure with posterior maps out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayescr.cli._models import Wanted, wanted
from bayescr.cli._options import (
    Device,
    Overwrite,
    OwnGuide,
    OwnLikelihood,
    OwnPrior,
    Precision,
    Quiet,
    Seed,
    check_output,
    shows_progress,
)
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from astropy.nddata import CCDData

    from bayescr.inference import Posterior, Prediction

__all__ = ["EXAMPLE", "predict"]

EXAMPLE = (
    "Example:  bayescr predict exposure.fits -o out.fits"
    "\n\n"
    "With no --model the header chooses among those that come with bayescr (`bayescr models`): "
    "space for the Hubble telescope, ground for every other."
    "\n\n"
    "The original extensions are copied as they are. A plane in the way, such as the truth CRMASK "
    "of a simulated frame, is kept and renamed CRMASK_INPUT; an earlier prediction is replaced. "
    "The suffix .fits.gz compresses the file, .fz the new planes, both without loss."
)


def predict(
    exposures: Annotated[list[Path], typer.Argument(help="FITS files.", metavar="EXPOSURE")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="FITS file to write, or a folder for files of the same names."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Posterior: its folder or file, else the name of one that `bayescr models` lists. "
            "Default: as the header of each exposure says.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Posterior draws.  [default: 16, unless --tolerance is given]"),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Or: draw until the rms error of PROB over a tile is as small."
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Probability above which CRMASK is 1.")
    ] = 0.5,
    base_rate: Annotated[
        list[str] | None,
        typer.Option(
            help="Share of cosmic-ray pixels in an exposure, which shifts all logits; of several "
            "classes, one each. auto: estimated on the exposure. training: that of the training "
            "data.  [default: auto for the models that come with bayescr, else training]",
            show_default=False,
        ),
    ] = None,
    extension: Annotated[
        list[str] | None,
        typer.Option(
            help="1, SCI or SCI,2; may be repeated. Default: every SCI, else the first image."
        ),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Of the pixels, in place of BUNIT: electron/s, adu.")
    ] = None,
    gain: Annotated[float | None, typer.Option(help="Electrons per count.")] = None,
    exposure_time: Annotated[
        float | None, typer.Option(help="In seconds, in place of the header's.")
    ] = None,
    bad_bits: Annotated[
        int | None, typer.Option(help="DQ flags that make a pixel unusable; 0 ignores DQ.")
    ] = None,
    tile: Annotated[
        str, typer.Option(help="Side in pixels: changes only speed and memory; or auto.")
    ] = "auto",
    batch: Annotated[int, typer.Option(help="Tiles at a time.")] = 1,
    precision: Precision = "auto",
    prior: OwnPrior = None,
    likelihood: OwnLikelihood = None,
    guide: OwnGuide = None,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Add PROB, ENTROPY, MUTUAL_INFORMATION and CRMASK to exposures, one each for every SCI.

    Their EXTVER is that of the SCI, or its number where two are the same. Everything is checked
    before the first prediction.
    """
    if samples is not None and tolerance is not None:
        raise BayescrError("--samples and --tolerance exclude one another: give one of them")
    targets = _targets(exposures, output)
    for target in targets:
        check_output(target, overwrite=overwrite)
    read_options = {
        "unit": unit,
        "gain": gain,
        "exposure_time": exposure_time,
        "bad_bits": bad_bits,
    }
    given = {name: value for name, value in read_options.items() if value is not None}
    asked: list[Wanted] = []
    for path in exposures:
        frames = _read(path, extension, given)
        asked.append(wanted(model, next(iter(frames.values())).header))

    from bayescr.inference.products import write_products

    own = {"prior": prior, "likelihood": likelihood, "guide": guide}
    different = {one.model: one for one in asked}
    posteriors = {name: one.load(**own, device=device) for name, one in different.items()}
    for path, target, one in zip(exposures, targets, asked, strict=True):
        posterior = posteriors[one.model]
        rate = _rate(base_rate, one)
        one.tell(path)
        if len(exposures) > 1:  # a lone exposure is still in memory
            frames = _read(path, extension, given)
        predictions = {
            version: posterior.predict(
                frame,
                num_samples=samples,
                tolerance=tolerance,
                seed=seed,
                tile=int(tile) if tile.isdigit() else tile,
                batch=batch,
                precision=precision,
                base_rate=rate,
                progress=shows_progress(quiet=quiet),
            )
            for version, frame in frames.items()
        }
        write_products(
            path,
            predictions,
            target,
            threshold=threshold,
            cards={**one.cards(), **_cards(posterior, seed=seed, precision=precision)},
            overwrite=overwrite,
        )
        flagged = sum(int(one.mask(threshold).sum()) for one in predictions.values())
        usable = sum(int(one.valid.sum()) for one in predictions.values())
        typer.echo(
            f"{path}: {flagged} of {usable} pixels flagged ({flagged / usable:.3%}): {target}"
        )
        if rate == "auto":
            _tell_rates(path, predictions, posterior)
        if not extension:
            _tell_left_out(path)


def _targets(exposures: list[Path], output: Path) -> list[Path]:
    """The file to write for each exposure: ``output`` itself, or a file of its name in there."""
    from bayescr.data._fits import is_fits

    is_file = is_fits(output) and not output.is_dir()
    if is_file and len(exposures) > 1:
        raise BayescrError(
            f"{len(exposures)} exposures cannot go into one file '{output}': give -o a folder"
        )
    if is_file:
        return [output]
    targets = [output / path.name for path in exposures]
    for index, target in enumerate(targets):
        if target in targets[:index]:
            raise BayescrError(
                f"two exposures are named '{target.name}' and would share the file '{target}': "
                "predict them into different folders"
            )
    return targets


def _rate(given: list[str] | None, model: Wanted) -> float | list[float] | str | None:
    """What ``--base-rate`` means for `Posterior.predict`; one rate is that of every class.

    Raises:
        BayescrError: If it is neither numbers nor a word that is known.
    """
    if not given:
        return None if model.is_path else "auto"
    if given in (["auto"], ["training"]):
        return "auto" if given == ["auto"] else None
    try:
        rates = [float(word) for word in given]
    except ValueError as error:
        raise BayescrError(
            f"--base-rate is {' '.join(given)!r}: expected a share of pixels such as 0.001, one a "
            "class, or 'auto' or 'training'"
        ) from error
    return rates if len(rates) > 1 else rates[0]


def _read(path: Path, extensions: list[str] | None, options: dict[str, Any]) -> dict[int, CCDData]:
    """The frames to predict by EXTVER; numbered in their order where two have the same."""
    from bayescr.data import image_extensions, read_frame

    chosen = extensions or image_extensions(path)
    frames = [read_frame(path, extension=one, **options) for one in chosen]
    versions = [int(frame.header.get("EXTVER", 1)) for frame in frames]
    if len(set(versions)) < len(versions):
        versions = list(range(1, len(frames) + 1))
    return dict(zip(versions, frames, strict=True))


def _tell_rates(path: Path, predictions: dict[int, Prediction], posterior: Posterior) -> None:
    """One line about the shares that were estimated, for the mask depends on them."""
    found = ", ".join(f"{rate:.2g}" for one in predictions.values() for rate in one.base_rate or ())
    trained = ", ".join(f"{rate:.2g}" for rate in posterior.provenance["base_rate"])
    typer.echo(
        f"note: {path}: base rate {found}, as estimated; of the training {trained}; "
        "see --base-rate",
        err=True,
    )


def _tell_left_out(path: Path) -> None:
    """One line about further images of a file that has no SCI, for they may be meant, too."""
    from bayescr.data.frames import count_left_out

    if others := count_left_out(path):
        typer.echo(
            f"note: {path}: only its first image is predicted; {others} other 2-D image(s) left "
            "out: choose with --extension, which may be repeated",
            err=True,
        )


def _cards(posterior: Posterior, *, seed: int, precision: str) -> dict[str, tuple[Any, str]]:
    """What the header of the maps says about where they come from."""
    from bayescr import __version__
    from bayescr._device import compute_dtype

    dtype = str(compute_dtype(precision, posterior.device)).removeprefix("torch.")

    return {
        "BCRGUIDE": (posterior.name, "approximation of the posterior"),
        "BCRTEMP": (posterior.temperature, "effective temperature; 1: the posterior"),
        "BCRSEED": (seed, "of the posterior draws"),
        "BCRPREC": (dtype, "of the convolutions"),
        "BCRVERS": (__version__, "version of bayescr"),
    }
