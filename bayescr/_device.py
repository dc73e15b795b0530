"""Which device, and which precision the network may run in there."""

from __future__ import annotations

import torch

from bayescr.errors import BayescrError

__all__ = ["PRECISIONS", "compute_dtype", "find_device"]

PRECISIONS = ("auto", "float32", "bfloat16")


def find_device(device: torch.device | str | None) -> torch.device:
    """The device asked for; None or ``"auto"`` is a GPU if there is one, else the CPU."""
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise BayescrError(
            f"unknown device '{device}': expected 'cpu', 'cuda', 'cuda:1'"
        ) from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise BayescrError(f"device '{device}' was asked for, but torch sees no GPU: use 'cpu'")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise BayescrError(f"device '{device}' was asked for, but torch sees {count} GPU(s)")
    return found


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type in which the convolutions run.

    ``"auto"`` is bfloat16 where the hardware multiplies matrices in it (a GPU from compute
    capability 8.0, a CPU with AMX or AVX512-BF16), float32 elsewhere. What decides is what the
    hardware has, never a timing, so that the same machine always computes the same numbers.
    """
    if precision not in PRECISIONS:
        raise BayescrError(f"unknown precision '{precision}': known are {', '.join(PRECISIONS)}")
    if precision == "auto":
        precision = "bfloat16" if _multiplies_bfloat16(device) else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # not in every torch release
    return device.type == "cpu" and any(getattr(torch.cpu, probe, bool)() for probe in probes)
