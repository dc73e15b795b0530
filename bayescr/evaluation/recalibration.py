"""A predictor behind a calibration map that was fitted on exposures no weight was trained on.

A map of the mean probability says nothing about its parts. `Recalibrated` keeps their shares:

    I' / H(p') = I / H(p)                    epistemic share of the entropy of a label
    S'^2 / p'(1 - p') = S^2 / p(1 - p)       epistemic share of the variance of a label

for mutual information I and standard deviation S: by the laws of total entropy and of total
variance those parts are what a label would lose if the weights were known. That makes sense for
any map, steps included. The maps are those of `bayescr.evaluation.calibrators`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import label_entropy
from bayescr.evaluation.calibrators import Beta, Calibrator, Isotonic, Platt, Temperature
from bayescr.evaluation.counts import LOGIT_GRID
from bayescr.evaluation.scored import ScoredFrame
from bayescr.inference.prediction import Prediction

__all__ = [
    "Beta",
    "Calibrator",
    "Isotonic",
    "Platt",
    "Recalibrated",
    "Temperature",
    "recalibrate",
]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Recalibrated:
    """A predictor behind a calibrator.

    Attributes:
        base: A posterior, or a method that scores frames.
        calibrator: A fitted calibrator for all classes, or a tuple of one for each.
    """

    base: Any
    calibrator: Calibrator | tuple[Calibrator, ...]
    is_probability: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """The name of the base, and what was done to it."""
        return f"{self.base.name}, {getattr(self._all[0], 'label', 'recalibrated')}"

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the base comes from, and the calibrator of each class."""
        return {**self.base.provenance, "recalibration": [one.describe() for one in self._all]}

    @property
    def scaling(self) -> Any:
        """Of the base, where it has one."""
        return self.base.scaling

    @property
    def temperature(self) -> float:
        """Of the base's posterior, the final weight of the KL, where it has one."""
        return self.base.temperature

    @property
    def num_classes(self) -> int:
        """Of the base, where it says."""
        return self.base.num_classes

    def apply(
        self, logit: Array, mutual_information: Array, std: Array
    ) -> tuple[Array, Array, Array]:
        """The calibrated maps, float64.

        Args:
            logit: (C, H, W), or (H, W) of one class.
            mutual_information: The same shape [nat].
            std: The same shape.

        Raises:
            BayescrError: If the classes are not as many as the calibrators.
        """
        z = np.asarray(logit, np.float64)
        planes = z.reshape(-1, *z.shape[-2:])
        each = self._all * len(planes) if len(self._all) == 1 else self._all
        if len(each) != len(planes):
            raise BayescrError(
                f"logit has {len(planes)} classes but there are {len(each)} calibrators: expected "
                "one for each class, or a single one"
            )
        mapped = np.stack([one(plane) for one, plane in zip(each, planes, strict=True)])
        mapped = mapped.reshape(z.shape)
        return (
            mapped,
            _keep_share(mutual_information, label_entropy, z, mapped),
            _keep_share(std, _bernoulli_std, z, mapped),
        )

    def predict(self, frame: Any, **options: Any) -> Prediction:
        """The base's prediction of a frame, calibrated; in memory, whatever ``scratch`` says.

        Args:
            frame: An exposure, as for `Posterior.predict`.
            **options: Of `Posterior.predict`.

        Raises:
            BayescrError: If the base is no posterior, or as `Posterior.predict`.
        """
        if not hasattr(self.base, "predict"):
            raise BayescrError(
                f"'{self.base.name}' has no predict(): call its score(frame) and hand that to "
                "the calibrator"
            )
        prediction = self.base.predict(frame, **options)
        logit, information, std = self.apply(
            prediction.logit, prediction.mutual_information, prediction.std
        )
        entropy = label_entropy(logit)
        maps = {
            "probability": expit(logit),
            "logit": logit,
            "entropy": entropy,
            "expected_entropy": entropy - information,
            "mutual_information": information,
            "std": std,
        }
        return replace(prediction, **{name: one.astype(np.float32) for name, one in maps.items()})

    @property
    def _all(self) -> tuple[Calibrator, ...]:
        return self.calibrator if isinstance(self.calibrator, tuple) else (self.calibrator,)


def recalibrate(
    predictor: Any,
    dataset: Any,
    method: Calibrator | None = None,
    *,
    num_samples: int = 16,
    seed: int = 0,
) -> Recalibrated:
    """Fit a calibrator to a predictor on exposures that it was not trained on.

    Args:
        predictor: A posterior, or a method that scores frames.
        dataset: Exposures with truth, such as a `PatchDataset`; not those of the test.
        method: What to fit, for each class its own; default ``Temperature()``.
        num_samples: Draws of a posterior.
        seed: Their seed.

    Returns:
        The predictor behind the fitted calibrator.

    Raises:
        BayescrError: If the predictor's score only ranks and the method cannot make a probability
            of it, or as the method's ``fit``.

    Example:
        >>> scaled = recalibrate(posterior, validation)  # doctest: +SKIP
    """
    from bayescr.evaluation.predictors import score_frames

    method = Temperature() if method is None else method
    needs = getattr(method, "needs_probability", False)
    if needs and not getattr(predictor, "is_probability", True):
        raise BayescrError(
            f"the score of '{predictor.name}' only ranks pixels, and {type(method).__name__} has "
            "no intercept to make a probability of it: use Platt(), Beta() or Isotonic()"
        )
    frames = score_frames(predictor, dataset, num_samples=num_samples, seed=seed)
    fitted = tuple(method.fit(LOGIT_GRID.counts(total)) for total in _totals(frames))
    return Recalibrated(predictor, fitted if len(fitted) > 1 else fitted[0])


def _totals(frames: Iterable[ScoredFrame]) -> Array:
    """(C, 2, K) counts of labels by rounded logit over all frames, class by class."""
    total: Any = 0
    for frame in frames:
        classes = [frame.only(index) for index in range(len(frame.logit))]
        total = total + np.stack([LOGIT_GRID.count(one.z, one.y) for one in classes])
    if np.ndim(total) == 0:
        raise BayescrError("the dataset to calibrate on is empty: expected at least one exposure")
    return total


def _bernoulli_std(z: Array) -> Array:
    """Standard deviation sqrt(p (1 - p)) of a label, the largest that its probability can have."""
    return np.sqrt(expit(z) * expit(-z))


def _keep_share(part: Array, whole: Callable[[Array], Array], before: Array, after: Array) -> Array:
    """What has the same share of ``whole(after)`` as ``part`` of ``whole(before)``."""
    part = np.asarray(part, np.float64)
    if not part.any():  # a predictor that does not know its ignorance
        return np.zeros_like(part)
    total = whole(before)
    share = np.divide(part, total, out=np.zeros_like(part), where=total > 0.0)
    return np.clip(share, 0.0, 1.0) * whole(after)
