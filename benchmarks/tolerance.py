"""Error of the mean probability and what it costs: independent, balanced and as many as needed.

A trained posterior predicts held-out simulated frames, one of each kind of field, in float32.
Errors are those against the mean of many independent draws of another seed: root mean squares over
pixels, frames and rounds, of which every one is another seed. The error of that mean itself is in
all of them alike: it favours no kind of sampling, but hides how good the best are. The spread over
seeds is free of it, and is the error of a mean that is right in expectation, as all of these are.
Times are those of the same calls, with whatever a kind of sampling needs, against 16 independent
draws.

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
from bayescr.simulation import FIELDS, simulate_exposure
from benchmarks.common import Settings, precisions
from benchmarks.timing import compare, show

TOLERANCES = (0.01, 0.003, 0.002)
NUMBERS = (4, 8, 16, 32)
TILE = 256
BASE = "independent, 16"


def run(settings: Settings) -> dict[str, Any]:
    side, many = (128, 32) if settings.quick else (512, 256)
    posterior = Posterior.load(settings.model) if settings.model else train(settings)
    frames = [simulate_exposure(field, size=side, seed=1_000_000).frame for field in FIELDS]
    exact = [
        posterior.predict(
            frame, num_samples=many, sampling="independent", seed=1_000_000, precision="float32"
        )
        for frame in frames
    ]
    truth = np.stack([one.probability for one in exact]).astype(float)  # (F, H, W)
    variance = np.stack([one.std for one in exact]).astype(float) ** 2 * many / (many - 1)
    own = float(np.sqrt(variance.mean() / many))

    choices = {
        f"{sampling}, {number}": {"num_samples": number, "sampling": sampling}
        for sampling in ("independent", "antithetic")
        for number in NUMBERS
    } | {f"tolerance={value}": {"tolerance": value} for value in TOLERANCES}
    maps: dict[str, dict[int, np.ndarray]] = {name: {} for name in choices}

    def case(name):
        def predict(number):
            found = [
                posterior.predict(
                    frame, seed=number, tile=TILE, precision="float32", **choices[name]
                )
                for frame in frames
            ]
            maps[name][number] = np.stack([one.probability for one in found])

        return predict

    # What the truth took has warmed everything up.
    cases = {name: case(name) for name in choices}
    times = compare(cases, rounds=settings.rounds, warm_up=False)
    rows, tiles = [], []
    for name, by_round in maps.items():
        errors = np.stack([by_round[n] for n in range(settings.rounds)]) - truth  # (R, F, H, W)
        many_seeds = settings.rounds > 1
        rows.append(
            {
                "draws": name,
                "rms error": np.sqrt(np.square(errors).mean()),
                "spread over seeds": np.sqrt(errors.var(0, ddof=1).mean()) if many_seeds else None,
                "largest error": np.abs(errors).max(),
                "time": times.ratio(name, BASE),
            }
        )
        if "tolerance" in choices[name]:
            tiles.append(_worst_tile(name, choices[name]["tolerance"], errors))
    costs = [_equal_accuracy(rows, kind) for kind in ("antithetic", "tolerance")]
    print(f"{many} independent draws as truth, rms error of their own {own:.2g}\n")
    show(rows)
    show(tiles)
    show(costs)
    lower = [_lower_precision(posterior, frames, variance, settings.rounds)]
    if precisions()[-1] == "float32":
        print("bfloat16 is emulated here: its error is right, its time is not measured\n")
    show(lower)
    sizes = {"side": side, "reference_draws": many, "reference_rms": own}
    return {
        "sizes": sizes, "errors": rows, "worst_tiles": tiles, "equal_accuracy": costs,
        "bfloat16": lower, "seconds": times,
    }  # fmt: skip


def train(settings: Settings) -> Posterior:
    """A mean-field posterior of globular clusters, trained as the README's command line does."""
    count, side, width, epochs = (2, 128, 4, 1) if settings.quick else (8, 512, 32, 20)
    exposures = [simulate_exposure("gc", size=side, seed=seed) for seed in range(count)]
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


def _equal_accuracy(rows: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Time at the error of the base, on a line through the logarithms of error and time.

    What is measured at no larger an error bounds it from above.
    """
    wanted = next(row["rms error"] for row in rows if row["draws"] == BASE)
    some = sorted((r for r in rows if r["draws"].startswith(kind)), key=lambda r: r["rms error"])
    error = np.array([row["rms error"] for row in some])
    time = np.array([row["time"].median for row in some])
    good = error <= wanted
    line = np.exp(np.interp(np.log(wanted), np.log(error), np.log(time)))
    found = time.max() if not good.any() else min(line, time[good].min())
    bound = "more than " if not good.any() else "at most " if good.all() else ""
    return {"kind": kind, f"time at the error of '{BASE}'": f"{bound}{found:.3g}"}


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
