"""The plain references: what one writes with torch alone, without a thought for speed.

Nothing of the engine is in here: the network is the plain `UNet`, in torch's default layout and in
float32 unless a function says otherwise. Where a choice had to be made it favours the reference:
prediction gets its weights drawn and its image scaled beforehand, computes two maps where the
product computes six, and records no graph; training neither clips gradients nor keeps a history.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from bayescr.inference import Posterior
from bayescr.models import UNet

TILE = 1024  # deepCR's default patch, arXiv:1907.09500 and its code


def network(posterior: Posterior) -> UNet:
    """The plain network of a posterior, with its weights."""
    theirs = posterior.model.net
    net = UNet(**theirs.config).eval()
    net.load_state_dict(theirs.state_dict())
    return net


def weights(posterior: Posterior, number: int, *, seed: int = 0) -> list[dict[str, Tensor]]:
    """Independent draws, one dictionary each."""
    draws = posterior.draw(number, seed=seed, sampling="independent")
    return [{name: values[index] for name, values in draws.items()} for index in range(number)]


@torch.no_grad()
def predict(net: UNet, draws: list[dict[str, Tensor]], image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the probability of an image (1, H, W), each (1, H, W).

    One draw after another goes over tiles that do not overlap.
    """
    total, squares = torch.zeros_like(image), torch.zeros_like(image)
    for draw in draws:
        net.load_state_dict(draw, strict=False)
        for window in _tiles(*image.shape[-2:]):
            probability = torch.sigmoid(net(image[window][None]))[0]
            total[window] += probability
            squares[window] += probability.square()
    mean = total / len(draws)
    return mean, (squares / len(draws) - mean.square()).clamp(min=0.0).sqrt()


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice, slice]]:
    for row in range(0, height, TILE):
        for column in range(0, width, TILE):
            yield slice(None), slice(row, row + TILE), slice(column, column + TILE)


class MeanFieldTraining:
    """Bayes by backprop: w = m + exp(r) e with e ~ N(0, 1), and the KL to N(0, prior_scale^2).

    References:
        Blundell et al., "Weight Uncertainty in Neural Networks", arXiv:1505.05424.
    """

    def __init__(self, net: nn.Module, *, num_images: int, prior_scale: float = 0.1) -> None:
        self.net, self.num_images, self.prior_scale = net, num_images, prior_scale
        start = {name: weight.detach() for name, weight in net.named_parameters()}
        self.loc = {name: value.clone().requires_grad_() for name, value in start.items()}
        self.log_scale = {
            name: torch.full_like(value, math.log(1e-2)).requires_grad_()
            for name, value in start.items()
        }
        self.optimiser = torch.optim.Adam([*self.loc.values(), *self.log_scale.values()], lr=1e-3)

    def step(self, image: Tensor, target: Tensor, valid: Tensor) -> float:
        draw = {
            name: loc + self.log_scale[name].exp() * torch.randn_like(loc)
            for name, loc in self.loc.items()
        }
        logits = functional_call(self.net, draw, (image,))
        loss = self.num_images / len(image) * _nll(logits, target, valid) + self._kl()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def _kl(self) -> Tensor:
        terms = []
        for name, loc in self.loc.items():
            log_ratio = self.log_scale[name] - math.log(self.prior_scale)
            square = (loc / self.prior_scale).square()
            terms.append(0.5 * ((2.0 * log_ratio).exp() + square - 1.0 - 2.0 * log_ratio).sum())
        return torch.stack(terms).sum()


class PlainTraining:
    """A deterministic step on the negative log-likelihood.

    Args:
        net: The network, which is trained.
        fast: Channels last, and fused Adam, as fast as torch does it without compiling.
        dtype: Of the convolutions, by autocast.
    """

    def __init__(
        self, net: nn.Module, *, fast: bool = False, dtype: torch.dtype = torch.float32
    ) -> None:
        self.layout = torch.channels_last if fast else torch.contiguous_format
        self.net, self.dtype = net.to(memory_format=self.layout), dtype
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=1e-3, fused=fast or None)

    def step(self, image: Tensor, target: Tensor, valid: Tensor) -> float:
        image = image.contiguous(memory_format=self.layout)
        with torch.autocast(image.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self.net(image).float()
        loss = _nll(logits, target, valid) / valid.sum()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()


def _nll(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (losses * valid).sum()
