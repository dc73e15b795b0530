"""What the benchmarks share: settings, frames, and posteriors whose weights do not matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bayescr._device import compute_dtype
from bayescr.data import Scaling
from bayescr.inference import Posterior, guides
from bayescr.inference._pyro import build_guide
from bayescr.models import BayesianSegmenter, UNet
from bayescr.pretrained import available

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is run, and where the results go.

    Attributes:
        quick: Small sizes.
        rounds: Times that every case is measured.
        output: Folder for the results.
        models: Name -> a trained posterior: a file, or the name of one that the package has.
    """

    quick: bool
    rounds: int
    output: Path
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str | None:
        """The first of the models; None: train one where one is needed."""
        return next(iter(self.models.values()), None)


def load(model: str) -> Posterior:
    """A trained posterior: the one of the package that has this name, or else from a file."""
    return Posterior.from_pretrained(model) if model in available() else Posterior.load(model)


def untrained(*, width: int, random: tuple[str, ...] | None = None) -> Posterior:
    """A mean-field posterior about initial weights: time does not depend on their values."""
    torch.manual_seed(0)
    model = BayesianSegmenter(UNet(width=width, depth=2), random=random)
    guide = build_guide(guides.MeanField(), model, in_channels=1)
    return Posterior(
        model=model, guide=guide, guide_factory=guides.MeanField(), scaling=Scaling()
    )  # fmt: skip


def noise(side: int, *, seed: int = 0) -> np.ndarray:
    """A square frame of sky, float32: time does not depend on what is in it."""
    return np.random.default_rng(seed).normal(100.0, 10.0, (side, side)).astype(np.float32)


def precisions() -> list[str]:
    """Float32, and bfloat16 where the processor multiplies in it."""
    has_bfloat16 = compute_dtype("auto", CPU) == torch.bfloat16
    return ["float32", "bfloat16"] if has_bfloat16 else ["float32"]
