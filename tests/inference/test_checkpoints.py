"""Saved posteriors: what comes back, what is refused, and that nothing is unpickled."""

from __future__ import annotations

import dataclasses
import functools
import json
import pickle
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import autoguide
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from bayescr.errors import BayescrError
from bayescr.inference import Posterior, _parts, fit, guides
from bayescr.inference.checkpoints import FILE_NAME, own_parts, read_description
from bayescr.models import BayesianSegmenter, UNet, likelihoods, priors

FRAME = np.random.default_rng(5).normal(100.0, 5.0, (20, 24))
quick = functools.partial(fit, epochs=1, batch_size=4, precision="float32")


def _refuse(*args, **kwargs):
    raise AssertionError("something was unpickled")


class _RefusingUnpickler(pickle.Unpickler):
    load = _refuse


@pytest.fixture(autouse=True)
def _nothing_unpickles(monkeypatch):
    """Every test here runs where unpickling is an error."""
    monkeypatch.setattr("pickle.Unpickler", _RefusingUnpickler)
    for target in ("pickle.load", "pickle.loads", "torch.load"):
        monkeypatch.setattr(target, _refuse)
    with pytest.raises(AssertionError):
        pickle.loads(b"")  # noqa: S301


def _equal(a, b):
    for left, right in ((a.model, b.model), (a.guide, b.guide)):
        ours, theirs = left.state_dict(), right.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for name, value in a.draw(2).items():
        assert torch.equal(value, b.draw(2)[name])
    mine, other = a.predict(FRAME, num_samples=2), b.predict(FRAME, num_samples=2)
    np.testing.assert_array_equal(mine.logit, other.logit)
    assert a.scaling == b.scaling
    assert a.temperature == b.temperature
    assert a.provenance == b.provenance
    assert a.name == b.name
    assert a.history.equals(b.history)


def test_round_trip_of_every_guide(fitted, any_guide_name, tmp_path):
    posterior = fitted(any_guide_name)
    file = posterior.save(tmp_path / "model")
    assert file == tmp_path / "model" / FILE_NAME
    state = torch.get_rng_state()
    loaded = Posterior.load(tmp_path / "model")
    assert torch.equal(state, torch.get_rng_state())
    _equal(posterior, loaded)
    _equal(posterior, Posterior.load(file))
    assert not loaded.model.training
    # Saved again, the same bytes: nothing was lost on the way.
    assert loaded.save(tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_round_trip_of_plain_parameters_and_statistics(small_model, datasets, tmp_path, norm):
    model = small_model(norm=norm, random=["head.*", "up1.upsample.weight"], prior=priors.Normal())
    posterior = quick(model, guides.LowRank(rank=2), datasets[0])
    loaded = Posterior.load(posterior.save(tmp_path))
    _equal(posterior, loaded)
    assert loaded.model.prior == priors.Normal()
    assert loaded.guide_factory == guides.LowRank(rank=2)
    assert list(loaded.model.random_weights) == list(posterior.model.random_weights)


def test_round_trip_of_a_partial(small_model, datasets, tmp_path):
    factory = functools.partial(autoguide.AutoLowRankMultivariateNormal, rank=3, init_scale=0.02)
    posterior = quick(small_model(), factory, datasets[0])
    loaded = Posterior.load(posterior.save(tmp_path))
    _equal(posterior, loaded)
    assert loaded.guide_factory.keywords == {"rank": 3, "init_scale": 0.02}


def test_same_seed_same_file(small_model, datasets, guide_factory, tmp_path):
    files = [
        quick(small_model(), guide_factory, datasets[0], seed=seed, batch_size=1).save(
            tmp_path / str(i)
        )
        for i, seed in enumerate((1, 1, 2))
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes() != files[2].read_bytes()
    maps = [Posterior.load(file).predict(FRAME, num_samples=2).logit.tobytes() for file in files]
    assert maps[0] == maps[1] != maps[2]


def test_a_users_own_part_is_described_without_its_address(datasets, tmp_path):
    """The same declaration in another process gives the same file."""
    model = BayesianSegmenter(UNet(width=1), _laplace)
    file = quick(model, guides.MAP(), datasets[0]).save(tmp_path)
    with safe_open(file, framework="pt") as opened:
        described = json.loads(opened.metadata()["bayescr"])
    assert described["prior"]["repr"].endswith("_laplace")
    assert " at 0x" not in json.dumps(described)


def test_names_of_files(fitted, tmp_path):
    posterior = fitted("map")
    assert posterior.save(tmp_path / "a" / "b.safetensors") == tmp_path / "a" / "b.safetensors"
    assert posterior.save(str(tmp_path / "c.d")) == tmp_path / "c.d" / FILE_NAME
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.safetensors"]
    (tmp_path / "file").write_text("")
    with pytest.raises(BayescrError, match="cannot write"):
        posterior.save(tmp_path / "file")


def test_the_file_describes_itself(fitted, tmp_path):
    file = fitted("mean-field").save(tmp_path)
    with safe_open(file, framework="pt") as opened:
        described = json.loads(opened.metadata()["bayescr"])
    assert described["net"] == {"name": "unet", **UNet(width=2, depth=2).config}
    assert described["guide"] == {"name": "mean-field", "init_scale": 0.05}
    assert described["prior"]["name"] == "fan-in-normal"
    assert described["provenance"]["settings"]["epochs"] == 2
    names = set(load_file(file))
    assert {"model.net.head.weight", "guide.weights.head.weight.loc"} <= names


# What a user wrote.


def _laplace(name, weight):
    return dist.Laplace(0.0, 0.1).expand(weight.shape).to_event(weight.dim())


class _Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image):
        return self.out(image)


def _flipped(logits, target=None, valid=None):
    return likelihoods.Bernoulli()(-logits, target, valid)


def _own_guide(model):
    return guides.MeanField(init_scale=0.5)(model)


@pytest.mark.parametrize(
    ("model", "guide", "given", "message"),
    [
        (lambda: BayesianSegmenter(_Net()), guides.MAP(), "model", r"the net in .* is your own \("),
        (lambda: BayesianSegmenter(UNet(width=1), _laplace), guides.MAP(), "prior",
         r"the prior in .*test_checkpoints._laplace.* give load\(\.\.\., prior="),
        (lambda: BayesianSegmenter(UNet(width=1), likelihood=_flipped), guides.MAP(), "likelihood",
         r"the likelihood in .* give load\(\.\.\., likelihood="),
        (lambda: BayesianSegmenter(UNet(width=1)), _own_guide, "guide",
         r"the guide in .* give load\(\.\.\., guide="),
    ],
    ids=["net", "prior", "likelihood", "guide"],
)  # fmt: skip
def test_a_users_own_part_is_asked_for_and_then_works(
    datasets, tmp_path, model, guide, given, message
):
    posterior = quick(model(), guide, datasets[0])
    file = posterior.save(tmp_path)
    with pytest.raises(BayescrError, match=message):
        Posterior.load(file)
    declared = model()
    own = {"model": declared, "prior": _laplace, "likelihood": _flipped, "guide": guide}
    _equal(posterior, Posterior.load(file, **{given: own[given]}))
    if given != "guide":
        _equal(posterior, Posterior.load(file, model=declared))


def test_a_model_has_its_prior(fitted, tmp_path):
    file = fitted("map").save(tmp_path)
    model = BayesianSegmenter(UNet(width=2, depth=2))
    for part in ({"prior": priors.Normal()}, {"likelihood": likelihoods.Bernoulli()}):
        with pytest.raises(BayescrError, match="give it or them, not both"):
            Posterior.load(file, model=model, **part)


def test_a_declared_model_is_copied(datasets, tmp_path):
    """Two posteriors loaded onto one declaration do not overwrite each other."""
    model = BayesianSegmenter(UNet(width=1), _laplace, random="head.*")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (quick(model, guides.MAP(), datasets[0], seed=seed) for seed in (0, 1))
    files = [p.save(tmp_path / str(i)) for i, p in enumerate((first, second))]
    loaded = [Posterior.load(file, model=model) for file in files]
    _equal(first, loaded[0])
    _equal(second, loaded[1])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_parameters_of_a_prior_are_kept(datasets, tmp_path):
    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_scale = nn.Parameter(torch.zeros(()))

        def forward(self, name, weight):
            scale = self.log_scale.exp()
            return dist.Normal(0.0, scale).expand(weight.shape).to_event(weight.dim())

    posterior = quick(BayesianSegmenter(UNet(width=1), Learned()), guides.MeanField(), datasets[0])
    assert posterior.model.prior.log_scale != 0.0
    again = BayesianSegmenter(UNet(width=1), Learned())
    _equal(posterior, Posterior.load(posterior.save(tmp_path), model=again))


def test_another_model_than_was_trained_is_refused(datasets, tmp_path):
    file = quick(BayesianSegmenter(_Net(), _laplace), _own_guide, datasets[0]).save(tmp_path)
    with pytest.raises(BayescrError, match="does not fit the model it describes"):
        Posterior.load(file, model=BayesianSegmenter(UNet(width=5)), guide=_own_guide)
    with pytest.raises(BayescrError, match="does not fit"):
        Posterior.load(file, model=BayesianSegmenter(_Net(), _laplace), guide=guides.MAP())


@pytest.mark.parametrize(
    ("part", "thing"),
    [
        ("guide", guides.MCDropout(p=0.5)),
        ("guide", guides.MAP()),  # not even the same: two would say what it is
        ("prior", priors.Normal(scale=99.0)),
        ("likelihood", _flipped),
        ("model", BayesianSegmenter(UNet(width=2, depth=2))),
    ],
)
def test_what_the_file_knows_cannot_be_replaced(fitted, tmp_path, part, thing):
    """A saved point with masks for a guide would have the same tensors, and be stochastic."""
    file = fitted("map").save(tmp_path)
    with pytest.raises(BayescrError, match=f"knows its {part}: one is given only where .* leave"):
        Posterior.load(file, **{part: thing})


def _wide_laplace(name, weight):
    return dist.Laplace(0.0, 9.0).expand(weight.shape).to_event(weight.dim())


def test_ones_own_part_of_another_name_is_told(datasets, tmp_path):
    declared = BayesianSegmenter(UNet(width=1), _laplace)
    file = quick(declared, _own_guide, datasets[0]).save(tmp_path)
    says = "by its name the prior given for .* not .*_laplace$"
    with pytest.warns(UserWarning, match=says) as told:
        Posterior.load(file, prior=_wide_laplace, guide=_own_guide)
    assert [warning.filename for warning in told] == [__file__]  # once, and of the caller's line
    with pytest.warns(UserWarning, match="by its name the guide given .*_own_guide"):
        Posterior.load(file, model=declared, guide=guides.MeanField())


@pytest.mark.parametrize(
    ("part", "model"),
    [
        ("likelihood", BayesianSegmenter(UNet(width=1, norm="layer"), _laplace, _flipped)),
        ("net", BayesianSegmenter(UNet(width=1, norm="group"), _laplace)),
    ],
)
def test_a_model_brings_what_the_file_knows_as_it_was(datasets, tmp_path, part, model):
    """Where another would fit, since its tensors have the same names and shapes."""
    declared = BayesianSegmenter(UNet(width=1, norm="layer"), _laplace)
    file = quick(declared, guides.MAP(), datasets[0]).save(tmp_path)
    Posterior.load(file, model=declared)
    with pytest.raises(BayescrError, match=f"the {part} in the model given .* declare that one"):
        Posterior.load(file, model=model)


# Members inside members.


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Holder:
    """A guide that holds another, a table of them, and settings of every kind."""

    guide: Any = guides.MeanField()
    table: Any = dataclasses.field(default_factory=dict)
    on: Any = "head.*"

    def __call__(self, model):
        return self.guide(model)


@pytest.fixture
def holder(monkeypatch):
    monkeypatch.setitem(_parts._FAMILIES["guide"], "holder", _Holder)


def _round_trip(model, guide, train, path):
    posterior = quick(model, guide, train)
    file = posterior.save(path)
    loaded = Posterior.load(file)
    _equal(posterior, loaded)
    assert loaded.save(path / "again.safetensors").read_bytes() == file.read_bytes()
    return read_description(file), loaded


def test_members_inside_a_guide(holder, small_model, datasets, tmp_path):
    guide = _Holder(
        guide=_Holder(guide=guides.LowRank(rank=2), on=("head.*", "up1.*")),
        table={"b": guides.MAP(), "a": None, "c": autoguide.AutoNormal},
        on=None,
    )
    described, loaded = _round_trip(small_model(), guide, datasets[0], tmp_path)
    assert described["guide"]["guide"]["guide"]["name"] == "low-rank"
    assert described["guide"]["table"]["c"] == {"name": "autoguide:AutoNormal"}
    made = loaded.guide_factory
    assert made.guide == guide.guide
    assert made.table["b"] == guides.MAP()
    assert made.table["c"].func is autoguide.AutoNormal
    assert list(made.table) == ["b", "a", "c"]


def test_members_inside_a_prior(datasets, tmp_path):
    prior = priors.Select(
        priors={
            "head.*": priors.Select(priors={"*.bias": None, "*": priors.Normal(scale=0.5)}),
            "*": priors.FanInNormal(gain=1.0),
        }
    )
    model = BayesianSegmenter(UNet(width=1), prior)
    described, loaded = _round_trip(model, guides.MeanField(), datasets[0], tmp_path)
    assert described["format"] == 1
    assert described["prior"]["priors"]["head.*"]["priors"]["*.bias"] is None
    assert loaded.model.prior == prior
    assert "head.bias" not in loaded.model.random_weights


def test_a_learnt_likelihood(datasets, tmp_path):
    likelihood = likelihoods.NoisyLabelBernoulli(missed=0.1, learn=True)
    model = BayesianSegmenter(UNet(width=1), likelihood=likelihood)
    _, loaded = _round_trip(model, guides.MAP(), datasets[0], tmp_path)
    assert loaded.model.likelihood.config == likelihood.config
    assert loaded.model.likelihood.rates != likelihood.rates  # it was trained


def test_a_users_own_piece_inside_is_found_and_asked_for(holder, datasets, tmp_path):
    prior = priors.Select(priors={"head.*": _laplace, "*": priors.Normal()})
    guide = _Holder(guide=_own_guide, table={"a": [guides.MAP()]})
    posterior = quick(BayesianSegmenter(UNet(width=1), prior), guide, datasets[0])
    file = posterior.save(tmp_path)
    module = __name__
    assert own_parts(read_description(file)) == {
        "prior": f"{module}._laplace", "guide": f"{module}._own_guide",
    }  # fmt: skip
    with pytest.raises(
        BayescrError, match=r"the prior in .*_laplace\).* give load\(\.\.\., prior="
    ):
        Posterior.load(file)
    with pytest.raises(BayescrError, match=r"the guide in .*_own_guide\).* give load\(\.\.\., gui"):
        Posterior.load(file, prior=prior)
    _equal(posterior, Posterior.load(file, prior=prior, guide=guide))


@pytest.mark.parametrize("inner", ["os:system", "autoguide:os", "unet", "normal"])
def test_a_name_inside_is_looked_up_in_the_same_family_alone(
    holder, datasets, tmp_path, inner, monkeypatch
):
    monkeypatch.setattr("os.system", lambda command: pytest.fail("the file ran a command"))
    posterior = quick(BayesianSegmenter(UNet(width=1)), _Holder(), datasets[0])
    file = posterior.save(tmp_path)
    _rewrite(file, lambda described, tensors: described["guide"]["guide"].update(name=inner))
    with pytest.raises(BayescrError, match=f"names a guide '{inner}' that this bayescr"):
        Posterior.load(file)


# Files that are not what they should be.


def _rewrite(file, change):
    with safe_open(file, framework="pt") as opened:
        described = json.loads(opened.metadata()["bayescr"])
    tensors = load_file(file)
    described = change(described, tensors) or described
    text = described if isinstance(described, str) else json.dumps(described)
    save_file(tensors, file, metadata={"bayescr": text})


def _set(key, value):
    return lambda described, tensors: described.update({key: value})


def _rename(part, name):
    return lambda described, tensors: described[part].update(name=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, t: "{not json", "damaged description"),
        (lambda d, t: "[1, 2]", "damaged description"),
        (_set("format", 99), "has format 99, this bayescr reads 1"),
        (lambda d, t: d.pop("scaling") and None, "does not fit the model it describes"),
        (_set("net", "unet"), "does not fit"),
        (_set("net", None), "does not fit"),
        (_set("scaling", {"softening": -1}), "softening"),
        (_set("scaling", {"hardening": 1}), "does not fit"),
        (_set("in_channels", 0), "does not fit"),
        (_set("random", []), "no weight of the network is random"),
        (_set("history", 3), "does not fit"),
        (lambda d, t: d["net"].update(width=3), "does not fit"),
        (lambda d, t: d["net"].update(cheese=3), "does not fit"),
        (lambda d, t: t.pop("guide.weights.head.bias.loc") and None, "does not fit"),
        (_rename("prior", "os:system"), "names a prior 'os:system' that this bayescr"),
        (_rename("net", "os:system"), "names a net 'os:system'"),
        (_rename("likelihood", "posix.system"), "names a likelihood"),
        (_rename("guide", "os:system"), "names a guide 'os:system'"),
        (_rename("guide", "autoguide:os"), "names a guide"),
        (_rename("guide", "autoguide:init_to_value"), "names a guide"),
        (_rename("guide", "autoguide:__import__"), "names a guide"),
        (_rename("guide", 7), "does not fit"),
    ],
)  # fmt: skip
def test_changed_files_are_refused_in_one_line(fitted, tmp_path, change, message, monkeypatch):
    monkeypatch.setattr("os.system", lambda command: pytest.fail("the file ran a command"))
    file = fitted("map").save(tmp_path)
    _rewrite(file, change)
    with pytest.raises(BayescrError, match=message) as error:
        Posterior.load(file)
    assert "\n" not in str(error.value)


def test_foreign_files_are_refused(fitted, tmp_path):
    file = fitted("map").save(tmp_path)
    content = file.read_bytes()
    for name, data in {
        "empty": b"", "text": b"hello", "half": content[: len(content) // 2], "head": content[:50],
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BayescrError, match="is not a safetensors file"):
            Posterior.load(tmp_path / name)
    save_file({"a": torch.zeros(2)}, tmp_path / "other")
    with pytest.raises(BayescrError, match="holds tensors but no bayescr posterior"):
        Posterior.load(tmp_path / "other")
    with pytest.raises(BayescrError, match="a file that does not exist"):
        Posterior.load(tmp_path / "missing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BayescrError, match=f"a folder without {FILE_NAME}"):
        Posterior.load(tmp_path / "folder")
