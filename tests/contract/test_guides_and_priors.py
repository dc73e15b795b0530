"""The contract of every guide, every prior and every pair of them.

It runs over the families without naming a member: a new one is tested without being listed, and
so is a user's own, under the same contract:

    pytest tests/contract --prior my_prior.py:laplace
    pytest tests/contract --guide my_guide.py:Mine --guide mean-field
    pytest tests/contract --likelihood my_likelihood.py:Mine --schedule my_schedule.py:ramp

An option may be repeated, takes names of the family too, and replaces the family. Without any,
every guide runs with the default prior and every prior with the default guide; ``-m slow`` runs
all other pairs. What the suite cannot know is whether the formula is the one that was meant.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import re
from collections import defaultdict

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch.distributions import kl_divergence

from bayescr._random import seeded
from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO, Posterior, guides
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference.guides._dropout import ChannelDropout
from bayescr.inference.kl import moments
from bayescr.models import BayesianSegmenter, UNet

DRAWS = 300
NO_PLAIN_DENSITY = {
    "rank1": "the density of its factors is counted relative to that of their prior",
}
MAPS = ("probability", "entropy", "expected_entropy", "mutual_information", "std")


def _built(factory, model):
    torch.manual_seed(0)
    return build_guide(factory, model, in_channels=1)


def _moved(guide):
    """A guide off its start, where numbers may be zero whose gradient others need."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return guide


def _members(guide):
    """The guides that draws come from in turn."""
    return list(getattr(guide, "members", None) or [guide])


def _sites(guide, seed=0):
    """What a guide draws, by site."""
    with seeded(seed), torch.no_grad(), local_parameters():
        trace = poutine.trace(guide).get_trace()
    return {name: trace.nodes[name] for name in trace.stochastic_nodes}


# The bound.


@pytest.mark.parametrize(
    "settings", [{}, {"upsampling": "bilinear", "norm": "layer"}], ids=["plain", "with norm"]
)
def test_gradients_reach_every_parameter(pair, net, batch, settings):
    """Those of the guide, and of the network where they are not random."""
    model = pair.model(net(width=2, **settings))
    try:
        guide = _moved(_built(pair.guide, model))
    except BayescrError as error:
        if "is trained but not random" not in str(error) or not settings:
            raise
        pytest.skip("the members of an ensemble would share the norm's parameters")
    for _ in range(3):  # dropout may silence a layer for one draw
        with local_parameters():
            AnnealedELBO().loss_and_grads(model, guide, *batch, num_images=4)
    named = [*guide.named_parameters(), *model.named_parameters()]
    assert len({id(parameter) for _, parameter in named}) == len(named)
    for name, parameter in named:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_gradients_of_the_likelihood_alone_reach_every_parameter(any_guide_factory, net, batch):
    """With kl_weight 0: no parameter may be moved by its KL only."""
    model = BayesianSegmenter(net(width=2))
    guide = _moved(_built(any_guide_factory, model))
    for _ in range(5):
        with local_parameters():
            AnnealedELBO(kl_weight=0.0).loss_and_grads(model, guide, *batch)
    for name, parameter in guide.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_bound_and_gradients_are_finite_in_bfloat16(pair, net, batch):
    """The network alone computes in it, and the loss stays near: it has 8 bits, so 2^-8 a layer."""
    model = pair.model(net())
    guide = _built(pair.guide, model)
    losses = []
    for dtype in (torch.bfloat16, torch.float32):
        torch.manual_seed(1)
        with local_parameters(), model.computing_in(dtype):
            losses.append(AnnealedELBO().loss_and_grads(model, guide, *batch, num_images=4))
        for name, parameter in guide.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


class _Again(AnnealedELBO):
    """Remembers the draws that it was evaluated at, or takes those of another."""

    def __init__(self, *, draws_of=None, **settings):
        super().__init__(**settings)
        self.draws, self.given = [], draws_of and draws_of.draws

    def _get_trace(self, *args):
        self.draws.append(self.given.pop(0) if self.given else super()._get_trace(*args))
        return self.draws[-1]


def test_exact_and_sampled_kl_have_the_same_mean(small_posterior):
    """On the same draws: their difference has mean 0, within 4 of its standard errors.

    Those are sqrt(P / 2 n) = 0.24 nat for normals, P = 34 numbers and n = 300 draws. Where both
    are the same draw by draw, as for points, the tolerance is that of rounding.
    """
    model, guide = small_posterior.model, small_posterior.guide
    image = torch.zeros(1, 1, 2, 2)
    kls = []
    with local_parameters(), torch.no_grad(), seeded(0):
        for _ in range(DRAWS):
            exact = _Again()
            sampled = _Again(analytic_kl=False, draws_of=exact)
            kls.append([elbo.terms(model, guide, image, image).kl for elbo in (exact, sampled)])
            assert not exact.draws
    exact, sampled = torch.tensor(kls, dtype=torch.float64).T
    difference = exact - sampled
    tolerance = 4.0 * difference.std() / math.sqrt(DRAWS) + 1e-5 * sampled.abs().mean()
    assert difference.mean().abs() <= tolerance
    # What has an exact KL is not noisier for it, and has no noise if nothing else is drawn.
    assert exact.var() <= 1.5 * sampled.var() + (1e-5 * sampled.mean()) ** 2


def test_kl_of_normals_equals_that_of_dense_normals(small_posterior):
    """Torch's KL on whole covariances, for every factor of the guide that is normal, as its prior.

    Of an ensemble the report gives the mean over the members.
    """
    model, guide = small_posterior.model, small_posterior.guide
    reported = small_posterior.kl_report(2).set_index("site").kl
    expected = defaultdict(list)
    for member in _members(guide):
        for name, kl in _dense_kls(model, member).items():
            expected[name].append(kl)
    if not expected:
        pytest.skip("no factor is normal with a normal prior")
    for name, kls in expected.items():
        assert reported[name] == pytest.approx(np.mean(kls), rel=1e-4), name


def _dense_kls(model, guide):
    """KL by factor: of a latent drawn by itself, or of the noise that several are made of."""
    sites = _sites(guide)
    with local_parameters(), torch.no_grad():
        prior = poutine.trace(model).get_trace(torch.zeros(1, 1, 2, 2)).nodes
    noise = {
        name: site["infer"].get("pieces", [])
        for name, site in sites.items()
        if site["infer"].get("is_auxiliary")
    }
    made_of_noise = {piece for pieces in noise.values() for piece in pieces}
    alone = {name: [name] for name in model.random_weights if name not in made_of_noise}
    kls = {}
    for name, latents in {**noise, **alone}.items():
        if any(model.hyper_latents(latent) for latent in latents):
            continue  # normal given these, and only so
        normals = [_dense(site["fn"]) for site in (sites[name], *(prior[one] for one in latents))]
        if latents and None not in normals:
            q, *ps = normals
            covariance = torch.block_diag(*(p.covariance_matrix for p in ps))
            p = dist.MultivariateNormal(torch.cat([p.loc for p in ps]), covariance)
            kls[name] = kl_divergence(q, p).item()
    return kls


def _dense(q):
    """A normal over the numbers in a row, or None for what is none."""
    known = moments(q)
    if known is None:
        return None
    covariance = known.scale.flatten().double().square().diag()
    if known.factor is not None:
        covariance = covariance + known.factor.double() @ known.factor.double().T
    return dist.MultivariateNormal(known.mean.flatten().double(), covariance)


# The draws.


def test_log_density_is_that_of_the_draws(any_guide_name, small_posterior_of_guide):
    """Stein's identity, E_q[(w - c) . grad log q(w)] = -P for P numbers and any c.

    It knows nothing of how q draws. Within 4 standard errors, which for normals are sqrt(2 P / n):
    for 34 numbers and 300 draws a scale that is wrong by 3 % shows.
    """
    if any_guide_name in NO_PLAIN_DENSITY:
        pytest.skip(NO_PLAIN_DENSITY[any_guide_name])
    guide = _members(small_posterior_of_guide.guide)[0]
    drawn = []
    for seed in range(DRAWS):
        fns = [(site["fn"], site["value"]) for site in _sites(guide, seed).values()]
        drawn.append([(fn, value) for fn, value in fns if fn.has_rsample and _is_smooth(fn)])
    if not drawn[0]:
        pytest.skip("no factor has a density")
    _check_stein(drawn)


def test_log_density_of_a_prior_is_that_of_its_draws(prior, two_layers):
    """The same identity, given the latents of its own."""
    model = BayesianSegmenter(two_layers(), prior)
    drawn = []
    for seed in range(DRAWS):
        with seeded(seed), torch.no_grad(), local_parameters():
            nodes = poutine.trace(model).get_trace(torch.zeros(1, 1, 2, 2)).nodes
        drawn.append([(nodes[name]["fn"], nodes[name]["value"]) for name in model.random_weights])
    _check_stein(drawn)


def _is_smooth(fn):
    return not isinstance(fn, (dist.Delta, ChannelDropout))


def _check_stein(drawn):
    values = [torch.cat([value.flatten() for _, value in sites]) for sites in drawn]
    slopes = []
    for sites in drawn:
        leaves = [value.clone().requires_grad_() for _, value in sites]
        log_prob = sum(fn.log_prob(leaf).sum() for (fn, _), leaf in zip(sites, leaves, strict=True))
        slopes.append(torch.cat([s.flatten() for s in torch.autograd.grad(log_prob, leaves)]))
    values, slopes = torch.stack(values).double(), torch.stack(slopes).double()
    # The mean of n draws as c takes 1 / n of the product away.
    products = ((values - values.mean(0)) * slopes).sum(1) * DRAWS / (DRAWS - 1)
    error = products.std().item() / math.sqrt(DRAWS)
    assert abs(products.mean().item() + values.shape[1]) < 4.0 * error


def test_moments_are_those_of_the_draws(small_posterior_of_guide):
    """Standardised draws have mean 0; their squared length has mean P for P numbers.

    Within 5 standard errors for each of the means, of which there are 34, and 4 for the one
    length of each factor: sqrt(2 P / n).
    """
    guide = _members(small_posterior_of_guide.guide)[0]
    draws = defaultdict(list)
    for seed in range(DRAWS):
        for name, site in _sites(guide, seed).items():
            normal = _dense(site["fn"])
            if normal is not None:
                difference = site["value"].flatten().double() - normal.loc
                draws[name].append((normal, difference))
    draws = {name: drawn for name, drawn in draws.items() if drawn[0][0].scale_tril.any()}
    if not draws:
        pytest.skip("no factor is normal")
    for name, drawn in draws.items():
        normal = drawn[0][0]
        differences = torch.stack([difference for _, difference in drawn])
        assert (differences.mean(0) / normal.stddev).abs().max() < 5.0 / math.sqrt(DRAWS), name
        whitened = torch.linalg.solve_triangular(normal.scale_tril, differences.T, upper=False)
        length, numbers = whitened.square().sum(0).mean().item(), len(normal.loc)
        assert abs(length - numbers) < 4.0 * math.sqrt(2.0 * numbers / DRAWS), name


def test_sites_are_parameter_paths_with_the_shapes_of_the_weights(pair, net):
    """And the latents of the prior's own, named after their weight without another dot."""
    model = pair.model(net())
    latents, _ = draw_latents(_built(pair.guide, model))
    own = [name for weight in model.random_weights for name in model.hyper_latents(weight)]
    shapes = {name: value.shape for name, value in latents.items() if name not in own}
    assert set(latents) == {*shapes, *own}
    assert shapes == {
        name: weight.shape for name, weight in net().named_parameters() if name in shapes
    }
    assert set(shapes) == set(model.random_weights)
    for name in own:
        weight = next(weight for weight in model.random_weights if name.startswith(weight))
        assert "." not in name.removeprefix(weight)
    assert all(value.dtype == torch.float32 for value in latents.values())
    assert all(value.isfinite().all() for value in latents.values())


def test_only_points_are_points(small_posterior_of_guide):
    """A posterior says that it is points if and only if the draws of each member are equal."""
    posterior = small_posterior_of_guide
    members = _members(posterior.guide)
    draws = [[_values(member, seed) for seed in range(3)] for member in members]
    are_points = all(torch.equal(one, some[0]) for some in draws for one in some[1:])
    assert posterior.num_points == (len(members) if are_points else None)


def _values(guide, seed):
    with seeded(seed):
        return torch.cat([value.flatten() for value in draw_latents(guide)[0].values()])


# The guide as a module.


def test_guides_start_at_the_weights_of_the_model(any_guide_factory, net):
    """The centre of the guide, to float32: a MAP fit's weights are a fit's start.

    A mixture has no centre; of its members the first starts there.
    """
    model = BayesianSegmenter(net())
    guide = _members(_built(any_guide_factory, model))[0]
    with local_parameters():
        median = guide.median()
    assert median.keys() == model.random_weights.keys()
    for name, weight in model.random_weights.items():
        torch.testing.assert_close(median[name], weight)


def test_state_dict_round_trip(any_guide_factory, net):
    trained = _moved(_built(any_guide_factory, BayesianSegmenter(net())))
    torch.manual_seed(5)
    fresh = build_guide(any_guide_factory, BayesianSegmenter(UNet(width=1, depth=2)), in_channels=1)
    fresh.load_state_dict(trained.state_dict())
    for one, other in zip(_members(trained), _members(fresh), strict=True):
        assert torch.equal(_values(one, 3), _values(other, 3))


def test_building_a_guide_leaves_the_model_as_it_was(any_guide_factory, net):
    """Autoguides run the model on draws from the prior: its statistics must not see them."""
    model = BayesianSegmenter(net(norm="batch")).train()
    before = copy.deepcopy(model.state_dict())
    with contextlib.suppress(BayescrError):  # of members that would share the statistics
        _built(any_guide_factory, model)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_guides_of_two_models_share_no_tensor(any_guide_factory, net):
    guides_ = [_built(any_guide_factory, BayesianSegmenter(net())) for _ in range(2)]
    pointers = [
        {tensor.data_ptr() for tensor in guide.state_dict().values() if tensor.numel()}
        for guide in guides_
    ]
    assert not pointers[0] & pointers[1]


def test_reprs_of_guides_make_them_again(guide_factory, net):
    if not dataclasses.is_dataclass(guide_factory):
        pytest.skip("a plain function")
    if isinstance(guide_factory, tuple(guides.FAMILY.values())):
        assert eval(repr(guide_factory), vars(guides)) == guide_factory  # noqa: S307
    with pytest.raises(dataclasses.FrozenInstanceError):
        guide_factory.nonsense = 1
    assert re.match(r"\w+\(", repr(_built(guide_factory, BayesianSegmenter(net()))))


def test_what_has_no_maximum_is_refused_to_points(families, two_layers):
    """A prior whose density grows without bound, and a guide that is points where it does."""
    refused = [
        (prior, guide)
        for prior in families.members["prior"] for guide in families.guides
        if families.is_refused(prior, guide)
    ]  # fmt: skip
    if not refused:
        pytest.skip("no prior here is unbounded, or no guide has points")
    for prior, guide in refused:
        model = BayesianSegmenter(two_layers(), families.members["prior"][prior])
        with pytest.raises(
            BayescrError, match=r"has no maximum.*such as MeanField\(\), or another"
        ):
            _built(families.guides[guide], model)


# A fit and what comes of it.


def test_a_saved_fit_predicts_the_same_bits(pair, posterior, families, frames, tmp_path):
    path = posterior.save(tmp_path)
    own = {
        kind: getattr(pair, kind)
        for kind in ("prior", "guide")
        if families.is_own(kind, getattr(pair, f"{kind}_name"))
    }
    loaded = Posterior.load(path, **own)
    before, after = (one.predict(frames[0][0], num_samples=3) for one in (posterior, loaded))
    for name in MAPS:
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    assert loaded.guide_factory == pair.guide or not dataclasses.is_dataclass(pair.guide)
    assert loaded.model.prior == pair.prior or not dataclasses.is_dataclass(pair.prior)


def test_the_same_seed_gives_the_same_bytes_and_another_others(pair, fitted, frames):
    # Another seed has to give the two images in another order, too: 2 does, and 1 does not.
    first, again, other = fitted(pair), fitted.__wrapped__(pair), fitted(pair, seed=2)
    state, same, different = (one.guide.state_dict() for one in (first, again, other))
    assert all(torch.equal(state[name], same[name]) for name in state)
    maps = [one.predict(frames[0][0], num_samples=3).probability for one in (first, again)]
    assert np.array_equal(*maps)
    if first.is_deterministic:
        return
    assert any(not torch.equal(state[name], different[name]) for name in state)
    if first.num_points is None:  # of M points the first M draws are each of them
        another = first.predict(frames[0][0], num_samples=3, seed=1).probability
        assert not np.array_equal(another, maps[0])


def test_maps_are_those_of_the_draws(posterior, frames):
    """By hand from the logits of the same draws; sums in float32 are good to 1e-5."""
    frame = frames[0][0]
    prediction = posterior.predict(frame, num_samples=4, precision="float32")
    image = torch.from_numpy(posterior.scaling.on(frame)[:, :][0])
    logits = torch.stack(list(posterior.logits(image, num_samples=4))).double()[:, 0]
    p = logits.sigmoid()
    entropy = dist.Bernoulli(p.mean(0)).entropy()
    expected = dist.Bernoulli(logits=logits).entropy().mean(0)
    close = {"rtol": 0.0, "atol": 1e-5}
    np.testing.assert_allclose(prediction.probability, p.mean(0), **close)
    np.testing.assert_allclose(prediction.entropy, entropy, **close)
    np.testing.assert_allclose(prediction.expected_entropy, expected, **close)
    np.testing.assert_allclose(prediction.mutual_information, entropy - expected, **close)
    assert prediction.probability.min() >= 0.0
    assert prediction.probability.max() <= 1.0
    assert prediction.mutual_information.min() >= 0.0
    if posterior.is_deterministic:
        assert prediction.mutual_information.max() <= 1e-6
    else:
        assert prediction.mutual_information.max() > 0.0


def test_tiles_change_nothing(posterior, frames):
    """One draw of the weights serves the whole frame: 1e-5 in float32."""
    whole, tiled = (
        posterior.predict(frames[0][0], num_samples=2, tile=tile, precision="float32")
        for tile in (None, 16)
    )
    for name in MAPS:
        np.testing.assert_allclose(
            getattr(tiled, name), getattr(whole, name), rtol=0.0, atol=1e-5, err_msg=name
        )


def test_the_report_of_the_kl_makes_sense(posterior):
    """No KL is negative, but for 5 standard errors of an estimate from 16 draws."""
    report = posterior.kl_report(16).set_index("site")
    assert report.bound_term.map(math.isfinite).all()
    kl = report[report.within == ""]
    assert (kl.kl + 5.0 * kl.kl_error > -1e-3).all()
    assert report.prior_scale.drop("total").dropna().gt(0).all()
    assert report.fallen_back.dropna().between(0, report.numbers[report.fallen_back.notna()]).all()
