"""Which weights to keep: the predictive score on validation data, and the best so far."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro import poutine
from pyro.distributions import Independent
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bayescr._random import seeded
from bayescr.data import PatchDataset
from bayescr.inference._descent import move
from bayescr.inference._pyro import draw_latents
from bayescr.models import BayesianSegmenter

__all__ = ["Keeper", "validation_nll"]


class Keeper:
    """Remembers the best weights seen, and how long ago that was."""

    def __init__(self, modules: nn.ModuleDict, patience: int | None) -> None:
        self.modules, self.patience = modules, patience
        self.best, self.epoch = math.inf, 0
        self.state: dict[str, Tensor] = {}

    def offer(self, nll: float, epoch: int) -> None:
        """Keep these weights if their NLL is the lowest."""
        if not self.state or nll < self.best or math.isnan(self.best):
            self.best = nll
            self.keep(epoch)
            self.state = {name: t.clone() for name, t in self.modules.state_dict().items()}

    def keep(self, epoch: int) -> None:
        """These weights are the ones."""
        self.epoch = epoch

    def is_out_of_patience(self, epoch: int) -> bool:
        """Whether the best epoch is ``patience`` epochs ago."""
        return self.patience is not None and 0 < self.epoch <= epoch - self.patience

    def restore(self) -> None:
        """Go back to the best weights, if any were offered."""
        if self.state:
            self.modules.load_state_dict(self.state)


@torch.no_grad()
def validation_nll(
    model: BayesianSegmenter,
    guide: Any,
    validation: PatchDataset,
    num_samples: int,
    batch_size: int,
) -> float:
    """Negative log of the mean predictive probability, per valid label [nat].

        NLL = - mean_i log (1 / S) sum_s p(y_i | x, w_s)

    The draws of noise are the same at every call, so that epochs compare.
    """
    model.eval()
    nll, count = 0.0, 0
    device = next(iter(model.random_weights.values())).device
    with seeded(0, device=device):
        draws = [draw_latents(guide)[0] for _ in range(num_samples)]
    for batch in DataLoader(validation, batch_size=batch_size):
        image, target, valid = move(batch, device)
        log_p = torch.stack([_log_prob(model, draw, image, target) for draw in draws])
        predictive = log_p.logsumexp(0) - math.log(num_samples)
        counted = valid.expand_as(predictive)
        nll -= predictive[counted].double().sum().item()
        count += int(counted.sum())
    return nll / max(count, 1)


def _log_prob(
    model: BayesianSegmenter, draw: dict[str, Tensor], image: Tensor, target: Tensor
) -> Tensor:
    """Log p(y | x, w) of each label, (B, K, H, W), under whatever likelihood the model has."""
    conditioned = poutine.condition(model, data=draw)
    pixels = poutine.trace(conditioned).get_trace(image, target).nodes["obs"]["fn"]
    while isinstance(pixels, Independent):
        pixels = pixels.base_dist
    return pixels.log_prob(target)
