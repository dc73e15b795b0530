"""Time of a posterior draw against the plain loop, and of models that are random at the end only.

The plain reference (`benchmarks.reference.predict`) is what published tools do: default layout,
float32, tiles of 1024 without halo, one draw after another. Both sides run the same network on the
same frame. The product's time is that of all of `Posterior.predict`: scaling, drawing, six maps.
The two are first checked to give the same maps.

Where random weights lie in the last layers alone, the product shares what is before them among all
draws; the reference has no notion of this and pays a pass for each. There the cost of all draws is
given in units of one pass: of the reference's and of the product's own, all weights random.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from bayescr.inference import Posterior
from benchmarks import reference
from benchmarks.common import Settings, noise, precisions, untrained
from benchmarks.timing import compare, show

LAST_LAYERS = {
    "head": ("head.*",),
    "last convolution and head": ("up1.conv2.*", "head.*"),
    "last block and head": ("up1.conv*", "head.*"),
}


def run(settings: Settings) -> dict[str, Any]:
    side, width, samples, plain_samples = (128, 8, 4, 1) if settings.quick else (2048, 32, 16, 2)
    frame = noise(side)
    full = untrained(width=width)
    partly = {name: untrained(width=width, random=random) for name, random in LAST_LAYERS.items()}
    net, image = reference.network(full), torch.from_numpy(full.scaling(frame)[0])
    draws = reference.weights(full, plain_samples)
    for posterior in (full, *partly.values()):
        _check(posterior, frame[:96, :96])

    cases = {"plain": lambda number: reference.predict(net, draws, image)}
    work = {"plain": float(plain_samples)}  # draws
    for precision in precisions():

        def predict(posterior, samples, number, precision=precision):
            posterior.predict(frame, num_samples=samples, seed=number, precision=precision)

        cases[f"{precision}, one draw"] = partial(predict, full, 1)
        cases[precision] = partial(predict, full, samples)
        work[precision] = float(samples)
        for name, posterior in partly.items():
            cases[f"{precision}, {name}"] = partial(predict, posterior, samples)
    times = compare(cases, rounds=settings.rounds, work=work)

    per_draw = [
        {
            "case": name,
            "ns per pixel and draw": times.cost(name, scale=1e9 / frame.size),
            "times faster": times.ratio("plain", name),
        }
        for name in ("plain", *precisions())
    ]
    in_passes = [
        {
            "random weights": name,
            "precision": precision,
            f"{samples} draws in plain passes": times.ratio(f"{precision}, {name}", "plain"),
            "in own passes": times.ratio(f"{precision}, {name}", f"{precision}, one draw"),
        }
        for precision in precisions()
        for name in partly
    ]
    show(per_draw)
    show(in_passes)
    sizes = {"side": side, "width": width, "samples": samples, "plain_samples": plain_samples}
    return {"sizes": sizes, "per_draw": per_draw, "in_passes": in_passes, "seconds": times}


def _check(posterior: Posterior, frame: np.ndarray) -> None:
    """Product and reference give the same maps where the reference has one tile."""
    draws = posterior.draw(2, sampling="independent")
    net, image = reference.network(posterior), torch.from_numpy(posterior.scaling(frame)[0])
    mean, std = reference.predict(net, reference.weights(posterior, 2), image)
    maps = posterior.predict(frame, draws=draws, tile=32, precision="float32")
    for ours, theirs in ((maps.probability, mean), (maps.std, std)):
        # Variance as a difference of squares, in float32: its root is good to 1e-3 about zero.
        np.testing.assert_allclose(ours, theirs[0], atol=1e-3 if theirs is std else 1e-5)
