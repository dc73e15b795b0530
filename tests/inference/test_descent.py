"""Adam's steps: which parameters move, and by how much.

The first step of Adam is lr * g / (|g| + 1e-8): each number moves by the learning rate, whatever
its gradient g, times the factor of its parameter; to 1e-3 of that where |g| > 1e-5.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bayescr.errors import BayescrError
from bayescr.inference import annealing, fit, guides
from bayescr.models import BayesianSegmenter, UNet, likelihoods

RATE = 1e-3


def _one_step(model, guide, train):
    return fit(
        model, guide, train, epochs=1, batch_size=len(train), learning_rate=RATE,
        learning_rate_schedule=annealing.constant(), kl_schedule=annealing.constant(),
        clip_norm=None, precision="float32",
    )  # fmt: skip


class Offset(nn.Module):
    """Bernoulli labels whose logits are shifted by two numbers, one of them in a hurry."""

    learning_rate_factors = {"fast": 7.0}

    def __init__(self):
        super().__init__()
        self.slow = nn.Parameter(torch.zeros(()))
        self.fast = nn.Parameter(torch.zeros(()))

    def forward(self, logits, target=None, valid=None):
        return likelihoods.Bernoulli()(logits + self.slow + self.fast, target, valid)


def _model(likelihood=None):
    torch.manual_seed(0)
    return BayesianSegmenter(UNet(width=1, depth=1), likelihood=likelihood)


def test_a_likelihood_moves_its_parameters_faster_if_it_says_so(datasets):
    """Though `fit` trains a copy of it."""
    likelihood = Offset()
    found = _one_step(_model(likelihood), guides.MAP(), datasets[0]).model.likelihood
    assert abs(found.slow.item()) == pytest.approx(RATE, rel=1e-3)
    assert abs(found.fast.item()) == pytest.approx(7.0 * RATE, rel=1e-3)
    assert likelihood.fast.item() == 0.0


def test_learnt_label_rates_have_further_to_go(datasets):
    likelihood = likelihoods.NoisyLabelBernoulli(learn=True)
    before = likelihood.logit_rates.detach().clone()
    found = _one_step(_model(likelihood), guides.MAP(), datasets[0]).model.likelihood
    moved = (found.logit_rates.detach() - before).abs()
    torch.testing.assert_close(moved, torch.full((2,), 10.0 * RATE), rtol=2e-3, atol=0.0)


@pytest.mark.parametrize(
    ("guide", "leaf"),
    [
        (guides.MeanField(), "log_scale"), (guides.Radial(), "log_scale"),
        (guides.LowRank(), "log_scale"), (guides.LowRank(across_layers=True), "log_scale"),
        (guides.FullRank(on="*"), "log_scale"), (guides.Flow(), "log_scale"),
        (guides.Rank1(), "factor_log_scale"), (guides.ConcreteDropout(), "logit_p"),
        (guides.Ensemble(guide=guides.MeanField(), members=2, together=True), "log_scale"),
        (guides.Partial(guide=guides.MeanField()), "log_scale"),
    ],
)  # fmt: skip
def test_the_logs_of_scales_move_five_times_as_far(guide, leaf, datasets):
    """The largest step of any number; that of all others, points and centres, is the rate."""
    starts = {}

    def noting(model):
        built = guide(model)
        starts.update((name, value.detach().clone()) for name, value in built.named_parameters())
        return built

    found = _one_step(_model(), noting, datasets[0]).guide
    largest = {True: 0.0, False: 0.0}
    for name, value in found.named_parameters():
        step = (value - starts[name]).abs().max().item()
        is_scale = name.rpartition(".")[2] == leaf
        largest[is_scale] = max(largest[is_scale], step)
    assert largest[True] == pytest.approx(5.0 * RATE, rel=2e-3)
    assert largest[False] == pytest.approx(RATE, rel=2e-3)


def test_a_factor_of_no_parameter_is_refused(datasets):
    class Misspelt(Offset):
        learning_rate_factors = {"fats": 7.0}

    with pytest.raises(
        BayescrError, match="'model.likelihood', a Misspelt, names 'fats': expected .* slow, fast"
    ):
        _one_step(_model(Misspelt()), guides.MAP(), datasets[0])


def test_a_parameter_that_is_not_there_this_time_needs_no_factor(datasets):
    """Rates that are not learnt, scales of latents that are points."""
    _one_step(_model(likelihoods.NoisyLabelBernoulli()), guides.MAP(), datasets[0])
