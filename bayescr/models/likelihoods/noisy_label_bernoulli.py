"""Labels that are wrong now and then: the truth is hidden, and a label reports it with errors."""

from __future__ import annotations

import math
from typing import Any

import pyro.distributions as dist
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from bayescr._checks import is_number
from bayescr.errors import BayescrError
from bayescr.models.likelihoods._pixels import counted, observe

__all__ = ["NoisyLabelBernoulli"]


class NoisyLabelBernoulli(nn.Module):
    """A hidden truth t_ij ~ Bernoulli(sigmoid(l_ij)), of which each label is an imperfect report.

        p(y = 0 | t = 1) = missed        p(y = 1 | t = 0) = false_alarm

        p(y = 1 | l) = (1 - missed) sigmoid(l) + false_alarm sigmoid(-l)

    ``Posterior.predict`` gives the probability of the truth, sigmoid(l), not that of the label:
    where labels are known to lack cosmic rays, it finds more of them than are labelled. Scores
    against labels that err likewise do not reward that.

    With ``learn`` the two rates are parameters, the same for all classes, that are maximised
    together with the rest; those given are where they start. They stay between 0 and 0.5, so that
    truth and label cannot swap. What tells them apart from the doubt of the network are pixels
    that it is sure of: faint hits that nobody can see are not found missing.

    Attributes:
        missed: Share of true pixels that the label lacks, from 0 to below 0.5.
        false_alarm: Share of the other pixels that are labelled, from 0 to below 0.5; as most
            pixels are sky, a small one makes many.
        learn: Whether the rates are learnt; they then start above 0.
        config: The three, as a saved file keeps them.

    References:
        Patrini et al., "Making Deep Neural Networks Robust to Label Noise: A Loss Correction
        Approach", arXiv:1609.03683 (its forward correction, with known rates).
        Sukhbaatar et al., "Training Convolutional Networks with Noisy Labels", arXiv:1406.2080
        (rates learnt with the network).
    """

    learning_rate_factors = {"logit_rates": 10.0}  # they have further to go than weights

    def __init__(
        self, *, missed: float = 0.05, false_alarm: float = 0.001, learn: bool = False
    ) -> None:
        super().__init__()
        for name, rate in (("missed", missed), ("false_alarm", false_alarm)):
            if not (is_number(rate) and 0.0 <= rate < 0.5) or (learn and rate == 0.0):
                lowest = "above 0 where it is learnt" if learn else "from 0 up"
                raise BayescrError(
                    f"NoisyLabelBernoulli {name} is {rate!r}: expected a share below 0.5, {lowest}"
                )
        self.missed, self.false_alarm, self.learn = missed, false_alarm, learn
        self.logit_rates: nn.Parameter | None = None
        if learn:  # rates = sigmoid(logit_rates) / 2
            self.logit_rates = nn.Parameter(torch.tensor([missed, false_alarm]).mul(2.0).logit())

    @property
    def config(self) -> dict[str, Any]:
        """The settings it was made with."""
        return {"missed": self.missed, "false_alarm": self.false_alarm, "learn": self.learn}

    @property
    def rates(self) -> tuple[float, float]:
        """Shares missed and falsely labelled as they are now: with ``learn``, as learnt."""
        if self.logit_rates is None:
            return self.missed, self.false_alarm
        missed, false_alarm = _learnt(self.logit_rates).detach().tolist()
        return missed, false_alarm

    @property
    def note(self) -> str:
        """What a report says of a posterior trained with it."""
        missed, false_alarm = self.rates
        if missed == false_alarm == 0.0:
            return ""
        return (
            f"labels held to lack {100 * missed:.3g}% of the true pixels and to flag "
            f"{100 * false_alarm:.3g}% of the others{', as learnt' * self.learn}: its "
            "probabilities are of the truth, and scored against the labels as they are"
        )

    def implied_rate(self, labelled: Float[Tensor, " K"]) -> Float[Tensor, " K"]:
        """Share of positive truths behind such a share of positive labels.

        Not above 0 for fewer labels than false alarms alone would give.
        """
        missed, false_alarm = self.rates
        return (labelled - false_alarm) / (1.0 - missed - false_alarm)

    def extra_repr(self) -> str:
        """The settings: its repr makes it again."""
        return ", ".join(f"{name}={value!r}" for name, value in self.config.items())

    def forward(
        self,
        logits: Float[Tensor, "B K H W"],
        target: Float[Tensor, "B K H W"] | None = None,
        valid: Bool[Tensor, "B 1 H W"] | None = None,
    ) -> Tensor:
        """Observe the labels ``target`` at the valid pixels, or sample them where it is None."""
        labelled, unlabelled = self._log_probs(logits)
        return observe(dist.Bernoulli(logits=labelled - unlabelled), target, valid)

    def curvature(
        self,
        logits: Float[Tensor, "B K H W"],
        target: Float[Tensor, "B K H W"],
        valid: Bool[Tensor, "B 1 H W"] | None = None,
    ) -> Float[Tensor, "B K H W"]:
        """The expected Fisher information in the logit; 0 at invalid pixels.

            E_y[(d log p(y | l) / dl)^2] = (dp/dl)^2 / (p (1 - p)),      p = p(y = 1 | l)

        Never negative and the same whatever the label, which minus the second derivative of
        log p is not: a label that contradicts a sure network bends log p the other way.
        """
        labelled, unlabelled = self._log_probs(logits)
        missed, false_alarm = self.rates
        slope = math.log1p(-missed - false_alarm) + logsigmoid(logits) + logsigmoid(-logits)
        return counted(torch.exp(2.0 * slope - labelled - unlabelled), valid)

    def _log_probs(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Log p(y | l) of a label 1 and of a label 0, exact far out on either side.

        Their difference is the logit of the label.
        """
        missed, seen, alarm, clear = self._log_rates()
        is_hit, is_sky = logsigmoid(logits), logsigmoid(-logits)
        labelled, unlabelled = seen + is_hit, clear + is_sky
        # A rate of 0 adds nothing; its log, -inf, would make second derivatives NaN.
        if alarm is not None:
            labelled = torch.logaddexp(labelled, alarm + is_sky)
        if missed is not None:
            unlabelled = torch.logaddexp(unlabelled, missed + is_hit)
        return labelled, unlabelled

    def _log_rates(self) -> tuple[Any, Any, Any, Any]:
        """Log p(y | t) of: missed, seen, falsely labelled, rightly not labelled; None for log 0."""
        if self.logit_rates is not None:
            rates = _learnt(self.logit_rates)
            (missed, alarm), (seen, clear) = rates.log(), torch.log1p(-rates)
            return missed, seen, alarm, clear
        missed, alarm = (math.log(r) if r else None for r in (self.missed, self.false_alarm))
        return missed, math.log1p(-self.missed), alarm, math.log1p(-self.false_alarm)


def _learnt(logit_rates: Tensor) -> Tensor:
    return 0.5 * torch.sigmoid(logit_rates)
