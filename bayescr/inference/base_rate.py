"""Another base rate than that of the training data: a shift of every logit.

If cosmic rays are pi' instead of pi of the pixels, but a pixel with or without one looks as it
did, p(x | y) unchanged, then Bayes' rule multiplies the odds of every draw of the weights alike:

    l'(w) = l(w) + log(pi' / (1 - pi')) - log(pi / (1 - pi))

This is label shift. It holds for the same camera and sky with a longer exposure or another orbit,
roughly; it does not for another detector or another kind of field, where a pixel itself looks
different: no shift of the logits mends that.

References:
    Saerens, Latinne & Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities: A Simple Procedure", Neural Computation 14 (2002).
    Lipton, Wang & Smola, "Detecting and Correcting for Label Shift with Black Box Predictors",
    arXiv:1802.03916 (what the assumption asks for).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayescr.errors import BayescrError

__all__ = ["AUTO", "BaseRate", "logit_shift", "rates_by_class", "trained_rates"]

BaseRate = float | Sequence[float] | str
AUTO = "auto"  # estimated on the frame itself, `bayescr.inference.frame_rate`


def rates_by_class(rate: BaseRate, num_classes: int) -> tuple[float, ...]:
    """A base rate of all classes, or of each, as one number a class.

    Raises:
        BayescrError: If a rate is not between 0 and 1, or there are too many or too few.
    """
    try:
        rates = np.asarray(rate, np.float64)
    except (TypeError, ValueError) as error:
        raise BayescrError(
            f"base_rate is {rate!r}: expected a share of pixels, or one a class, or 'auto'"
        ) from error
    if not np.all((rates > 0.0) & (rates < 1.0)):
        raise BayescrError(
            f"base_rate is {rates.tolist()}: expected a share of pixels between 0 and 1"
        )
    if rates.shape not in ((), (num_classes,)):
        raise BayescrError(
            f"base_rate has shape {rates.shape} but the posterior {num_classes} class(es): give "
            "one number, or one a class"
        )
    return tuple(np.broadcast_to(rates, (num_classes,)).tolist())


def trained_rates(
    num_classes: int, *, labelled: Sequence[float] | None, likelihood: Any
) -> tuple[float, ...]:
    """The rates that a network's logits stand for, one a class.

    Args:
        num_classes: Of the network.
        labelled: Share of positive labels in the training data, one a class: what
            ``provenance["base_rate"]`` of a posterior says.
        likelihood: Of the training; the rate that its logits stand for need not be that of its
            labels (``implied_rate``).

    Raises:
        BayescrError: If the training's rates are unknown or none at all.
    """
    if labelled is None:
        raise BayescrError(
            "base_rate needs that of the training, but the posterior has no "
            "provenance['base_rate']: fit it with `bayescr.inference.fit`, or put the share of "
            "positive training pixels there, one a class"
        )
    trained = _on_cpu(rates_by_class(labelled, num_classes))
    if hasattr(likelihood, "implied_rate"):
        trained = likelihood.implied_rate(trained)
        if not bool(((trained > 0.0) & (trained < 1.0)).all()):
            raise BayescrError(
                f"of the training labels a share {list(labelled)} is positive, which {likelihood} "
                f"takes for {trained.tolist()} of the truth: expected a share between 0 and 1; "
                "the flip rates do not suit these data"
            )
    return tuple(trained.tolist())


def logit_shift(rates: tuple[float, ...], trained: tuple[float, ...]) -> Tensor:
    """What to add to the logits, (K, 1, 1) float64; 0 where the rate is that of the training.

    Args:
        rates: The new rates, one a class.
        trained: Those that the logits stand for, `trained_rates`.
    """
    return (_on_cpu(rates).logit() - _on_cpu(trained).logit())[:, None, None]


def _on_cpu(rates: tuple[float, ...]) -> Tensor:
    """Float64, and not on whatever device is the default."""
    return torch.from_numpy(np.array(rates))
