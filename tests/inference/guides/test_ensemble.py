"""Ensembles: members of their own, each with its share of steps, draws and predictions."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from pyro.infer.autoguide import AutoNormal
from torch import nn

from bayescr._random import seeded
from bayescr.errors import BayescrError
from bayescr.evaluation import evaluate
from bayescr.evaluation.predictors import Asked, passes
from bayescr.inference import AnnealedELBO, Posterior, fit, guides
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference._validation import validation_nll
from bayescr.inference.guides.ensemble import Ensemble
from bayescr.inference.sampling import draw
from bayescr.models import BayesianSegmenter, UNet, likelihoods, priors

CPU = torch.device("cpu")
quick = functools.partial(fit, epochs=2, batch_size=2, precision="float32")


def _built(factory, model):
    with seeded(3):
        return build_guide(factory, model, in_channels=1)


def _batch():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 12, 12, generator=generator)
    return image, (image > 1).float(), torch.ones(image.shape, dtype=torch.bool)


def _centres(guide):
    with local_parameters():
        return [member.median() for member in guide.members]


def _equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def points(datasets):
    """Three points, trained in turn."""
    torch.manual_seed(0)
    return quick(BayesianSegmenter(UNet(width=2)), Ensemble(members=3), datasets[0])


def test_members_start_from_permutations_and_the_first_from_the_model(small_model):
    model = small_model()
    model.random_weights["head.bias"].fill_(-3.0)
    first, *others = _centres(_built(Ensemble(members=3), model))
    assert _equal(first, model.random_weights)
    assert not _equal(*others)
    for centre in others:
        for name, weight in model.random_weights.items():
            assert torch.equal(centre[name].flatten().sort()[0], weight.flatten().sort()[0]), name
            if weight.dim() == 1 or weight.numel() > 8:  # of two numbers, half the orders are one
                assert torch.equal(centre[name], weight) == (weight.dim() == 1), name
    again = _centres(_built(Ensemble(members=3), model))
    assert all(_equal(a, b) for a, b in zip([first, *others], again, strict=True))


def test_base_rates_of_several_classes_stay_with_their_classes():
    model = BayesianSegmenter(UNet(width=2, num_classes=3))
    model.set_base_rate(torch.tensor([0.1, 0.01, 0.5]))
    for centre in _centres(_built(Ensemble(members=4), model)):
        assert torch.equal(centre["head.bias"], model.random_weights["head.bias"])


@pytest.mark.parametrize("inner", [guides.MeanField(), AutoNormal])
def test_every_kind_of_member_starts_at_its_own_start(small_model, inner):
    model = small_model()
    starts = _centres(_built(Ensemble(members=2), model))
    found = _centres(_built(Ensemble(guide=inner, members=2), model))
    stay = _centres(_built(Ensemble(guide=inner, members=2, shuffle_start=False), model))
    for name, weight in model.random_weights.items():
        torch.testing.assert_close(found[0][name], weight)
        torch.testing.assert_close(found[1][name], starts[1][name])
        torch.testing.assert_close(stay[1][name], weight)
    assert not _equal(*found)


@pytest.mark.parametrize("together", [False, True])
def test_the_bound_is_the_mean_of_the_members_bounds(small_model, together):
    model = small_model()
    guide = _built(Ensemble(members=3, together=together), model)
    with local_parameters():
        bounds = [AnnealedELBO().loss(model, member, *_batch()) for member in guide.members]
        loss = AnnealedELBO().loss_and_grads(model, guide, *_batch())
    assert loss == pytest.approx(np.mean(bounds), rel=1e-6)
    assert len({round(bound, 3) for bound in bounds}) == 3
    for name, parameter in guide.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_kl_of_the_mixture_is_within_log_m_of_the_mean():
    """What the docstring says, by quadrature, of two normals that overlap more and less."""
    x = np.linspace(-30.0, 30.0, 60_001)

    def normal(mean, scale):
        return np.exp(-0.5 * ((x - mean) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))

    def kl(q, p):
        return np.trapezoid(np.where(q > 1e-300, q * np.log(np.maximum(q, 1e-300) / p), 0.0), x)

    prior, gaps = normal(0.0, 3.0), []
    for mean in (0.0, 0.5, 2.0, 8.0):
        members = normal(mean, 0.7), normal(-mean, 0.7)
        gaps.append(np.mean([kl(q, prior) for q in members]) - kl(sum(members) / 2, prior))
    assert gaps[0] == pytest.approx(0.0, abs=1e-6)
    assert gaps == sorted(gaps)
    assert gaps[-1] == pytest.approx(math.log(2.0), abs=1e-6)


def test_members_in_turn_have_all_steps_each_and_an_order_of_their_own(datasets, small_model):
    posterior = quick(
        small_model(), Ensemble(members=2, shuffle_start=False), datasets[0],
        validation=datasets[1],
    )  # fmt: skip
    history = posterior.history
    assert history[["member", "epoch"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    assert len(posterior.provenance["kept_epoch"]) == 2
    assert not _equal(*_centres(posterior.guide))  # from the same start: other batches
    assert not posterior.guide.training


def test_members_together_have_each_step(datasets, small_model):
    factory = Ensemble(members=2, together=True)
    posterior = quick(small_model(), factory, datasets[0], validation=datasets[1])
    assert posterior.history.epoch.tolist() == [1, 2]
    starts = _centres(_built(factory, posterior.model))
    for start, end in zip(starts, _centres(posterior.guide), strict=True):
        assert not torch.equal(start["head.weight"], end["head.weight"])
    assert not _equal(*_centres(posterior.guide))
    same = Ensemble(members=2, together=True, shuffle_start=False)
    assert _equal(*_centres(quick(small_model(), same, datasets[0]).guide))  # as it says


@pytest.mark.parametrize("prior", [None, priors.Empirical()])
def test_a_start_is_where_all_members_are(datasets, small_model, prior):
    first = quick(small_model(), guides.MAP(), datasets[0])
    posterior = quick(
        small_model(seed=4, prior=prior), Ensemble(guide=guides.MeanField(), members=2),
        datasets[0], start=first, learning_rate=1e-12,
    )  # fmt: skip
    for centre in _centres(posterior.guide):
        for name, value in first.median().items():
            torch.testing.assert_close(centre[name], value)


def test_a_start_is_shuffled_if_one_says_so(datasets, small_model):
    first = quick(small_model(), guides.MAP(), datasets[0])
    asked = Ensemble(members=2, together=True, shuffle_start=True)
    posterior = quick(small_model(), asked, datasets[0], start=first, learning_rate=1e-12)
    one, other = (centre["head.weight"].flatten() for centre in _centres(posterior.guide))
    assert not torch.equal(one, other)
    torch.testing.assert_close(one.sort()[0], other.sort()[0])


@pytest.mark.parametrize(
    "prior",
    [
        priors.Empirical(),
        priors.Select(priors={"head.*": priors.Empirical(), "*": priors.Normal()}),
    ],
)
def test_members_stay_where_a_prior_is_centred(small_model, prior):
    model = small_model(prior=prior)
    for centre in _centres(_built(Ensemble(members=3), model)):
        assert _equal(centre, model.random_weights)
    with pytest.raises(BayescrError, match=r"the prior of '.*weight' is centred on the start"):
        _built(Ensemble(members=3, shuffle_start=True), model)


def test_members_that_would_stay_equal_are_refused(datasets, small_model, points):
    """Together and from one start; one member alone is no matter."""
    first = quick(small_model(), guides.MAP(), datasets[0], epochs=1)
    with pytest.raises(BayescrError, match="would stay equal; train them in turn"):
        quick(small_model(), Ensemble(together=True), datasets[0], start=first)
    alone = Ensemble(together=True, members=1)
    assert quick(small_model(), alone, datasets[0], start=first, epochs=1).num_points == 1


def test_another_fit_cannot_start_from_a_mixture(points, datasets, small_model):
    with pytest.raises(BayescrError, match=r"no median\(\).*start=fit\(model, guides.MAP\(\)"):
        quick(small_model(), guides.MAP(), datasets[0], start=points)


def test_what_a_member_asks_of_a_fit_is_passed_on(datasets, small_model):
    told = []

    class Asking(guides.WeightGuide):
        keeps_last = True

        def on_step(self, *, step, fraction):
            told.append(("step", id(self), step, fraction))

        def finalize(self, model, train, *, kl_weight):
            assert train is datasets[0]
            told.append(("end", id(self), kl_weight))

    class Factory:
        def learning_rate_schedule(self, fraction):
            return 0.25

        def __call__(self, model):
            inner = guides.MAP()(model)
            return Asking(model, lambda name, start: inner.weights.get_submodule(name))

    for together in (False, True):
        told.clear()
        factory = Ensemble(guide=Factory(), members=2, together=together)
        posterior = quick(small_model(), factory, datasets[0], epochs=1, learning_rate=0.01)
        assert posterior.guide.keeps_last
        assert (posterior.history.learning_rate == 0.0025).all()
        a, b = (id(member) for member in posterior.guide.members)
        steps = [entry[1:] for entry in told if entry[0] == "step"]
        turns = [(a, 1, 0.5), (a, 2, 1.0), (b, 1, 0.5), (b, 2, 1.0)]
        assert steps == (sorted(turns, key=lambda turn: turn[1]) if together else turns)
        assert told[-2:] == [("end", a, 1.0), ("end", b, 1.0)]
    assert Ensemble().learning_rate_schedule is None
    assert not _built(Ensemble(), small_model()).keeps_last


def test_a_prediction_is_the_mean_over_the_members(points, datasets):
    image = datasets[1][0]["image"]
    with torch.no_grad():
        maps = torch.stack(
            [points.model.logits(image[None], centre)[0] for centre in _centres(points.guide)]
        )
    p = maps.double().sigmoid()
    ours = torch.stack(list(points.logits(image, num_samples=3)))
    torch.testing.assert_close(ours, maps, rtol=1e-5, atol=1e-5)
    frame = np.random.default_rng(0).normal(100.0, 5.0, (20, 24))
    scaled = torch.from_numpy(points.scaling(frame)[0])
    every = torch.stack(list(points.logits(scaled, num_samples=3))).double().sigmoid()
    for asked, number in ((16, 3), (3, 3), (2, 2)):
        prediction = points.predict(frame, num_samples=asked, precision="float32")
        np.testing.assert_allclose(prediction.probability, every[:number].mean(0)[0], atol=1e-5)
        expected = every[:number].std(0, unbiased=False)[0]
        np.testing.assert_allclose(prediction.std, expected, atol=1e-5)
    exact = points.predict(frame, tolerance=0.3, precision="float32")
    np.testing.assert_allclose(exact.probability, every.mean(0)[0], atol=1e-5)
    assert p.std(0).max() > 1e-4  # the members do differ


def test_a_prediction_takes_a_pass_a_member(points, monkeypatch):
    runs, forward = [], UNet.forward
    monkeypatch.setattr(
        UNet, "forward", lambda self, x: runs.append(x.shape[-1]) or forward(self, x)
    )
    points.predict(np.random.default_rng(0).normal(size=(20, 24)), num_samples=16, tile=None)
    assert runs.count(24) == 3


def test_the_number_of_points(points, small_model, datasets):
    assert (points.num_points, points.is_deterministic) == (3, False)
    for factory, expected in (
        (guides.MAP(), 1),
        (Ensemble(members=1), 1),
        (guides.MeanField(), None),
        (Ensemble(guide=guides.MeanField(), members=2), None),
    ):
        model = small_model()
        posterior = Posterior(
            model=model, guide=_built(factory, model), guide_factory=factory,
            scaling=datasets[0].scaling,
        )  # fmt: skip
        assert posterior.num_points == expected
        assert posterior.is_deterministic == (expected == 1)


def test_members_with_a_width_count_alike(small_model, datasets):
    """Five members, of which one alone is sure: 0.2, whatever number of draws is asked for."""
    model = small_model()
    guide = _built(Ensemble(guide=guides.MeanField(init_scale=1e-3), members=5), model)
    with torch.no_grad():
        for number, member in enumerate(guide.members):
            member.site("head.bias").loc.fill_(60.0 if number == 0 else -60.0)
    posterior = Posterior(
        model=model, guide=guide, guide_factory=Ensemble(), scaling=datasets[0].scaling
    )
    frame = np.random.default_rng(0).normal(100.0, 5.0, (8, 8))
    for asked, number in ((1, 5), (8, 10), (16, 20)):
        prediction = posterior.predict(frame, num_samples=asked)
        np.testing.assert_allclose(prediction.probability, 0.2, atol=1e-6)
        assert prediction.num_samples == passes(posterior, asked) == number
    with pytest.raises(BayescrError, match="tolerance=0.1 needs draws that are alike.*num_samp"):
        posterior.predict(frame, tolerance=0.1)


def test_an_evaluation_asks_each_member_once(points, datasets):
    assert (passes(points, 16), passes(points, 2)) == (3, 2)
    asked = Asked.item(datasets[1], 0)
    said = asked.put_to(points, num_samples=16, seed=0)
    assert said.log_likelihood.shape == said.positives.shape == (3,)
    assert said.mutual_information.max() > 0
    report = evaluate({"ensemble": points}, datasets[1], num_samples=16, num_bootstrap=5)
    assert report.table.passes.tolist() == [0, 3]


def test_draws_take_turns(small_model):
    guide = _built(Ensemble(guide=guides.MeanField(init_scale=1e-6), members=3), small_model())
    centres = _centres(guide)
    for index in range(7):
        drawn = draw(guide, index, seed=1, device=CPU)
        for name, value in centres[index % 3].items():
            torch.testing.assert_close(drawn[name], value, rtol=1e-4, atol=1e-4)


def test_called_as_a_guide_it_draws_any_member_and_is_no_point(small_model):
    """120 draws of three equally likely members: each within 5 standard deviations of 40."""
    guide = _built(Ensemble(members=3), small_model())
    centres, counts = _centres(guide), [0, 0, 0]
    with seeded(0):
        for _ in range(120):
            drawn, is_point = draw_latents(guide)
            assert not is_point
            counts[[_equal(drawn, centre) for centre in centres].index(True)] += 1
    assert max(abs(count - 40) for count in counts) < 5 * math.sqrt(120 * 2 / 9)


@pytest.mark.parametrize(
    ("inner", "asked", "number"),
    [(guides.MAP(), 5, 3), (guides.MeanField(), 2, 3), (guides.MeanField(), 5, 6)],
)
def test_validation_gives_each_member_its_share(small_model, datasets, inner, asked, number):
    model = small_model()
    guide = _built(Ensemble(guide=inner, members=3, together=True), model)
    nll = validation_nll(model, guide, datasets[1], asked, batch_size=2)
    draws = [draw(guide, index, seed=0, device=CPU) for index in range(number)]
    total, count = 0.0, 0
    for item in (datasets[1][i] for i in range(len(datasets[1]))):
        maps = [model.logits(item["image"][None], one)[0].double().sigmoid() for one in draws]
        p = torch.stack(maps).mean(0)
        likelihood = torch.where(item["target"] > 0, p, 1 - p)[item["valid"]]
        total, count = total - likelihood.log().sum().item(), count + likelihood.numel()
    assert nll == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("inner", [guides.MAP(), guides.LowRank(rank=2), AutoNormal])
def test_saved_and_loaded_it_draws_the_same(small_model, datasets, tmp_path, inner):
    factory = Ensemble(guide=inner, members=2)
    posterior = quick(small_model(), factory, datasets[0], epochs=1)
    loaded = Posterior.load(posterior.save(tmp_path))
    assert _equal(posterior.draw(5), loaded.draw(5))
    assert posterior.name == loaded.name == "ensemble"


@pytest.mark.parametrize("inner", [guides.MAP(), guides.LowRank(rank=2), AutoNormal])
def test_a_member_is_a_posterior_where_a_fit_may_start(small_model, datasets, tmp_path, inner):
    """Draw k of the ensemble is that of member k modulo their number, and saved it stays so."""
    ensemble = quick(small_model(), Ensemble(guide=inner, members=2), datasets[0], epochs=1)
    for number in (0, 1):
        member = Posterior.load(ensemble.member(number).save(tmp_path / str(number)))
        assert (member.num_points, member.provenance["member"]) == (
            1 if inner == guides.MAP() else None, number,
        )  # fmt: skip
        assert _equal(member.median(), ensemble.guide.members[number].median())
        if member.num_points == 1:
            image = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(0))
            (expected,) = list(ensemble.logits(image, num_samples=2))[number : number + 1]
            (found,) = member.logits(image, num_samples=1)
            assert torch.equal(found, expected)
    again = quick(small_model(), guides.MAP(), datasets[0], start=ensemble.member(1), epochs=1)
    assert again.provenance["start"] == ensemble.member(1).name


def test_members_that_are_not_there(points, small_model, datasets):
    for number in (-1, 3):
        with pytest.raises(BayescrError, match=f"member is {number}: expected a number from 0 to"):
            points.member(number)
    with pytest.raises(BayescrError, match="guide 'map' has no members: expected the posterior"):
        points.member(0).member(0)
    with pytest.raises(BayescrError, match=r"start from one, start=ensemble.member\(0\)"):
        quick(small_model(), guides.MAP(), datasets[0], start=points)


def test_the_same_seed_gives_the_same_bytes(small_model, datasets):
    a, b, c = (
        quick(small_model(), Ensemble(members=2), datasets[0], seed=seed).guide.state_dict()
        for seed in (0, 0, 1)
    )
    assert _equal(a, b)
    assert not _equal(a, c)


def test_no_tensor_is_made_on_the_default_device(small_model):
    model = small_model()
    with torch.device("meta"):
        guide = _built(Ensemble(guide=guides.MeanField(), members=2), model)
        drawn = [draw_latents(guide)[0], draw(guide, 1, seed=0, device=CPU)]
    assert {value.device.type for one in drawn for value in one.values()} == {"cpu"}


class _Learnt(nn.Module):
    """A likelihood with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, logits, target=None, valid=None):
        return likelihoods.Bernoulli()(logits + self.offset, target, valid)


def test_what_members_would_share_is_refused(small_model, datasets):
    for model, message in (
        (small_model(random="head.*"), r"'down1.conv1.weight' is trained but not random.*random="),
        (small_model(norm="layer"), r"'down1.norm1.*' is trained but not random.*random='\*'\)"),
        (
            small_model(prior=priors.Select(priors={"*.bias": None, "*": priors.Normal()})),
            r"'down1.conv1.bias' is trained.*would share it; give it a prior in Select, or fit",
        ),
        (
            small_model(
                norm="layer",
                prior=priors.Select(
                    priors=dict.fromkeys(("*.conv*", "*.upsample.*", "head.*"), priors.Normal())
                ),
            ),
            r"'down1.norm1.weight' is trained.*would share it; give it a prior in Select, or fit",
        ),
        (
            small_model(norm="batch", random="*", prior=priors.Normal()),
            "'down1.norm1' keeps running statistics.*norm='layer'",
        ),
        (
            BayesianSegmenter(UNet(width=1, depth=1), likelihood=_Learnt()),
            r"'likelihood.offset' is trained but not random.*together=True",
        ),
    ):
        with pytest.raises(BayescrError, match=message):
            _built(Ensemble(), model)
    frozen = small_model(random="head.*")
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    assert len(_built(Ensemble(), frozen).members) == 5
    all_random = small_model(norm="layer", random="*", prior=priors.Normal())
    assert len(_built(Ensemble(), all_random).members) == 5
    learnt = BayesianSegmenter(UNet(width=1, depth=1), likelihood=_Learnt())
    posterior = quick(learnt, Ensemble(members=2, together=True), datasets[0], epochs=1)
    assert posterior.model.likelihood.offset != 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ensemble(members=0), "members is 0: expected a whole number from 1 up"),
        (lambda: Ensemble(guide=Ensemble()), "guide is an Ensemble itself: expected"),
        (lambda: Ensemble(guide=guides.StoredDraws()), "StoredDraws.*which is not trained: expect"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(BayescrError, match=message):
        make()


def test_a_class_where_an_instance_belongs_is_named(small_model):
    with pytest.raises(BayescrError, match=r"guide is the class MeanField.*MeanField\(\)"):
        _built(Ensemble(guide=guides.MeanField), small_model())
