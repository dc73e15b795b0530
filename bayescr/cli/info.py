"""``bayescr info``: what is installed, or what a posterior or a FITS file holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayescr.cli._options import Device, OwnGuide, OwnLikelihood, OwnPrior
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from bayescr.inference import Posterior

__all__ = ["EXAMPLE", "info"]

EXAMPLE = "Example:  bayescr info   |   bayescr info mean-field   |   bayescr info exposure.fits"

Row = tuple[str, Any]
_PACKAGES = ("torch", "pyro-ppl", "numpy", "astropy", "galsim")


def info(
    path: Annotated[
        Path | None, typer.Argument(help="A posterior or a FITS file; default: the installation.")
    ] = None,
    prior: OwnPrior = None,
    likelihood: OwnLikelihood = None,
    guide: OwnGuide = None,
    device: Device = "auto",
) -> None:
    """Describe the installation, a posterior or a FITS file."""
    if path is None:
        rows = _installation(device)
    elif path.is_dir() or path.suffix == ".safetensors":
        from bayescr.cli._posteriors import load_posterior

        own: dict[str, Any] = {"prior": prior, "likelihood": likelihood, "guide": guide}
        rows = _posterior(path, load_posterior(path, **own), own)
    else:
        rows = _fits(path)
    _print(list(rows))


def _print(rows: Iterable[Row]) -> None:
    """``name   value``, names in one column."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")


def _installation(device: str) -> Iterator[Row]:
    import platform
    from importlib import metadata

    import torch

    from bayescr import __version__
    from bayescr._device import compute_dtype, find_device
    from bayescr.inference import annealing, gradients, guides
    from bayescr.models import likelihoods, priors
    from bayescr.simulation import FIELDS, INSTRUMENTS

    place = find_device(device)
    yield "bayescr", __version__
    yield "python", platform.python_version()
    for package in _PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            yield package, "not installed"
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else platform.machine()
    yield "device", f"{place} ({name})"
    yield "precision", str(compute_dtype("auto", place)).removeprefix("torch.")
    families: dict[str, Iterable[str]] = {
        "guides": guides.FAMILY,
        "priors": priors.FAMILY,
        "likelihoods": likelihoods.FAMILY,
        "KL schedules": annealing.FAMILY,
        "estimators": gradients.FAMILY,
        "fields": FIELDS,
        "instruments": INSTRUMENTS,
    }
    for family, members in families.items():
        yield family, ", ".join(members)


def _posterior(path: Path, posterior: Posterior, own: Mapping[str, str | None]) -> Iterator[Row]:
    from bayescr.cli._posteriors import kept_epochs, told
    from bayescr.inference.checkpoints import find

    model, provenance = posterior.model, posterior.provenance
    size = sum(weight.numel() for weight in model.random_weights.values())
    if posterior.temperature == 1:
        yield "posterior", find(path)
        yield "temperature", "1"
    else:
        yield "tempered posterior", find(path)
        yield "temperature", f"{posterior.temperature:g}: not the posterior, which has 1"
    yield "guide", own["guide"] or posterior.guide_factory
    yield "prior", own["prior"] or model.prior
    yield "likelihood", own["likelihood"] or model.likelihood
    yield "network", f"{type(model.net).__name__}({_settings(getattr(model.net, 'config', {}))})"
    yield "random weights", f"{size} in {len(model.random_weights)} sites"
    yield "scaling", posterior.scaling
    yield "started from", provenance.get("start") or "nothing"
    for use in ("train", "validation"):
        yield f"{use} exposures", _listed(provenance.get(f"{use}_exposures", []))
    kept = kept_epochs(posterior)
    if len(kept):
        yield "kept", told(posterior)
    for _, row in kept.iterrows():
        place = f"member {row['member']:g}" if "member" in row else "at that epoch"
        yield place, _settings(row.drop(["member", "epoch"], errors="ignore").to_dict())
    yield "settings", _settings(provenance.get("settings", {}))
    yield "versions", _settings(provenance.get("versions", {}))


def _fits(path: Path) -> Iterator[Row]:
    from bayescr.data import image_extensions, read_frame, sky_and_noise
    from bayescr.data._fits import opened

    with opened(path) as hdus:
        yield "file", path
        for index, hdu in enumerate(hdus):
            shape = " x ".join(map(str, getattr(hdu, "shape", ()))) or "no pixels"
            unit = hdu.header.get("BUNIT", "")
            yield (
                f"extension {index}",
                f"{hdu.name},{hdu.ver}  {type(hdu).__name__}  {shape}  {unit}",
            )
    try:
        chosen = image_extensions(path)
    except BayescrError as error:
        yield "to predict", f"nothing: {error}"
        return
    for extension in chosen:
        name = ",".join(map(str, extension)) if isinstance(extension, tuple) else str(extension)
        try:
            frame = read_frame(path, extension=extension)
        except BayescrError as error:
            yield f"to predict: {name}", f"unusable: {error}"
            continue
        sky, noise = sky_and_noise(frame.data, valid=~frame.mask)
        height, width = frame.shape
        yield (
            f"to predict: {name}",
            f"{height} x {width} pixels [{frame.unit}], {frame.mask.mean():.2%} masked, "
            f"sky {sky:.5g}, noise {noise:.4g}",
        )


def _settings(values: Mapping[Any, Any]) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in values.items())


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + " ".join(map(_short, value)) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return f"{len(names)}: {shown}" if names else "0"
