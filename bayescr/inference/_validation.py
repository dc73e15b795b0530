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
from bayescr._tracing import traced
from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference._descent import move
from bayescr.inference._pyro import draw_latents
from bayescr.inference.sampling import draw, num_points
from bayescr.models import BayesianSegmenter

__all__ = ["EarlyStopping", "validation_nll"]


class EarlyStopping:
    """Remembers the best weights offered, and how many offers ago that was.

    Args:
        modules: What is trained.
        patience: Offers without a better one after which to stop; None: never.
    """

    def __init__(self, modules: nn.ModuleDict, patience: int | None) -> None:
        self.modules, self.patience = modules, patience
        self.best, self.epoch, self.worse_since = math.inf, 0, 0
        self.state: dict[str, Tensor] = {}

    def offer(self, nll: float, epoch: int) -> None:
        """Keep these weights if their NLL is the lowest."""
        if not self.state or nll < self.best or math.isnan(self.best):
            self.best, self.worse_since = nll, 0
            self.keep(epoch)
            self.state = {name: t.clone() for name, t in self.modules.state_dict().items()}
        else:
            self.worse_since += 1

    def keep(self, epoch: int) -> None:
        """Note this epoch as the one whose weights are kept; without offers, the last."""
        self.epoch = epoch

    @property
    def is_out_of_patience(self) -> bool:
        """Whether ``patience`` offers in a row were no better."""
        return self.patience is not None and self.worse_since >= self.patience

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

    p is the model's likelihood: under `WeightedBernoulli` the weighted one, which compares with
    no other.

    The draws of noise are the same at every call, so that epochs compare. A point mass needs
    one draw only, and the members of an ensemble get as many as one another, one at least.

    Raises:
        BayescrError: If no pixel is valid.
    """
    model.eval()
    if isinstance(guide, nn.Module):  # masks as prediction draws them, not relaxed ones
        guide.eval()
    nll, count = 0.0, 0
    device = next(iter(model.random_weights.values())).device
    draws = _draws(guide, num_samples, device)
    for batch in DataLoader(validation, batch_size=batch_size):
        image, target, valid = move(batch, device)
        log_p = torch.stack([_log_prob(model, draw, image, target) for draw in draws])
        predictive = log_p.logsumexp(0) - math.log(len(draws))
        counted = valid.expand_as(predictive)
        nll -= predictive[counted].double().sum().item()
        count += int(counted.sum())
    if not count:
        raise BayescrError("the validation set has no valid pixel: look at the frames' masks")
    return nll / count


def _draws(guide: Any, num_samples: int, device: torch.device) -> list[dict[str, Tensor]]:
    points, members = num_points(guide, device=device), getattr(guide, "members", None)
    if members is not None:
        number = points or len(members) * math.ceil(num_samples / len(members))
        noise: dict[Any, Any] = {}
        return [draw(guide, index, seed=0, device=device, noise=noise) for index in range(number)]
    with seeded(0, device=device):
        return [draw_latents(guide)[0] for _ in range(points or num_samples)]


def _log_prob(
    model: BayesianSegmenter, draw: dict[str, Tensor], image: Tensor, target: Tensor
) -> Tensor:
    """Log p(y | x, w) of each label, (B, K, H, W), under whatever likelihood the model has."""
    conditioned = poutine.condition(model, data=draw)
    pixels = traced(conditioned, image, target).nodes["obs"]["fn"]
    while isinstance(pixels, Independent):
        pixels = pixels.base_dist
    return pixels.log_prob(target)
