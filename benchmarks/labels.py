"""Labels from exposures: time, completeness and false events on fields whose truth is known."""

from __future__ import annotations

import time

import numpy as np
from astropy.nddata import CCDData

from bayescr.labels import label_darks, label_exposures, label_spectra
from benchmarks.common import Settings

SKY, READ_NOISE = 100.0, 5.0  # electrons


def run(settings: Settings) -> list[dict[str, float | str]]:
    side = 192 if settings.quick else 1024
    rows = []
    for name, search, stars in (
        ("darks", label_darks, 0),
        ("spectra", label_spectra, 0),
        ("exposures", label_exposures, side * side // 400),
    ):
        row = _case(name, search, stars, side)
        rows.append(row)
        print(
            f"{name:10} {side} x {side}: {row['seconds per frame']:.2f} s a frame, "
            f"{row['found']:.1%} of hits above 12 sigma found, "
            f"{row['false']:.2%} of flagged pixels beside or off a hit, valid {row['valid']:.1%}"
        )
    return rows


def _case(name: str, search, stars: int, side: int) -> dict[str, float | str]:
    rng = np.random.default_rng(0)
    rows, columns = rng.uniform(0, side, (2, stars))
    electrons = 10 ** rng.uniform(3.0, 5.0, stars)
    frames, charges, scenes = [], [], []
    for shift, width in zip(rng.uniform(-3, 3, (4, 2)), (1.5, 1.8, 1.35, 1.6), strict=True):
        scene = _stars(side, rows + shift[0], columns + shift[1], electrons, width)
        charge = _tracks(rng, side, side * side // 3000)
        data = rng.poisson(scene + SKY) + rng.normal(0, READ_NOISE, scene.shape) + charge
        frames.append(CCDData(data.astype(np.float32), unit="electron", meta={"EXPTIME": 300.0}))
        charges.append(charge)
        scenes.append(scene)
    started = time.perf_counter()
    labels = search(frames)
    seconds = (time.perf_counter() - started) / len(frames)
    found = total = false = flagged = 0
    for one, charge, scene in zip(labels, charges, scenes, strict=True):
        bright = one.valid & (charge > 12 * np.sqrt(scene + SKY + READ_NOISE**2))
        found, total = found + (one.truth & bright).sum(), total + bright.sum()
        truth = one.truth & one.valid
        false, flagged = false + (truth & (charge == 0)).sum(), flagged + truth.sum()
    return {
        "case": name,
        "seconds per frame": seconds,
        "found": float(found / total),
        "false": float(false / flagged),
        "valid": float(np.mean([one.valid.mean() for one in labels])),
        "control": float(sum(one.num_control for one in labels)),
    }


def _stars(side: int, rows, columns, electrons, width: float) -> np.ndarray:
    pixel = np.arange(side)
    across, along = (
        np.exp(-0.5 * ((pixel[:, None] - centre) / width) ** 2) for centre in (rows, columns)
    )
    return (electrons / (2 * np.pi * width**2) * across) @ along.T


def _tracks(rng: np.random.Generator, side: int, number: int) -> np.ndarray:
    charge = np.zeros((side, side))
    for row, column, length in zip(
        rng.integers(0, side, number),
        rng.integers(0, side - 12, number),
        rng.integers(3, 12, number),
        strict=True,
    ):
        charge[row, column : column + length] += 500.0 * rng.uniform(0.5, 2.0, length)
    return charge
