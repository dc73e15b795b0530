"""What a reader needs to make a report again: settings, seeds, data, versions, provenance."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

import bayescr
from bayescr.evaluation.records import Observed, Scored

__all__ = ["make_manifest"]

_PACKAGES = (
    "arviz", "astropy", "matplotlib", "numpy", "pandas", "pyro-ppl", "scipy", "torch",
)  # fmt: skip


def make_manifest(
    observed: Observed, scored: Mapping[str, Scored], *, settings: Mapping[str, Any], scaling: Any
) -> dict[str, Any]:
    """The manifest of a report, JSON-able; all that differs between machines is in ``hardware``."""
    return {
        "settings": dict(settings),
        "data": {
            "exposures": {
                exposure: {
                    "field": observed.fields.get(exposure),
                    "valid_pixels": int(pixels),
                    "positive_fraction": None if np.isnan(fraction) else float(fraction),
                }
                for exposure, pixels, fraction in zip(
                    observed.exposures, observed.num_pixels, observed.positive_fraction, strict=True
                )
            },
            "valid_pixels": int(observed.num_pixels.sum()),
            "scaling": _plain(scaling),
            "sha256": observed.sha256,
        },
        "posteriors": {
            name: {
                "guide": one.guide,
                "temperature": one.temperature,
                "draws": len(one.log_likelihood),
                "sites": list(one.draws),
                "provenance": dict(one.provenance),
            }
            for name, one in scored.items()
        },
        "versions": {
            "bayescr": bayescr.__version__,
            "python": platform.python_version(),
            **{package: _version(package) for package in _PACKAGES},
        },
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def _plain(scaling: Any) -> Any:
    return asdict(scaling) if is_dataclass(scaling) and not isinstance(scaling, type) else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
