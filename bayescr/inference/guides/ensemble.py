"""Ensemble: several guides of one kind, each trained from its own start, with equal weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from bayescr._calls import check_call
from bayescr._checks import check_count
from bayescr.errors import BayescrError
from bayescr.inference._pyro import make_guide
from bayescr.inference.guides._finite import Mixture, centred_on_start, way_to_random
from bayescr.inference.guides.map_estimate import MAP
from bayescr.models import BayesianSegmenter

__all__ = ["Ensemble", "EnsembleGuide"]


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """An equal mixture of guides, q(w) = 1/M sum_m q_m(w): of points, the deep ensemble.

    What is trained is the mean of the members' bounds. The KL of the mixture is smaller than the
    mean of its members' by log M nats at most, and by that much if they do not overlap: the mean
    of the bounds is a bound, and all members count alike however well each fits.

    Members differ by their order of batches, if they are trained in turn, and by their start.
    Random permutations of the numbers of each weight tensor are other draws of the initialisation,
    whichever it was, if that drew them independently. Tensors of one axis stay: biases may hold
    the base rate of the classes, and the scales of a norm layer are all 1.

    Attributes:
        guide: Makes each member: any guide, one of Pyro's as well.
        members: Their number, M.
        together: False: one member after the other has all the steps of a fit, M times as many
            in all. True: a step trains all members on the same batch.
        shuffle_start: Whether all members but the first start from weights in another order.
            None: unless weights mean something where they are, after ``fit(..., start=)`` or under
            a prior that is centred on them, such as `priors.Empirical`. Points that are trained
            together from one start stay equal.

    References:
        Lakshminarayanan, Pritzel & Blundell, "Simple and Scalable Predictive Uncertainty
        Estimation using Deep Ensembles", arXiv:1612.01474.
        Wilson & Izmailov, "Bayesian Deep Learning and a Probabilistic Perspective of
        Generalization", arXiv:2002.08791 (ensembles of Bayesian members).

    Example:
        >>> from bayescr.inference import guides
        >>> guides.Ensemble(guide=guides.MeanField(), members=3).members
        3
    """

    guide: Callable[..., Any] = MAP()
    members: int = 5
    together: bool = False
    shuffle_start: bool | None = None

    def __post_init__(self) -> None:
        check_count(self, "members")
        check_call(self.guide, "guide")
        if isinstance(self.guide, Ensemble):
            raise BayescrError(
                "Ensemble guide is an Ensemble itself: expected the guide of one member; raise "
                "members instead"
            )
        if not getattr(self.guide, "is_trainable", True):
            raise BayescrError(
                f"Ensemble guide is {self.guide!r}, which is not trained: expected the guide of "
                "one member, such as MAP()"
            )

    @property
    def learning_rate_schedule(self) -> Callable[[float], float] | None:
        """The one that suits the members, if they say so."""
        return getattr(self.guide, "learning_rate_schedule", None)

    def __call__(self, model: BayesianSegmenter) -> EnsembleGuide:
        """The guide of a model.

        Raises:
            BayescrError: If the model trains something that all members would share, or members
                cannot start where they were asked to.
        """
        _check_independent(model, together=self.together)
        shuffles = self._shuffles(model)
        starts = (
            _shuffled(model) if number and shuffles else model for number in range(self.members)
        )
        members = [make_guide(self.guide, start, start.random_weights) for start in starts]
        return EnsembleGuide(members, together=self.together)

    def _shuffles(self, model: BayesianSegmenter) -> bool:
        """Whether weights of this model are put in another order."""
        centred = centred_on_start(model)
        if self.shuffle_start is None:
            stays = model.is_started or bool(centred)
            if stays and self.together and self.members > 1:
                raise BayescrError(
                    "Ensemble trains all members together, from one start: points would stay "
                    "equal; train them in turn, together=False, or choose shuffle_start"
                )
            return not stays
        if self.shuffle_start and centred:
            raise BayescrError(
                f"Ensemble shuffle_start is True but the prior of '{centred[0]}' is centred on "
                "the start, which members would leave: leave shuffle_start out"
            )
        return self.shuffle_start


class EnsembleGuide(Mixture):
    """The guides of an ensemble, and what they ask of a fit.

    Args:
        members: The guides.
        together: Whether a step trains all of them.
    """

    def __init__(self, members: list[nn.Module], *, together: bool) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.together = together
        self._has_run = False

    def forward(self, *args: object, **kwargs: object) -> Any:
        """Draw a member, at an auxiliary site, and what it draws."""
        if args and not self._has_run:  # the first batch is what lazy parameters are made by
            with poutine.block():
                for member in self.members:
                    member(*args, **kwargs)
            self._has_run = True
        return super().forward(*args, **kwargs)

    @property
    def in_turn(self) -> list[Any] | None:
        """What `fit` trains one after the other."""
        return None if self.together else list(self.members)

    @property
    def side_by_side(self) -> list[Any]:
        """Of whose bounds the mean is taken, where the bound of the ensemble is asked for."""
        return list(self.members)

    @property
    def keeps_last(self) -> bool:
        """Whether members gather what forbids going back to an earlier epoch."""
        return any(getattr(member, "keeps_last", False) for member in self.members)

    def on_step(self, **progress: Any) -> None:
        """Tell the members of a step that trained all of them."""
        for member in self.members:
            if hasattr(member, "on_step"):
                member.on_step(**progress)

    def finalize(self, model: BayesianSegmenter, train: Any, *, kl_weight: float) -> None:
        """Have each member do what it does when all steps are done."""
        for member in self.members:
            if hasattr(member, "finalize"):
                member.finalize(model, train, kl_weight=kl_weight)


def _shuffled(model: BayesianSegmenter) -> BayesianSegmenter:
    """A copy whose random weights have their numbers in another order."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for weight in model.random_weights.values():
            if weight.dim() > 1:
                order = torch.randperm(weight.numel(), device="cpu").to(weight.device)
                weight.copy_(weight.flatten()[order].reshape(weight.shape))
    return model


def _check_independent(model: BayesianSegmenter, *, together: bool) -> None:
    # A likelihood that learns is part of the one model whose bound the members share; trained in
    # turn, each member would leave it to the next one's liking.
    shared = [
        name for name in model.plain_parameters if not (together and name.startswith("likelihood."))
    ]
    if shared:
        way_out = (
            "train them side by side, Ensemble(together=True)"
            if shared[0].startswith("likelihood.")
            else f"{way_to_random(model, shared[0])}, or fit several posteriors for "
            "bayescr.evaluation.Ensemble"
        )
        raise BayescrError(
            f"'{shared[0]}' is trained but not random: all members of an Ensemble would share it; "
            f"{way_out}"
        )
    for name, layer in model.net.named_modules():
        if isinstance(layer, _NormBase) and layer.track_running_stats:
            raise BayescrError(
                f"layer '{name}' keeps running statistics, which all members of an Ensemble would "
                "share: take a network without, such as UNet(norm='layer'), or fit several "
                "posteriors for bayescr.evaluation.Ensemble"
            )
