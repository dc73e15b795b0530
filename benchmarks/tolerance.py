"""Error of the mean probability and what it costs: independent, balanced and as many as needed.

A trained posterior predicts held-out simulated frames of the fields that it was trained on. The
truth is the mean of many independent draws of another seed, in float32. The error of n independent
draws needs no experiment: it is the standard deviation of one over the root of n, in the root of
the mean square over pixels and frames. That of the others is their spread over seeds, since all of
them are right in expectation; their difference from the truth, which has an error of its own, is
given beside it. Times are those of the same calls, with whatever a kind of sampling needs, against
16 independent draws in the same precision, and against those in float32.

What bfloat16 does is measured on the same draws of the weights, beside the Monte Carlo error that
16 draws have anyway.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bayescr.data import PatchDataset
from bayescr.inference import Posterior, fit, guides
from bayescr.models import BayesianSegmenter, UNet
from bayescr.simulation import INSTRUMENTS, simulate_exposure
from benchmarks.common import Settings, load, precisions
from benchmarks.timing import compare, show

TILE = 256
BASE = "independent, 16, float32"
CHOICES: dict[str, dict[str, Any]] = {
    BASE: {"num_samples": 16, "sampling": "independent", "precision": "float32"},
    "independent, 16": {"num_samples": 16, "sampling": "independent"},
    "antithetic, 4": {"num_samples": 4},
    "antithetic, 8": {"num_samples": 8},
    "antithetic, 16": {"num_samples": 16},
    "tolerance=0.01": {"tolerance": 0.01},
    "tolerance=0.003": {"tolerance": 0.003},
}


def run(settings: Settings) -> dict[str, Any]:
    side, many, seeds = (128, 32, 2) if settings.quick else (512, 256, 3 * settings.rounds)
    posterior = load(settings.model) if settings.model else train(settings)
    fields = INSTRUMENTS["hst-acs-wfc"].fields
    frames = [simulate_exposure(field, size=side, seed=1_000_000).frame for field in fields]
    exact = [
        posterior.predict(
            frame, num_samples=many, sampling="independent", seed=1_000_000, precision="float32"
        )
        for frame in frames
    ]
    truth = np.stack([one.probability for one in exact]).astype(float)  # (F, H, W)
    variance = np.stack([one.std for one in exact]).astype(float) ** 2 * many / (many - 1)
    maps: dict[str, dict[int, np.ndarray]] = {name: {} for name in CHOICES}

    def case(name):
        def predict(number):
            found = [
                posterior.predict(frame, **{"seed": number, "tile": TILE, **CHOICES[name]})
                for frame in frames
            ]
            maps[name][number] = np.stack([one.probability for one in found])

        return predict

    # What the truth took has warmed everything up.
    cases = {name: case(name) for name in CHOICES}
    times = compare(cases, rounds=seeds, warm_up=False)
    rows, tiles = [], []
    for name, by_seed in maps.items():
        found = np.stack([by_seed[number] for number in range(seeds)])  # (R, F, H, W)
        spread = float(np.sqrt(found.var(0, ddof=1).mean()))
        known = float(np.sqrt(variance.mean() / 16)) if name.startswith("independent") else None
        error = spread if known is None else known
        rows.append(
            {
                "draws": name,
                "rms error": error,
                "measured": "by formula" if known is not None else "spread over seeds",
                "rms difference from the truth": float(np.sqrt(np.square(found - truth).mean())),
                "as good as independent draws": float(variance.mean() / error**2),
                "time": times.ratio(name, "independent, 16"),
                "time, of float32": times.ratio(name, BASE),
            }
        )
        if "tolerance" in CHOICES[name]:
            tiles.append(_worst_tile(name, CHOICES[name]["tolerance"], found - truth))
    costs = [_equal_accuracy(row) for row in rows if not row["draws"].startswith("independent")]
    print(f"{many} independent draws as truth, rms error of their own "
          f"{np.sqrt(variance.mean() / many):.2g}; {seeds} seeds\n")  # fmt: skip
    show(rows)
    show(tiles)
    show(costs)
    lower = [_lower_precision(posterior, frames, variance, settings.rounds)]
    if precisions()[-1] == "float32":
        print("bfloat16 is emulated here: its error is right, its time is not measured\n")
    show(lower)
    return {
        "sizes": {"side": side, "reference_draws": many, "seeds": seeds}, "errors": rows,
        "worst_tiles": tiles, "equal_accuracy": costs, "bfloat16": lower, "seconds": times,
    }  # fmt: skip


def train(settings: Settings) -> Posterior:
    """A mean-field posterior of all fields, trained as the README's command line does."""
    count, side, width, epochs = (1, 128, 4, 1) if settings.quick else (4, 512, 32, 20)
    exposures = [
        simulate_exposure(field, size=side, seed=seed)
        for field in INSTRUMENTS["hst-acs-wfc"].fields
        for seed in range(count)
    ]
    data = PatchDataset.from_frames(
        [exposure.frame for exposure in exposures],
        [exposure.cosmic_rays for exposure in exposures],
    )
    fitted, validation = data.split(0.8, 0.2, seed=0)
    torch.manual_seed(0)
    model = BayesianSegmenter(UNet(width=width, depth=2))
    posterior = fit(
        model, guides.MeanField(), fitted.augmented(), validation=validation, epochs=epochs, seed=0
    )
    print(f"trained; kept at {posterior.save(settings.output / 'posterior')}\n")
    return posterior


def _worst_tile(name: str, tolerance: float, errors: np.ndarray) -> dict[str, Any]:
    """The largest error of a tile: over all seeds, which is what is promised, and of any seed."""
    squares = np.square(errors)
    cut = [
        squares[..., row : row + TILE, column : column + TILE].mean((-2, -1))  # (R, F)
        for row in range(0, squares.shape[-2], TILE)
        for column in range(0, squares.shape[-1], TILE)
    ]
    over_seeds = float(np.sqrt(np.max(np.mean(cut, axis=1))))
    return {
        "draws": name,
        "rms of the worst tile": over_seeds,
        "below": over_seeds < tolerance,
        "of the worst seed": float(np.sqrt(np.max(cut))),
    }


def _equal_accuracy(row: dict[str, Any]) -> dict[str, Any]:
    """Time in units of as many independent draws as have the same error."""
    cheaper = 16.0 / row["as good as independent draws"]
    return {
        "draws": row["draws"],
        "time at equal error": row["time"].median * cheaper,
        "of float32": row["time, of float32"].median * cheaper,
    }


def _lower_precision(
    posterior: Posterior, frames: list[Any], variance: np.ndarray, rounds: int
) -> dict[str, float]:
    """Change of the probability by bfloat16, and the Monte Carlo error of 16 draws beside it."""
    changes = []
    for number in range(rounds):
        draws = posterior.draw(16, seed=number, sampling="independent")
        for frame in frames:
            float32, bfloat16 = (
                posterior.predict(frame, draws=draws, precision=precision).probability
                for precision in ("float32", "bfloat16")
            )
            changes.append(bfloat16.astype(float) - float32)
    return {
        "bfloat16 rms change": float(np.sqrt(np.square(changes).mean())),
        "Monte Carlo rms error of 16": float(np.sqrt(variance.mean() / 16)),
        "bfloat16 largest change": float(np.abs(changes).max()),
        "largest Monte Carlo error (1 sigma)": float(np.sqrt(variance.max() / 16)),
    }
