"""What can stand in a row of a report, and what it says of a frame.

A predictor is a posterior; a classical method, which has a score for every pixel of the raw frame
and nothing to say about its own ignorance; a `Constant`; or any of these under a
:class:`~bayescr.evaluation.recalibration.Recalibrated`. `Asked` puts the same question to all.

A posterior is asked draw by draw and of every draw only sums are kept. Draw s is the same weights
in every exposure, because every exposure is predicted from the same seed, so that

    log_likelihood[s] = sum over valid pixels i of log Bernoulli(y_i | p_i(w_s))

of the exposures is a function of one weight draw, as leave-one-exposure-out needs. Logits of a
network beyond 700 count as 700, here and in the mean probability: exp would underflow.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
import torch
from torch.nn.functional import softplus

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array, to_logit
from bayescr.evaluation.ensemble import Ensemble, num_draws
from bayescr.evaluation.recalibration import Recalibrated, Temperature
from bayescr.evaluation.scored import ScoredFrame
from bayescr.inference.prediction import LARGEST_LOGIT, RunningPrediction

__all__ = [
    "Asked",
    "ClassicalLike",
    "Constant",
    "DatasetLike",
    "PosteriorLike",
    "Predictor",
    "Said",
    "is_posterior",
    "passes",
    "score_frames",
    "unwrap",
]


@runtime_checkable
class PosteriorLike(Protocol):
    """What the evaluation needs of a posterior: logit maps, draws of its sites and who it is."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def scaling(self) -> Any: ...  # noqa: D102
    @property
    def temperature(self) -> float: ...  # noqa: D102
    @property
    def num_classes(self) -> int: ...  # noqa: D102
    @property
    def is_deterministic(self) -> bool: ...  # noqa: D102
    @property
    def provenance(self) -> Mapping[str, Any]: ...  # noqa: D102

    def logits(
        self, image: torch.Tensor, *, num_samples: int = 16, seed: int = 0
    ) -> Iterator[torch.Tensor]:
        """One (C, H, W) logit map for each draw; the seed alone decides the draws."""

    def draw(
        self, num_samples: int, *, seed: int = 0, sites: list[str] | None = None
    ) -> Mapping[str, torch.Tensor]:
        """Draws of the sites, each (S, *shape); the draws behind ``logits`` of the same seed."""


@runtime_checkable
class ClassicalLike(Protocol):
    """A method that scores the raw frame, see :mod:`bayescr.evaluation.classical`."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def is_probability(self) -> bool: ...  # noqa: D102
    @property
    def provenance(self) -> Mapping[str, Any]: ...  # noqa: D102

    def score(self, frame: Any) -> Array:
        """(H, W) score of every pixel, above 0 where the method flags it."""


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The forecast that gives every pixel of a class the same probability.

    Attributes:
        probability: One for each class.
    """

    probability: tuple[float, ...]
    name: str = "constant"


Predictor = PosteriorLike | ClassicalLike | Constant | Recalibrated


@runtime_checkable
class DatasetLike(Protocol):
    """What the evaluation needs of a :class:`~bayescr.data.PatchDataset`.

    For classical methods ``frame(index)`` has to give the raw pixels of an item, too.
    """

    @property
    def scaling(self) -> Any: ...  # noqa: D102
    @property
    def fields(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def exposures(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def num_classes(self) -> int: ...  # noqa: D102

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """An item of a dataset, as every predictor gets it.

    Attributes:
        exposure: Its exposure.
        image: (C_in, H, W) network input.
        target: (C, H, W) bool.
        valid: (C, H, W) bool.
        significance: (H, W) the image in units of its sky's noise, or None.
        dataset: Where it is from, for the raw frame.
        index: Its number there.
    """

    exposure: str
    image: torch.Tensor
    target: Array
    valid: Array
    significance: Array | None
    dataset: DatasetLike
    index: int

    @classmethod
    def item(cls, dataset: DatasetLike, index: int) -> Asked:
        """Item ``index`` of a dataset, its labels checked."""
        item = dataset[index]
        exposure, target = str(item["exposure"]), item["target"].cpu().numpy()  # (C, H, W)
        valid = item["valid"].expand_as(item["target"]).cpu().numpy()
        positive = target == 1
        if not np.all((positive | (target == 0))[valid]):
            raise BayescrError(f"target of exposure '{exposure}' is not 0 or 1 in a valid pixel")
        in_noise = getattr(dataset.scaling, "significance", None)
        return cls(
            exposure=exposure,
            image=item["image"],
            target=positive,
            valid=valid,
            significance=None if in_noise is None else in_noise(item["image"][0].cpu().numpy()),
            dataset=dataset,
            index=index,
        )

    def put_to(self, predictor: Predictor, *, num_samples: int, seed: int) -> Said:
        """What a predictor says of this item."""
        if isinstance(predictor, Recalibrated):
            said = self.put_to(predictor.base, num_samples=num_samples, seed=seed)
            return said.recalibrated(predictor)
        if isinstance(predictor, Constant):
            return self._certain(to_logit(predictor.probability)[:, None, None])
        if is_posterior(predictor):
            return self._draws(predictor, num_samples=num_samples, seed=seed)
        method: Any = predictor
        return self._certain(self._score(method)[None])

    def scored(self, said: Said) -> ScoredFrame:
        """The item with what was said of it, as metrics want it."""
        return ScoredFrame(
            exposure=self.exposure,
            logit=said.logit,
            mutual_information=said.mutual_information,
            std=said.std,
            target=self.target,
            valid=self.valid,
            significance=self.significance,
            unscaled=said.unscaled,
        )

    def _certain(self, logit: Array) -> Said:
        logit = np.broadcast_to(logit, self.target.shape)
        nothing = np.broadcast_to(np.float32(0.0), logit.shape)
        return Said(logit=logit, mutual_information=nothing, std=nothing)

    def _score(self, method: ClassicalLike) -> Array:
        if not hasattr(self.dataset, "frame"):
            raise BayescrError(
                f"'{method.name}' needs the raw frames but the dataset has no frame(index): take a "
                "PatchDataset"
            )
        score = method.score(self.dataset.frame(self.index))
        if score.shape != self.target.shape[1:] or len(self.target) != 1:
            raise BayescrError(
                f"'{method.name}' gives scores of shape {score.shape} but the target of exposure "
                f"'{self.exposure}' has {self.target.shape}: expected one class of that size"
            )
        if np.isnan(score[self.valid[0]]).any():
            raise BayescrError(f"'{method.name}' gives NaN for exposure '{self.exposure}'")
        return score

    def _draws(self, posterior: PosteriorLike, *, num_samples: int, seed: int) -> Said:
        # An item has its own random numbers: its replicas do not depend on its neighbours.
        place = zlib.crc32((self.target & self.valid).tobytes(), zlib.crc32(self.exposure.encode()))
        generator = np.random.default_rng([seed, place])
        labels, mask = torch.from_numpy(self.target), torch.from_numpy(self.valid)
        labels = labels[mask]
        # Points would say the same again and again; what one says counts as any number of draws.
        number = num_draws(posterior, num_samples)
        repeats = num_samples if posterior.is_deterministic else 1
        running = RunningPrediction()
        likelihoods, positives = [], []
        for logits in posterior.logits(self.image, num_samples=number, seed=seed):
            z = self._valid(logits, posterior, mask)
            running.add(logits.cpu())
            likelihood = -softplus(torch.where(labels, -z, z)).sum().item()
            p = torch.sigmoid(z).numpy()
            for _ in range(repeats):
                likelihoods.append(likelihood)
                positives.append(np.count_nonzero(generator.random(len(z), dtype=np.float32) < p))
        maps = {name: value.float().numpy() for name, value in running.maps().items()}
        if running.num_samples == 1:  # exactly 0, not what rounding leaves of it
            maps["mutual_information"] = maps["std"] = np.zeros_like(maps["logit"])
        return Said(
            logit=maps["logit"],
            mutual_information=maps["mutual_information"],
            std=maps["std"],
            log_likelihood=np.array(likelihoods),
            positives=np.array(positives),
        )

    def _valid(
        self, logits: torch.Tensor, posterior: PosteriorLike, mask: torch.Tensor
    ) -> torch.Tensor:
        """The logits of the valid pixels, (N,) float64, if they are logits of this item."""
        if logits.shape != self.target.shape:
            raise BayescrError(
                f"posterior '{posterior.name}' gives logits of shape {tuple(logits.shape)} but the "
                f"target of exposure '{self.exposure}' has {self.target.shape}: were they made for "
                "the same classes?"
            )
        z = logits.detach().cpu()[mask].double().clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        if torch.isnan(z).any():
            raise BayescrError(
                f"posterior '{posterior.name}' gives NaN logits for exposure '{self.exposure}': "
                "did its training diverge?"
            )
        return z


@dataclass(frozen=True, kw_only=True, eq=False)
class Said:
    """What one predictor says of one item.

    Attributes:
        logit: (C, H, W) logit of the predictive probability, or a score.
        mutual_information: (C, H, W) [nat].
        std: (C, H, W).
        log_likelihood: (S,) of the valid labels under each draw [nat]; None without draws.
        positives: (S,) positive pixels in labels replicated from each draw; None likewise.
        unscaled: (C, H, W) the logit before a temperature; None without one.
    """

    logit: Array
    mutual_information: Array
    std: Array
    log_likelihood: Array | None = None
    positives: Array | None = None
    unscaled: Array | None = None

    def recalibrated(self, by: Recalibrated) -> Said:
        """The same after recalibration, of the mean: the draws no longer have a say."""
        logit, information, std = by.apply(self.logit, self.mutual_information, self.std)
        is_scaled = isinstance(by.calibrator, Temperature)
        before = self.logit if self.unscaled is None else self.unscaled
        return Said(
            logit=logit,
            mutual_information=information,
            std=std,
            unscaled=before if is_scaled else None,
        )


def score_frames(
    predictor: Predictor, dataset: DatasetLike, *, num_samples: int = 16, seed: int = 0
) -> Iterator[ScoredFrame]:
    """What a predictor says of every item of a dataset, one after the other."""
    for index in range(len(dataset)):
        asked = Asked.item(dataset, index)
        yield asked.scored(asked.put_to(predictor, num_samples=num_samples, seed=seed))


def passes(predictor: Predictor, num_samples: int) -> int:
    """Passes through a network that one prediction takes; 0 for what is no network of ours."""
    base = unwrap(predictor)
    if isinstance(base, Ensemble):
        return sum(passes(member, base.share(num_samples)) for member in base.members)
    if not is_posterior(base):
        return 0
    return num_draws(base, num_samples)


def is_posterior(predictor: Any) -> TypeGuard[PosteriorLike]:
    """Whether a predictor has weights to draw, which neither a score nor a wrapper has."""
    return hasattr(predictor, "logits") and not isinstance(predictor, Recalibrated)


def unwrap(predictor: Predictor) -> Predictor:
    """The predictor under all recalibrations."""
    while isinstance(predictor, Recalibrated):
        predictor = predictor.base
    return predictor
