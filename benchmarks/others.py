"""Whole frames against deepCR and astroscrappy, as their users call them.

deepCR runs its own weights and its own default call on the CPU (tiles of 1024, float32): one pass
of a U-Net of the same widths as ours, with batch normalisation, which gives a mask. astroscrappy is
L.A.Cosmic with its defaults, which iterates over what it finds, so that the frame is a simulated
one with galaxies and cosmic rays. Ours gives six posterior maps; one draw is like for like with
deepCR's pass, 16 draws are what ours is for. Files are not read, models are loaded before; threads
are those that OMP_NUM_THREADS and torch give to all.

Neither is a dependency of the project. deepCR imports what its training needs, too; give them an
environment of their own that sees this one's packages:

    python -m venv others
    others/bin/pip install --no-deps astroscrappy deepCR tensorboard absl-py protobuf grpcio \
        markdown werkzeug scikit-image lazy-loader imageio tifffile networkx pillow tqdm
    PYTHONPATH=.venv/lib/python3.11/site-packages others/bin/python -m benchmarks others
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np

from bayescr.simulation import simulate_exposure
from benchmarks.common import Settings, untrained
from benchmarks.timing import compare, show


def run(settings: Settings) -> dict[str, Any]:
    side, width, samples = (256, 8, 4) if settings.quick else (2048, 32, 16)
    frame = simulate_exposure("extragalactic", size=side, seed=0).frame.data
    posterior = untrained(width=width)

    def ours(number_of_draws, precision, number):
        posterior.predict(frame, num_samples=number_of_draws, seed=number, precision=precision)

    cases: dict[str, Any] = {
        f"ours, draws={count}, {precision}": partial(ours, count, precision)
        for precision in ("auto", "float32")
        for count in (1, samples)
    }
    own = list(cases)
    skipped = {}
    for name, make in (("deepCR", _deepcr), ("astroscrappy", _astroscrappy)):
        try:
            cases[name] = make(frame)
        except Exception as error:  # whatever an import of another project may meet
            skipped[name] = f"{type(error).__name__}: {error}"
            print(f"skipped {name}: {skipped[name]}\n")
    times = compare(cases, rounds=settings.rounds)
    theirs = [name for name in cases if name not in own]
    rows = [
        {
            "case": name,
            "seconds": times.cost(name),
            "ns per pixel": times.cost(name, scale=1e9 / frame.size),
            **{f"relative to {other}": times.ratio(name, other) for other in theirs},
        }
        for name in cases
    ]
    show(rows)
    sizes = {"side": side, "width": width, "samples": samples}
    return {"sizes": sizes, "skipped": skipped, "rows": rows, "seconds": times}


def _deepcr(frame: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deepCR import deepCR

        model = deepCR(mask="ACS-WFC", device="CPU")
    return lambda number: model.clean(frame)


def _astroscrappy(frame: np.ndarray) -> Any:
    from astroscrappy import detect_cosmics

    return lambda number: detect_cosmics(frame)
