"""How many draws: unbiased, and as exact as was asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bayescr.errors import BayescrError
from bayescr.inference import RunningPrediction
from bayescr.inference.estimators import Fixed, ToTolerance


class Toy:
    """Pixels whose logits are a + b z + c z^2 of standard normal numbers, in balanced groups.

    One number serves all pixels, or each pixel has its own.
    """

    def __init__(self, seed, *, group, a, b, c, own=False):
        self.rng = np.random.default_rng(seed)
        self.group, self.a, self.b, self.c = group, a, b, c
        self.size = len(a) if own else 1
        self.noise = {}
        self.asked = []

    def __call__(self, index):
        self.asked.append(index)
        number, member = divmod(index, self.group)
        if number not in self.noise:
            e = torch.from_numpy(self.rng.normal(size=(self.group, self.size)))
            self.noise[number] = (e - e.mean(0)) * math.sqrt(self.group / (self.group - 1))
        z = self.noise[number][member]
        return (self.a + self.b * z + self.c * z**2).reshape(1, 1, 1, -1)


def _pixels(kind, count=16):
    rng = np.random.default_rng(1)
    a = torch.from_numpy(rng.normal(-1.0, 2.0, count))
    slope, bend = {"odd": (1.0, 0.0), "even": (0.0, 1.0), "both": (1.5, 0.7)}[kind]
    return {
        "a": a,
        "b": slope * torch.from_numpy(rng.normal(size=count)),
        "c": bend * torch.from_numpy(rng.normal(size=count)),
    }


def _exact(a, b, c):
    """E[sigmoid(a + b z + c z^2)] by quadrature, good to 1e-7 at 120 nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    z = torch.from_numpy(nodes)
    logits = a + b * z[:, None] + c * z[:, None] ** 2
    return (torch.from_numpy(weights / weights.sum())[:, None] * torch.sigmoid(logits)).sum(0)


def _errors(estimator, kind, repetitions, *, count=16, own=False):
    """Errors of the probability, (repetitions, pixels), and the draws that were made."""
    pixels = _pixels(kind, count)
    exact, errors, made = _exact(**pixels), [], []
    for seed in range(repetitions):
        toy = Toy(seed, group=estimator.group, own=own, **pixels)
        running = estimator(toy)
        assert len(toy.asked) == len(set(toy.asked)) == running.num_samples
        errors.append(running.maps()["probability"].flatten() - exact)
        made.append(running.num_samples)
    return torch.stack(errors), np.array(made)


def _assert_unbiased(errors):
    """Within 4.5 standard errors in each of 16 pixels: a false alarm once in 10 000 runs."""
    standard_error = errors.std(0) / math.sqrt(len(errors))
    assert (errors.mean(0).abs() < 4.5 * standard_error + 1e-6).all()


@pytest.mark.parametrize("kind", ["odd", "even", "both"])
@pytest.mark.parametrize("estimator", [Fixed(5), ToTolerance(0.05)], ids=["fixed", "tolerance"])
def test_the_mean_is_unbiased(estimator, kind):
    errors, made = _errors(estimator, kind, 1500)
    _assert_unbiased(errors)
    if isinstance(estimator, ToTolerance):
        assert made.min() >= 6
        assert made.std() > 2  # the numbers of draws really depend on the draws


def test_stopping_on_ones_own_draws_would_be_biased():
    """The test above can fail: let each half decide for itself."""

    class Naive(ToTolerance):
        def __call__(self, run):
            halves = RunningPrediction(), RunningPrediction()
            for half in (0, 1):
                self._add(halves[half], run, half)
                for number in range(1, self._groups_needed(halves[half])):
                    self._add(halves[half], run, 2 * number + half)
            return halves[0].merge(halves[1])

    errors, _ = _errors(Naive(0.05), "both", 1500)
    with pytest.raises(AssertionError):
        _assert_unbiased(errors)


@pytest.mark.parametrize("kind", ["odd", "even", "both"])
@pytest.mark.parametrize("tolerance", [0.02, 0.04])
def test_the_error_is_within_the_tolerance(kind, tolerance):
    """In the root of the mean square, even for even functions, the worst case of the bound.

    Each pixel has its own noise, so that three draws tell the variance of the 400 pixels well. With
    the pilot alone the error would exceed the tolerance wherever it is not linear.
    """
    errors, made = _errors(ToTolerance(tolerance), kind, 60, count=400, own=True)
    assert errors.square().mean().sqrt() <= tolerance
    assert made.mean() > 12
    pilot, _ = _errors(ToTolerance(0.9), kind, 60, count=400, own=True)
    assert kind == "odd" or pilot.square().mean().sqrt() > 1.2 * tolerance


@pytest.mark.parametrize("kind", ["odd", "even", "both"])
def test_where_all_pixels_move_together_three_draws_may_mistake_the_variance(kind):
    """As the module says: by two or three times, and not at all where the mean is linear."""
    errors, _ = _errors(ToTolerance(0.03), kind, 400)
    assert errors.square().mean().sqrt() <= {"odd": 1, "even": 3, "both": 2}[kind] * 0.03


def test_harder_pixels_get_more_draws():
    few, many = (_errors(ToTolerance(t), "both", 50)[1].mean() for t in (0.1, 0.02))
    assert many > 3 * few


def test_fixed_is_the_plain_mean():
    pixels = _pixels("both")
    toy = Toy(0, group=4, **pixels)
    running = Fixed(6)(toy)
    assert toy.asked == list(range(6))
    p = torch.stack([torch.sigmoid(toy(index)) for index in range(6)])
    torch.testing.assert_close(running.maps()["probability"], p.mean(0))
    torch.testing.assert_close(running.maps()["std"], p.std(0, unbiased=False))


def test_the_most_draws_are_made_known():
    class Coin:
        def __call__(self, index):
            return torch.full((1, 1, 2, 2), 30.0 if index % 2 else -30.0)

    with pytest.warns(
        UserWarning, match="tolerance=0.0001 asks for more than 2000 draws somewhere"
    ):
        running = ToTolerance(1e-4)(Coin())
    assert 2000 <= running.num_samples <= 2004


@pytest.mark.parametrize("tolerance", [0.0, -0.1, 1.0, math.nan])
def test_impossible_tolerances_are_refused(tolerance):
    with pytest.raises(BayescrError, match=r"tolerance is .*expected an error of a probability"):
        ToTolerance(tolerance)


def test_merging_gives_each_half_half_the_weight():
    logits = torch.randn(7, 2, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    halves = RunningPrediction(), RunningPrediction()
    for index, one in enumerate(logits):
        halves[index >= 2].add(one)
    merged = halves[0].merge(halves[1])
    weights = torch.tensor([1 / 4] * 2 + [1 / 10] * 5).double()[:, None, None, None]
    p = torch.sigmoid(logits)
    mean = (weights * p).sum(0)
    entropy = -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))
    maps = merged.maps()
    assert merged.num_samples == 7
    torch.testing.assert_close(maps["probability"], mean)
    torch.testing.assert_close(maps["logit"], torch.logit(mean))
    torch.testing.assert_close(maps["expected_entropy"], (weights * entropy).sum(0))
    torch.testing.assert_close(maps["std"], (weights * (p - mean) ** 2).sum(0).sqrt())
