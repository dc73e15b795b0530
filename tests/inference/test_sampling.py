"""Balanced draws: each one from the guide, together closer to its mean."""

from __future__ import annotations

import functools

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import autoguide
from scipy import stats

from bayescr.errors import BayescrError
from bayescr.inference import guides
from bayescr.inference._pyro import build_guide, local_parameters
from bayescr.inference.sampling import GROUP, SAMPLINGS, Draws, _Balanced, draw, num_points

CPU = torch.device("cpu")


def _draws(guide, count, **settings):
    return [draw(guide, index, seed=3, device=CPU, **settings) for index in range(count)]


def _noise(count, *, size=200, **settings):
    """Standard normal noise of a guide that is nothing else, (count, size)."""

    def guide():
        pyro.sample("z", dist.Normal(torch.zeros(size), 1.0).to_event(1))

    return torch.stack([drawn["z"] for drawn in _draws(guide, count, **settings)])


@pytest.mark.parametrize("group", [2, 3, 4, 7])
def test_a_group_sums_to_zero_and_each_draw_is_standard_normal(group):
    z = _noise(6 * group, group=group)
    assert z.reshape(6, group, -1).sum(1).abs().max() < 1e-5
    for one in z:  # 200 numbers each: a p-value below 1e-4 in so few tests is no accident
        assert stats.kstest(one.numpy(), "norm").pvalue > 1e-4
    correlation = torch.corrcoef(z)
    within = correlation[:group, :group][~torch.eye(group, dtype=bool)]
    # The correlation of two rows of 200 is known to 0.07; between groups it is zero.
    assert (within + 1 / (group - 1)).abs().max() < 0.35
    assert correlation[:group, group : 2 * group].abs().max() < 0.35


def test_the_variance_of_a_mean_is_that_of_the_formula():
    """Degree d of Hermite: (1 + 3 (-1/3)^d) / 4 of the variance, for groups of four."""
    z = _noise(GROUP, size=200_000).double()
    for degree, hermite in {1: z, 2: z**2 - 1, 3: z**3 - 3 * z}.items():
        of_one, of_mean = hermite.square().mean(), hermite.mean(0).square().mean()
        assert abs(hermite.mean()) < 5 * (of_mean / 200_000) ** 0.5 + 1e-6  # unbiased
        expected = (1 + 3 * (-1 / 3) ** degree) / 4
        # Sums of 2e5 squares of heavy-tailed polynomials: 2%, at degree 3 5%.
        assert of_mean / of_one == pytest.approx(expected, rel=0.05, abs=1e-6), degree


def test_independent_draws_are_independent():
    z = _noise(8, size=20_000, sampling="independent")
    assert torch.corrcoef(z)[~torch.eye(8, dtype=bool)].abs().max() < 5 / 20_000**0.5


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_draw_depends_on_its_number_and_the_seed_alone(sampling, small_model):
    guide = build_guide(guides.MeanField(), small_model(), in_channels=1)
    before = torch.get_rng_state()
    forward = _draws(guide, 6, sampling=sampling)
    backward = [draw(guide, k, seed=3, device=CPU, sampling=sampling) for k in reversed(range(6))]
    for a, b in zip(forward, reversed(backward), strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    noise = {}
    for number in (0, 5, 1, 2, 0):  # whatever was kept of other members and groups
        kept = draw(guide, number, seed=3, device=CPU, sampling=sampling, noise=noise)
        assert all(torch.equal(kept[name], value) for name, value in forward[number].items())
    assert {key[0] for key in noise} <= {(3, 0)}  # that of one group at a time
    other = draw(guide, 0, seed=4, device=CPU, sampling=sampling)
    assert not torch.equal(other["head.weight"], forward[0]["head.weight"])
    assert torch.equal(torch.get_rng_state(), before)


GAUSSIAN = {
    "MAP": guides.MAP(),
    "MeanField": guides.MeanField(),
    "LowRank": guides.LowRank(),
    "AutoDelta": autoguide.AutoDelta,
    "AutoNormal": autoguide.AutoNormal,
    "AutoDiagonalNormal": autoguide.AutoDiagonalNormal,
    "AutoLowRank": functools.partial(autoguide.AutoLowRankMultivariateNormal, rank=2),
}


@pytest.mark.parametrize("name", GAUSSIAN)
def test_groups_of_a_gaussian_guide_centre_on_it(name, small_model):
    guide = build_guide(GAUSSIAN[name], small_model(), in_channels=1)
    drawn = _draws(guide, GROUP)
    with local_parameters():
        centre = guide.median()
    for site, value in centre.items():
        mean = torch.stack([one[site] for one in drawn]).mean(0)
        torch.testing.assert_close(mean, value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.95])
def test_masks_are_spread_evenly_over_a_group(keep):
    def guide():
        pyro.sample("mask", dist.Bernoulli(torch.full((4000,), keep)).to_event(1))

    masks = torch.stack([drawn["mask"] for drawn in _draws(guide, GROUP)])
    # Of g equidistant points, as many lie below ``keep`` as of a ruler: g keep, up or down.
    assert set(masks.sum(0).tolist()) <= {int(GROUP * keep), int(GROUP * keep) + 1}
    # Each mask on its own is an ordinary one, to five standard deviations.
    assert (masks.mean(1) - keep).abs().max() < 5 * (keep * (1 - keep) / 4000) ** 0.5


def test_other_noise_stays_independent():
    def guide():
        pyro.sample("rate", dist.Exponential(torch.ones(5000)).to_event(1))

    rates = torch.stack([drawn["rate"] for drawn in _draws(guide, GROUP)])
    assert torch.corrcoef(rates)[~torch.eye(GROUP, dtype=bool)].abs().max() < 5 / 5000**0.5


NORMAL = {
    "normal": lambda: torch.normal(torch.full((500,), 2.0), 3.0),
    "normal tensors": lambda: torch.normal(torch.full((500,), 2.0), torch.full((500,), 3.0)),
    "normal numbers": lambda: torch.normal(2.0, 3.0, (500,)),
    "normal names": lambda: torch.normal(mean=torch.full((500,), 2.0), std=3.0),
    "normal_": lambda: torch.empty(500).normal_(2.0, 3.0),
    "normal_ names": lambda: torch.empty(500).normal_(mean=2.0, std=3.0),
    "randn": lambda: 2.0 + 3.0 * torch.randn(500),
    "randn_like": lambda: 2.0 + 3.0 * torch.randn_like(torch.empty(500)),
}
UNIFORM = {
    "rand": lambda: torch.rand(500),
    "rand_like": lambda: torch.rand_like(torch.empty(500)),
    "uniform_": lambda: torch.empty(500).uniform_(),
    "uniform_ bounds": lambda: (torch.empty(500).uniform_(-2.0, 4.0) + 2.0) / 6.0,
    "uniform_ names": lambda: (torch.empty(500).uniform_(to=4.0)) / 4.0,
}
MASK = {
    "bernoulli": lambda: torch.bernoulli(torch.full((500,), 0.5)),
    "bernoulli p": lambda: torch.bernoulli(torch.empty(500), 0.5),
    "bernoulli name": lambda: torch.bernoulli(input=torch.full((500,), 0.5)),
    "method": lambda: torch.full((500,), 0.5).bernoulli(),
    "bernoulli_": lambda: torch.empty(500).bernoulli_(),
    "bernoulli_ p": lambda: torch.empty(500).bernoulli_(0.5),
    "bernoulli_ name": lambda: torch.empty(500).bernoulli_(p=0.5),
    "bernoulli_ tensor": lambda: torch.empty(500).bernoulli_(torch.full((500,), 0.5)),
}


def _members(noise):
    values = []
    for member in range(4):
        with _Balanced((8,), member, 4, {}):
            values.append(noise())
    return torch.stack(values)


@pytest.mark.parametrize("name", NORMAL)
def test_every_way_to_ask_for_normal_noise(name):
    values = _members(NORMAL[name])
    torch.testing.assert_close(values.mean(0), torch.full((500,), 2.0))
    assert values.std() == pytest.approx(3.0, rel=0.1)  # of 2000 numbers: 2%


@pytest.mark.parametrize("name", UNIFORM)
def test_every_way_to_ask_for_uniform_noise(name):
    values = _members(UNIFORM[name]).sort(0).values
    assert 0.0 <= values.min() <= values.max() <= 1.0
    torch.testing.assert_close(values.diff(dim=0), torch.full((3, 500), 0.25))


def test_masks_have_their_own_rate():
    for noise in (
        lambda: torch.bernoulli(torch.full((500,), 0.9)),
        lambda: torch.bernoulli(input=torch.full((500,), 0.9)),
        lambda: torch.full((500,), 0.9).bernoulli(),
        lambda: torch.empty(500).bernoulli_(0.9),
    ):
        assert set(_members(noise).sum(0).tolist()) == {3.0, 4.0}


@pytest.mark.parametrize("name", MASK)
def test_every_way_to_ask_for_a_mask(name):
    assert (_members(MASK[name]).sum(0) == 2).all()


def test_a_generator_of_ones_own_is_left_alone():
    with _Balanced((8,), 1, 4, {}):
        mine = torch.randn(5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(mine, torch.randn(5, generator=torch.Generator().manual_seed(1)))


def test_an_unknown_sampling_is_refused():
    with pytest.raises(BayescrError, match="antithetic"):
        _noise(1, sampling="antithetical")


def test_draws_are_kept_while_they_fit():
    made = []

    def make(index):
        made.append(index)
        return {"w": torch.full((10,), float(index))}

    draws = Draws(make, budget=2 * 40)
    for index in (0, 1, 2, 0, 1, 2, 2):
        assert draws[index]["w"][0] == index
    assert made == [0, 1, 2, 2, 2]  # the third does not fit and is made anew


def test_members_take_turns_and_points_are_counted(small_model):
    """Draw k is draw k // M of member k % M, with a seed of its own."""

    class Mixed:
        def __init__(self, *factories):
            self.members = [
                build_guide(factory, small_model(), in_channels=1) for factory in factories
            ]

    mixed = Mixed(guides.MAP(), guides.MeanField(), guides.MeanField())
    drawn = _draws(mixed, 9)
    assert _equal(drawn[0], drawn[3])
    assert _equal(drawn[0], drawn[6])
    assert not _equal(drawn[1], drawn[2])  # the same member, but another's noise
    assert not _equal(drawn[1], drawn[4])
    noise = {}
    kept = [draw(mixed, k, seed=3, device=CPU, noise=noise) for k in (8, 1, 5, 0)]
    assert all(_equal(a, drawn[k]) for a, k in zip(kept, (8, 1, 5, 0), strict=True))
    assert num_points(mixed, device=CPU) is None
    assert num_points(Mixed(guides.MAP(), guides.MAP()), device=CPU) == 2
    assert num_points(mixed.members[0], device=CPU) == 1
    assert num_points(mixed.members[1], device=CPU) is None


def _equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
