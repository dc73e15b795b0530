"""What a model believes before it sees data: masks of a frame under weights from the prior.

    w_s ~ prior,   p_s = sigmoid(net(x; w_s))        s = 1 ... S

A prior over weights says nothing to the eye; what it says of masks can be judged. Under N(0, 1)
weights of a deep network nearly every pixel is certain, one way or the other, and no data of
sensible size can argue with that.

References:
    Gabry et al., "Visualization in Bayesian workflow", arXiv:1709.01449.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro
import torch
from pyro import poutine

from bayescr._random import seeded
from bayescr.errors import BayescrError
from bayescr.models.segmenter import BayesianSegmenter

if TYPE_CHECKING:  # what only this needs is slow to import: the functions do
    import pandas as pd
    from astropy.nddata import CCDData
    from matplotlib.figure import Figure

    from bayescr.data import Scaling

__all__ = ["PriorPredictive", "prior_predictive"]

Array = np.ndarray[Any, Any]

_SURE = 0.99
_TOUCHING = np.ones((3, 3), int)  # by a side or a corner, as in the tables of hits


@dataclass(frozen=True, kw_only=True, eq=False)
class PriorPredictive:
    """Draws of the maps of one frame, K classes, S draws.

    Attributes:
        masks: (S, K, H, W) bool, True where the probability is above 0.5.
        probabilities: (S, K, H, W) float32.
        statistics: A row for each draw and class, over the usable pixels of the frame:
            ``flagged``, their share with p > 0.5; ``logit_mean`` and ``logit_sd``; ``sure``, the
            share whose p or 1 - p is above 99%; ``groups``, how many pieces the flagged pixels
            form that touch by sides or corners, and ``group_size``, their median number of pixels
            (NaN without any).
    """

    masks: Array
    probabilities: Array
    statistics: pd.DataFrame

    def __repr__(self) -> str:
        draws, classes, height, width = self.masks.shape
        return f"PriorPredictive({draws} draws, {classes} classes, {height} x {width} pixels)"

    def plot(self, *, count: int = 8) -> Figure:
        """The first maps of the probability, one column a draw and one row a class."""
        from matplotlib.figure import Figure

        shown = self.probabilities[:count]
        draws, classes = shown.shape[:2]
        figure = Figure(figsize=(2.0 * draws + 0.6, 2.2 * classes), layout="constrained")
        axes = figure.subplots(classes, draws, squeeze=False, sharex=True, sharey=True)
        for row, column in np.ndindex(classes, draws):
            axis: Any = axes[row, column]
            image = axis.imshow(
                shown[column, row], origin="lower", cmap="magma", vmin=0.0, vmax=1.0
            )
            axis.set_axis_off()
        figure.colorbar(image, ax=axes, label="probability", shrink=0.8)
        return figure


def prior_predictive(
    model: BayesianSegmenter,
    frame: CCDData | Array,
    num_samples: int = 16,
    *,
    seed: int = 0,
    scaling: Scaling | None = None,
) -> PriorPredictive:
    """Draw weights from the prior, latents of its own included, and pass a frame through.

    Weights that are not random keep their values. The whole frame goes through the network at
    once: a cut-out of a few hundred pixels a side tells as much as a full frame.

    Args:
        model: What is believed; it is left as it is.
        frame: (H, W), any unit; a ``CCDData`` brings its own mask.
        num_samples: Draws.
        seed: Draw number s depends on s and the seed alone.
        scaling: Frame -> network input; default `Scaling()`.

    Raises:
        BayescrError: For a frame that is no image, fewer than one draw, or a model that is none.

    Example:
        >>> from bayescr.models import UNet
        >>> frame = np.random.default_rng(0).normal(100.0, 5.0, (32, 32))
        >>> prior_predictive(BayesianSegmenter(UNet(width=2)), frame, 4)
        PriorPredictive(4 draws, 1 classes, 32 x 32 pixels)
    """
    import pandas as pd

    from bayescr.data import Scaling

    if not isinstance(model, BayesianSegmenter):
        raise BayescrError(
            f"model is of type {type(model).__name__}: expected a BayesianSegmenter; of a "
            "posterior, give posterior.model"
        )
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
        raise BayescrError(f"num_samples is {num_samples!r}: expected a whole number from 1 up")
    in_channels = getattr(model.net, "in_channels", 1)
    if in_channels != 1:
        raise BayescrError(
            f"the network takes images of {in_channels} channels: expected one, a frame has no more"
        )
    image, valid = (Scaling() if scaling is None else scaling)(frame)
    logits = _draws(model, image, num_samples, seed)
    probabilities = torch.sigmoid(torch.from_numpy(logits)).numpy()
    masks = probabilities > 0.5
    rows = [
        {"draw": draw, "class": number, **_statistics(*plane, valid[0])}
        for draw, planes in enumerate(zip(logits, probabilities, masks, strict=True))
        for number, plane in enumerate(zip(*planes, strict=True))
    ]
    return PriorPredictive(masks=masks, probabilities=probabilities, statistics=pd.DataFrame(rows))


def _draws(model: BayesianSegmenter, image: Array, num_samples: int, seed: int) -> Array:
    """Logits under weights from the prior, (S, K, H, W)."""
    device = next(iter(model.random_weights.values())).device
    batch = torch.from_numpy(image)[None].to(device)  # (1, 1, H, W)
    was_training = model.training
    model.eval()  # statistics of the network must not see weights from the prior
    logits = []
    try:
        with (
            torch.no_grad(),
            poutine.block(),
            pyro.settings.context(module_local_params=True),
            pyro.validation_enabled(False),
        ):
            for draw in range(num_samples):
                with seeded(seed, draw, device=device):
                    logits.append(model(batch)[0].cpu().numpy())
    finally:
        model.train(was_training)
    return np.stack(logits)


def _statistics(logit: Array, probability: Array, mask: Array, valid: Array) -> dict[str, float]:
    """Of one map, (H, W) each."""
    from scipy.ndimage import label

    flagged = mask & valid
    pieces, groups = label(flagged, structure=_TOUCHING)
    sizes = np.bincount(pieces.ravel())[1:]
    values, p = logit[valid].astype(np.float64), probability[valid]
    return {
        "flagged": float(flagged.sum() / valid.sum()),
        "logit_mean": float(values.mean()),
        "logit_sd": float(values.std()),
        "sure": float((np.maximum(p, 1.0 - p) > _SURE).mean()),
        "groups": groups,
        "group_size": float(np.median(sizes)) if groups else float("nan"),
    }
