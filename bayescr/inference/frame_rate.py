"""The base rate of a frame, as the frame itself tells it.

Under label shift (`bayescr.inference.base_rate`) a pixel x of a frame in which a share pi' is
positive has density p(x | 0) (1 + pi' (r(x) - 1)), and a network knows the ratio of likelihoods
r(x) = p(x | 1) / p(x | 0): its odds over those of the training's rate. The logarithm of the
likelihood, averaged over draws of the weights, and with the half count of each class that
Jeffreys' prior is, which keeps the rate of a frame without any hit above 0, is concave in pi'. Its
maximum is where, of N pixels,

    pi' = (sum_x p'(x) + 1/2) / (N + 1),        p'(x) = E_w[sigmoid(l_w(x) + shift(pi'))]

the one rate that is the mean of the probabilities that it gives. The iteration of Saerens et al.
converges there; here the root is bracketed. That neighbouring pixels are hit together makes the
rate uncertain, not wrong.

References:
    Saerens, Latinne & Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities: A Simple Procedure", Neural Computation 14 (2002).
    Alexandari, Kundaje & Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is
    Hard-To-Beat at Label Shift Adaptation", arXiv:1901.06852 (the likelihood is concave).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import expit, logit
from torch import Tensor

from bayescr.data.scaling import ScaledFrame
from bayescr.inference._passes import Passes

__all__ = ["TILE", "frame_rates", "self_consistent_rate"]

TILE = 256  # side of the tiles that are looked at [pixel]
_TILES = 16  # of them at most, spread evenly: a rate is wanted to some 10%, not each pixel
_DRAWS = 8


@torch.no_grad()
def frame_rates(
    passes: Passes,
    scaled: ScaledFrame,
    *,
    num_samples: int,
    trained: tuple[float, ...],
    device: torch.device,
) -> tuple[float, ...]:
    """The share of positive pixels of each class in a frame.

    Args:
        passes: What the frame passes through, in tiles of `TILE` that go one by one.
        scaled: The frame as the network sees it.
        num_samples: Draws of the weights; 8 at most are looked at.
        trained: The rates that the network's logits stand for, one a class.
        device: Where the network is.
    """
    draws = min(num_samples, _DRAWS)
    windows = [window for group in passes.tiles for window in group]
    spread = np.unique(np.linspace(0, len(windows) - 1, _TILES).round().astype(int))
    found: list[list[Tensor]] = [[] for _ in trained]
    for window in (windows[index] for index in spread):
        image, usable = scaled[window.outer]
        logits = passes.network.on(torch.from_numpy(image[None]).to(device))
        valid = torch.from_numpy(usable[0][window.kept].copy()).to(device)
        for index in range(draws):
            drawn = logits(passes.weights[index])[(0, ..., *window.kept)]  # (K, h, w)
            for pixels, of_class in zip(found, drawn, strict=True):
                pixels.append(of_class[valid].float())
    return tuple(
        self_consistent_rate(torch.cat(pixels), rate, draws=draws)
        for pixels, rate in zip(found, trained, strict=True)
    )


def self_consistent_rate(logits: Float[Tensor, " N"], trained: float, *, draws: int = 1) -> float:
    """The rate that is the mean of the probabilities that it gives.

    Args:
        logits: Of pixels, as the network gives them, by all draws of its weights.
        trained: The rate that they stand for, which none at all leave as it is.
        draws: How many each pixel has.
    """
    number = len(logits) / draws
    if not number:
        return trained

    def excess(rate: float) -> float:
        """Above 0 where the rate is too low."""
        shift = rate - logit(trained)
        mean = (logits + shift).sigmoid().mean(dtype=torch.float64).item()
        return number * mean + 0.5 - (number + 1) * float(expit(rate))

    lowest = 0.25 / (number + 1)
    return float(expit(brentq(excess, logit(lowest), -logit(lowest), xtol=1e-3)))
