"""Local reparameterisation: noise on the activations instead of the weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bayescr.inference.gradients._layers import Call, LayerwiseEstimator

__all__ = ["LocalReparameterisation"]


@dataclass(frozen=True, kw_only=True)
class LocalReparameterisation(LayerwiseEstimator):
    """Every activation drawn by itself from the normal that the weights' normals give it.

        y ~ N( layer(x; m), layer(x^2; s^2) )

    with the means m and the standard deviations s of the weights, biases included.

    Right for one activation, wrong for several: under one draw of the weights the pixels of a map
    vary together, here each by itself. So:

    - the expected loss is exact if each logit depends on one pixel of every random layer's output:
      1x1 convolutions and transposed ones that do not overlap, behind a layer of any kernel;
    - behind a layer that sums pixels (a second 3x3 convolution) or pools them, noise that the
      pixels should share averages out. The expected loss and its gradient are then those of
      another spread of the weights: a smaller one where inputs have one sign, as behind a ReLU,
      so that fitted scales come out too large;
    - it is no way to predict: the spread of a mean over P pixels falls like 1 / sqrt(P).

    A step costs two passes through each random layer.

    References:
        Kingma, Salimans & Welling, "Variational Dropout and the Local Reparameterization Trick",
        arXiv:1506.02557.
    """

    def output(self, call: Call) -> Tensor:
        """What the layer gives."""
        mean = call.run(call.input, *call.means())
        variance = call.run(call.input.square(), *call.variances())
        # Where all inputs are zero so is the variance, and the gradient of its root infinite.
        scale = variance.clamp(min=torch.finfo(variance.dtype).tiny).sqrt()
        return mean + scale * _noise(mean)


def _noise(like: Tensor) -> Tensor:
    """Standard normal, in the layout of a tensor.

    Filled as the line of numbers that it is in memory: on CPU ``torch.randn_like`` takes five
    times as long with the channels last.
    """
    noise = torch.empty_like(like)
    noise.as_strided((noise.numel(),), (1,)).normal_()
    return noise
