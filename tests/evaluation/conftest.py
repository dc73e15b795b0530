"""A dataset and posteriors that need no network: logits are the truth's own, noised by draw."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from bayescr.evaluation import evaluate


@dataclass(frozen=True, kw_only=True)
class FakeScaling:
    softening: float = 1.0


class FakeDataset:
    """Labels drawn from known logits, which are the image: a posterior that returns it is right."""

    def __init__(self, *, exposures, fields=None, size=16, num_classes=1, seed=0, sharpness=1.0):
        generator = np.random.default_rng(seed)
        self.scaling = FakeScaling()
        self.exposures = list(exposures)
        self.fields = dict(fields or {})
        self.num_classes = num_classes
        self.items = []
        for exposure in self.exposures:
            shape = (num_classes, size, size)
            background = generator.normal(-9.0, 1.5, shape)
            tracks = generator.normal(1.0, 5.0, shape)
            logit = sharpness * np.where(generator.random(shape) < 0.02, tracks, background)
            target = generator.random(shape) < 1.0 / (1.0 + np.exp(-logit))
            self.items.append(
                {
                    "image": torch.from_numpy(logit).float(),
                    "target": torch.from_numpy(target).float(),
                    "valid": torch.from_numpy(generator.random((1, size, size)) < 0.95),
                    "exposure": exposure,
                }
            )

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


@dataclass(kw_only=True)
class FakePosterior:
    """Draw s gives slope * image + offset_s, with offset_s ~ N(0, spread)."""

    slope: float = 1.0
    spread: float = 0.3
    temperature: float = 1.0
    num_classes: int = 1
    name: str = "mean-field"
    scaling: FakeScaling = field(default_factory=FakeScaling)
    provenance: dict = field(default_factory=lambda: {"seed": 0})

    @property
    def is_deterministic(self):
        return self.spread == 0.0

    def logits(self, image, *, num_samples=16, seed=0):
        for offset in self.draw(num_samples, seed=seed)["head.bias"]:
            yield (self.slope * image + offset).float()

    def draw(self, num_samples, *, seed=0, sites=None):
        generator = torch.Generator().manual_seed(seed)
        draws = {
            "head.bias": self.spread * torch.randn(num_samples, 1, 1, 1, generator=generator),
            "head.weight": torch.full((num_samples, 1, 2, 1, 1), self.slope),
            "down1.conv1.weight": torch.zeros(num_samples, 4, 1, 3, 3),
        }
        return {name: draws[name] for name in (draws if sites is None else sites)}


@pytest.fixture(scope="session")
def fakes():
    """The classes, for tests that build their own."""
    return FakeDataset, FakePosterior


@pytest.fixture(scope="session")
def dataset():
    """Three exposures in two fields; the first comes as two patches with another between them."""
    fields = {"a": "extragalactic", "b": "globular", "c": "globular"}
    return FakeDataset(exposures=["a", "b", "a", "c"], fields=fields, size=32)


@pytest.fixture(scope="session")
def posteriors():
    return {
        "mean-field": FakePosterior(),
        "MAP": FakePosterior(slope=2.0, spread=0.0, name="map"),
        "cold": FakePosterior(spread=0.1, temperature=0.01),
    }


@pytest.fixture(scope="session")
def report(posteriors, dataset):
    return evaluate(posteriors, dataset, num_samples=5, seed=3, num_bootstrap=20)
