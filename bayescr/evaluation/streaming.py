"""Two passes over a dataset, one item in memory at a time: the truth, then what all rows say of it.

The first pass counts labels, for the forecast that knows nothing but the base rate is one of the
rows of the second. Rows that share a predictor, such as MAP and MAP under a temperature, share its
answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bayescr._names import unknown_name
from bayescr.evaluation._arrays import Array
from bayescr.evaluation.ensemble import num_draws
from bayescr.evaluation.metrics.family import Statistic
from bayescr.evaluation.predictors import (
    Asked,
    DatasetLike,
    Predictor,
    Said,
    is_posterior,
)
from bayescr.evaluation.recalibration import Recalibrated
from bayescr.evaluation.records import Observed, Row, Tally

__all__ = ["draw_sites", "observe", "stream"]


def observe(dataset: DatasetLike) -> Observed:
    """The truth of a dataset: pixels and labels of every exposure, and a hash of all of it."""
    pixels: dict[str, Array] = {}
    positive: dict[str, Array] = {}
    digests: dict[str, Any] = {}
    for index in range(len(dataset)):
        asked = Asked.item(dataset, index)
        name = asked.exposure
        digest = digests.setdefault(name, hashlib.sha256())
        for part in (asked.image.cpu().contiguous().numpy(), asked.target, asked.valid):
            digest.update(f"{part.shape} {part.dtype} ".encode())
            digest.update(part.tobytes())
        valid = asked.valid.sum(axis=(1, 2))
        pixels[name] = pixels.get(name, 0) + valid
        positive[name] = positive.get(name, 0) + (asked.target & asked.valid).sum(axis=(1, 2))
    exposures = tuple(sorted(pixels))
    together = hashlib.sha256()
    for name in exposures:
        together.update(f"{name} {digests[name].hexdigest()} ".encode())
    return Observed(
        exposures=exposures,
        fields={name: dataset.fields[name] for name in exposures if name in dataset.fields},
        pixels=np.stack([pixels[name] for name in exposures]),
        positive=np.stack([positive[name] for name in exposures]),
        sha256=together.hexdigest(),
    )


def stream(
    rows: Sequence[Row],
    dataset: DatasetLike,
    observed: Observed,
    *,
    statistics: Sequence[Statistic],
    num_samples: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Tally]:
    """What every row says of every item, added up."""
    tallies = [Tally(row, observed, statistics) for row in rows]
    for index in range(len(dataset)):
        asked = Asked.item(dataset, index)
        image = asked.image.cpu().numpy()
        answers = _Answers(asked, num_samples=num_samples, seed=seed)
        for tally in tallies:
            said = answers.of(tally.row.predictor)
            tally.add(asked.scored(said), image)
            if said.log_likelihood is not None and said.positives is not None:
                tally.add_draws(asked.exposure, said.log_likelihood, said.positives)
        if progress is not None:
            progress(index + 1, len(dataset))
    return tallies


class _Answers:
    """What predictors say of one item; each is asked once."""

    def __init__(self, asked: Asked, *, num_samples: int, seed: int) -> None:
        self._asked, self._settings = asked, {"num_samples": num_samples, "seed": seed}
        self._said: dict[int, Said] = {}

    def of(self, predictor: Predictor) -> Said:
        if isinstance(predictor, Recalibrated):
            return self.of(predictor.base).recalibrated(predictor)
        if id(predictor) not in self._said:
            self._said[id(predictor)] = self._asked.put_to(predictor, **self._settings)
        return self._said[id(predictor)]


def draw_sites(
    name: str,
    posterior: Predictor,
    *,
    num_samples: int,
    seed: int,
    sites: Sequence[str] | None,
) -> Mapping[str, Array]:
    """Draws of the sites asked for; by default of the head, or else of the smallest site."""
    if not is_posterior(posterior):
        return {}
    known = {site: value.numel() for site, value in posterior.draw(1, seed=seed).items()}
    if not known:
        return {}
    if sites is None:
        head = [site for site in known if site.startswith("head")]
        sites = head or [min(known, key=lambda site: (known[site], site))]
    for site in sites:
        if site not in known:
            raise unknown_name(f"site of posterior '{name}'", site, list(known))
    # As many as there are log-likelihoods: those of a single point are repeated.
    number = num_samples if posterior.is_deterministic else num_draws(posterior, num_samples)
    draws = posterior.draw(number, seed=seed, sites=list(sites))
    return {site: draws[site].detach().cpu().numpy() for site in sites}
