"""Put a posterior to real frames whose cosmic rays are known from repeated exposures.

    python -m benchmarks.real_frames MODEL --data FOLDER

MODEL is a posterior, `demo-output/mean-field`, or one that comes with bayescr, `ground`; the base
rate is estimated on each frame. FOLDER holds `kast_red_2019/` (dark exposures r3039, r3073, r3081,
r3092 of the Kast red spectrograph, a thick CCD) and `nickel_ngc6819_2019/` (V exposures d3162,
d3163, d3164 of an open cluster with the Nickel 1-m telescope), as FITS files of Lick Observatory.

Truth. Kast: a dark less its rows' medians and less the median of the other three darks; events
are the regions above 3 sigma that reach 6 sigma, imaged columns only. Nickel: a pixel that exceeds
the largest of its 3 x 3 neighbourhood in both other exposures by 6 sigma, bad columns left out;
precise, but incomplete under stars.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation, label, maximum_filter

from bayescr.data import read_frame
from bayescr.inference import Posterior
from benchmarks.common import load

TOUCHING = np.ones((3, 3))
DARKS = ("r3039", "r3073", "r3081", "r3092")
IMAGED = np.s_[:, 62:346]
NICKEL_GAIN = 1.8  # electrons per adu, measured from flats
BAD_COLUMNS = [0, *range(250, 260), *range(780, 788)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a trained posterior, a file or one of the package")
    parser.add_argument("--data", type=Path, required=True, help="folder of the real frames")
    parser.add_argument("--samples", type=int, default=8)
    arguments = parser.parse_args()
    posterior = load(arguments.model)
    print(posterior)
    kast(posterior, arguments.data / "kast_red_2019", arguments.samples)
    nickel(posterior, arguments.data / "nickel_ngc6819_2019", arguments.samples)


def kast(posterior: Posterior, folder: Path, num_samples: int) -> None:
    frames = {name: read_frame(folder / f"{name}.fits.gz") for name in DARKS}
    flat = {name: _without_row_medians(frame.data[IMAGED]) for name, frame in frames.items()}
    totals = np.zeros(6, int)
    missed_information, background_information = [], []
    for name, frame in frames.items():
        others = np.median([flat[other] for other in DARKS if other != name], axis=0)
        truth = _grown(flat[name] - others)
        prediction = posterior.predict(frame, num_samples=num_samples, base_rate="auto")
        mask = prediction.mask()[IMAGED]
        information = prediction.mutual_information[IMAGED]
        events, number = label(truth, TOUCHING)
        size = np.bincount(events.ravel(), minlength=number + 1)
        found = np.isin(np.arange(number + 1), events[mask & truth])
        found[0], size[0] = False, 0
        flagged, number_flagged = label(mask, TOUCHING)
        true = np.setdiff1d(flagged[mask & binary_dilation(truth, TOUCHING)], 0)
        totals += (
            number, found.sum(), (size >= 5).sum(), (found & (size >= 5)).sum(),
            number_flagged, len(true),
        )  # fmt: skip
        missed_information.append(information[truth & ~found[events]])
        background_information.append(information[~truth])
    print(
        f"Kast darks: {totals[1]} of {totals[0]} events found, {totals[3]} of {totals[2]} of five "
        f"pixels or more; {totals[5]} of {totals[4]} flagged events are true"
    )
    print(
        f"  mutual information: {np.concatenate(missed_information).mean():.2g} nat on missed "
        f"events, {np.concatenate(background_information).mean():.2g} on the background"
    )


def nickel(posterior: Posterior, folder: Path, num_samples: int) -> None:
    frame = read_frame(folder / "d3163.fits.gz")
    first, *others = (
        read_frame(folder / f"{name}.fits.gz").data[:, :1000]
        for name in ("d3163", "d3164", "d3162")
    )
    offset = np.median(first - others[0])
    noise = np.sqrt(np.maximum(first, 1.0) / NICKEL_GAIN + 25.0)
    brightest = np.maximum(*(maximum_filter(other, 3) for other in others))
    usable = np.ones(first.shape, bool)
    usable[:, BAD_COLUMNS] = False
    truth = (first - offset - brightest > 6.0 * noise) & usable
    mask = (
        posterior.predict(frame, num_samples=num_samples, base_rate="auto").mask()[:, :1000]
        & usable
    )
    events, number = label(truth, TOUCHING)
    found = np.setdiff1d(events[mask & truth], 0)
    sky = np.median(first)
    stars = (first == maximum_filter(first, 9)) & (first - sky > 50.0 * np.sqrt(sky / NICKEL_GAIN))
    stars &= ~truth & usable
    print(
        f"Nickel: {len(found)} of {number} events found; {(stars & mask).sum()} of {stars.sum()} "
        "bright stars flagged at their peak"
    )


def _without_row_medians(data: np.ndarray) -> np.ndarray:
    return data - np.median(data, axis=1, keepdims=True)


def _grown(difference: np.ndarray) -> np.ndarray:
    """Regions above 3 robust sigma that reach 6."""
    centred = difference - np.median(difference)
    significance = centred / (1.4826 * np.median(np.abs(centred)))
    regions, _ = label(significance > 3.0, TOUCHING)
    return np.isin(regions, np.setdiff1d(regions[significance > 6.0], 0))


if __name__ == "__main__":
    main()
