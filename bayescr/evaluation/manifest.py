"""What a reader needs to make a report again: settings, seeds, data, versions, provenance."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

import bayescr
from bayescr._code import source_sha256
from bayescr.evaluation.records import Observed, Tally

__all__ = ["hardware", "make_manifest"]

_PACKAGES = (
    "arviz", "astropy", "galsim", "h5netcdf", "jinja2", "matplotlib", "numpy", "pandas", "pyarrow",
    "pyro-ppl", "scipy", "torch", "xarray",
)  # fmt: skip


def make_manifest(
    observed: Observed,
    rows: Mapping[str, Sequence[Tally]],
    *,
    settings: Mapping[str, Any],
    scaling: Any,
    others: Mapping[str, Observed],
    skipped: Mapping[str, str],
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """The manifest of a report, JSON-able: the same for the same evaluation on any machine.

    Args:
        observed: The truth.
        rows: The rows of the table.
        settings: Arguments of the evaluation.
        scaling: Of the dataset.
        others: Name -> truth of further data that took part, such as validation.
        skipped: Rows that are not there, and why.
        context: What the caller has to say.
    """
    return {
        "settings": dict(settings),
        "data": {**_data(observed, exposures=True), "scaling": _plain(scaling)},
        "other_data": {name: _data(one) for name, one in others.items()},
        "rows": {name: [_row(tally) for tally in members] for name, members in rows.items()},
        "skipped": dict(skipped),
        "context": dict(context),
        "versions": {
            "bayescr": bayescr.__version__,
            "source_sha256": source_sha256(),
            "python": platform.python_version(),
            **{package: _version(package) for package in _PACKAGES},
        },
        "hardware": "hardware.json",
    }


def hardware(*, seconds: float) -> dict[str, Any]:
    """What may differ between two runs that give the same report: the machine and the time."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "seconds": round(seconds, 3),
    }


def _data(observed: Observed, *, exposures: bool = False) -> dict[str, Any]:
    described: dict[str, Any] = {
        "sha256": observed.sha256,
        "exposures": len(observed.exposures),
        "valid_pixels": int(observed.pixels.sum()),
        "base_rate": [_number(rate) for rate in observed.base_rate],
    }
    if exposures:
        described["exposures"] = {
            exposure: {
                "field": observed.fields.get(exposure),
                "valid_pixels": int(pixels.sum()),
                "positive_fraction": _number(fraction),
            }
            for exposure, pixels, fraction in zip(
                observed.exposures, observed.pixels, observed.positive_fraction, strict=True
            )
        }
    return described


def _row(tally: Tally) -> dict[str, Any]:
    base, predictor = tally.row.base, tally.row.predictor
    return {
        "name": predictor.name,
        "is_probability": tally.row.is_probability,
        "temperature": _number(getattr(base, "temperature", float("nan"))),
        "draws": tally.num_draws,
        "sites": list(tally.draws),
        "provenance": dict(getattr(predictor, "provenance", {})),
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else float(value)


def _plain(scaling: Any) -> Any:
    return asdict(scaling) if is_dataclass(scaling) and not isinstance(scaling, type) else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
