"""Choices with arguments, and posteriors whose prior, guide or likelihood the user wrote."""

import shlex

import pandas as pd
import pytest

from bayescr.cli._posteriors import kept_epochs, told
from bayescr.inference import Posterior, guides
from bayescr.inference.checkpoints import read_description
from bayescr.models import priors

OWN = """
from dataclasses import dataclass
import contextlib
import pyro.distributions as dist
from torch import nn
from bayescr.inference import guides
from bayescr.models import likelihoods

def laplace(name, parameter, scale=0.3):
    return dist.Laplace(0.0, scale).expand(parameter.shape).to_event(parameter.dim())

def noisy(logits, target=None, valid=None):
    return likelihoods.Bernoulli()(0.9 * logits, target, valid)

@dataclass(frozen=True)
class Narrow:
    scale: float = 0.01
    def __call__(self, model):
        return guides.MeanField(init_scale=self.scale)(model)

class Two(nn.Module):  # members trained one after the other
    def __init__(self, model):
        super().__init__()
        members = [guides.MeanField(init_scale=scale)(model) for scale in (0.01, 0.02)]
        self.members = self.in_turn = nn.ModuleList(members)
    def forward(self, *args, **kwargs):
        return self.members[0](*args, **kwargs)

@dataclass(frozen=True)
class Twice:
    def __call__(self, model):
        return Two(model)

class Counted:
    calls = 0
    @contextlib.contextmanager
    def __call__(self, model, guide):
        Counted.calls += 1
        yield
"""
LAPLACE = '{name = "own.py:laplace", scale = 0.2}'


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with the user's file, in which commands run."""
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, train_quickly):
    """A posterior whose prior and guide are the user's own, in a folder with their file."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = train_quickly("model", "--prior", LAPLACE, "--guide", "own.py:Narrow")
    assert result.exit_code == 0, result.output
    return folder / "model", result


@pytest.fixture
def model(trained, own):
    return trained[0]


# Choices


def test_arguments_come_in_a_table(train_quickly, tmp_path):
    result = train_quickly(
        tmp_path,
        "--guide", '{name = "low-rank", rank = 3}',
        "--prior", '{name = "select", priors = {"head.*" = {name = "normal", scale = 0.5}, '
        '"*.bias" = "none", "*" = "fan-in-normal"}}',
        "--kl-schedule", '{name = "linear", warmup = 0.1, final = 0.5}',
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    loaded = Posterior.load(tmp_path)
    assert loaded.guide_factory == guides.LowRank(rank=3)
    assert list(loaded.model.prior.priors.values()) == [
        priors.Normal(scale=0.5), None, priors.FanInNormal(),
    ]  # fmt: skip
    assert loaded.temperature == 0.5
    assert "down1.conv1.bias" not in loaded.model.random_weights


def test_an_estimator_and_random_weights(train_quickly, own):
    result = train_quickly("model", "--random", "head.*", "--random", "up1.upsample.*",
                           "--estimator", "own.py:Counted")  # fmt: skip
    assert result.exit_code == 0, result.output
    described = read_description("model")
    assert {name.split(".")[0] for name in described["random"]} == {"head", "up1"}
    assert len(described["random"]) == 4
    assert "Counted" in described["provenance"]["settings"]["estimator"]


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--guide", "{name = low-rank}", ["(Invalid value", """'{name = "low-rank", rank = 8}'"""]),
        ("--guide", "{rank = 3}", ["it has no name", "in single quotes a table"]),
        ("--guide", '{name = "map"}\nx = 1', "cannot read guide"),
        ("--guide", "LowRank(rank=3)", ["that is Python", '{name = "low-rank", rank = 8}']),
        ("--guide", '{name = "low-rank", rnk = 3}', "unknown argument 'rnk': did you mean 'rank'?"),
        ("--guide", '{name = "low-rank", rank = -3}', "LowRank rank is -3"),
        ("--prior", '{name = "select", priors = {"*" = "nomal"}}', "unknown prior 'nomal': did"),
        ("--prior", '{name = "normal", scale = }', '{name = "normal", scale = 0.1}'),
        ("--kl-schedule", '{name = "linear", warm = 1}', "unknown argument 'warm'"),
        ("--estimator", "weight-draw", "unknown estimator 'weight-draw': did you mean 'weight-dr"),
        ("--random", "tail.*", "no weight of the network is random"),
    ],
)  # fmt: skip
def test_choices_that_cannot_be(fails, tmp_path, frames, option, value, says):
    fails("train", "--data", frames, "-o", tmp_path / "out", option, value, says=says)


def test_an_error_inside_the_model_is_told_without_pyros_table(fails, own, frames):
    (own / "flat.py").write_text(
        "import pyro.distributions as dist\nflat = lambda name, weight: dist.Normal(0.0, 1.0)\n"
    )
    result = fails("train", "--data", frames, "--width", 2, "--patch", 32, "-o", own / "out",
                   "--prior", "flat.py:flat", says="expand it")  # fmt: skip
    assert "Trace Shapes" not in result.stderr


# The user's own


def test_train_says_and_keeps_how_its_code_was_named(trained):
    folder, result = trained
    for part in (f"--prior '{LAPLACE}'", "--guide own.py:Narrow"):
        assert f"the other commands need {part}" in result.stderr
    assert read_description(folder)["provenance"]["code"] == {
        "prior": LAPLACE, "guide": "own.py:Narrow",
    }  # fmt: skip


def commands(model, frames, exposure):
    return {
        "predict": ("predict", exposure, "--model", model, "-o", "out.fits", "--samples", 2),
        "evaluate": ("evaluate", "--data", frames, "--model", model, "-o", "report",
                     "--samples", 2, "--bootstrap", 2),
        "info": ("info", model),
        "train": ("train", "--data", frames, "--start", model, "-o", "next", "--width", 2,
                  "--patch", 32, "--epochs", 1, "--validation", 0),
    }  # fmt: skip


@pytest.mark.parametrize("command", ["predict", "evaluate", "info"])
def test_commands_say_what_they_need_and_then_work(
    fails, bayescr, model, frames, exposure, command, monkeypatch
):
    monkeypatch.setattr("bayescr.evaluation._saving.figures_of", lambda report: {})
    arguments = commands(model, frames, exposure)[command]
    both = f"add --prior '{LAPLACE}' --guide own.py:Narrow"
    fails(*arguments, says=["trained with your own code", both])
    fails(*arguments, "--guide", "own.py:Narrow", says=f"add --prior '{LAPLACE}'")
    result = bayescr(*arguments, *shlex.split(both.removeprefix("add ")))
    assert result.exit_code == 0, result.output
    assert "note: by its name" not in result.stderr
    if command == "info":
        assert LAPLACE in result.stdout


def test_training_starts_from_it_if_the_code_is_the_same(bayescr, model, frames, exposure, fails):
    arguments = commands(model, frames, exposure)["train"]
    options = ("--prior", LAPLACE, "--guide", "own.py:Narrow")
    assert bayescr(*arguments, *options).exit_code == 0
    assert read_description("next")["provenance"]["start"] == "narrow"


def test_code_of_another_name_is_noted(bayescr, model):
    options = ("--prior", "own.py:laplace", "--guide", "own.py:Narrow")
    result = bayescr("info", model, *options)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("note: by its name the prior given for ")
    assert "is not that of the training, functools.partial(<function laplace>, scale=0.2)" in (
        result.stderr
    )


def test_code_that_nobody_named(fails, model, tmp_path):
    """A posterior saved from Python: its code has a name there, but none for an option."""
    with pytest.warns(UserWarning, match="by its name the"):
        posterior = Posterior.load(model, prior=_laplace, guide=guides.MeanField())
    posterior.provenance.pop("code")
    posterior.save(tmp_path / "saved")
    says = ["the prior (", "_laplace)", "add --prior file.py:attribute"]
    fails("info", tmp_path / "saved", says=says)


def _laplace(name, parameter):
    return priors.Normal()(name, parameter)


def test_code_that_does_not_fit(fails, model, posterior, exposure):
    fails("info", posterior, "--prior", "own.py:laplace", says="knows its prior: one is given only")
    options = ("--prior", LAPLACE, "--guide", "low-rank")
    fails("info", model, *options, says="does not fit the model it describes")
    fails("info", model, "--prior", "own.py:lap", "--guide", "map", says="no attribute 'lap'")


def test_evaluate_gives_each_row_its_own(
    fails, bayescr, train_quickly, model, posterior, frames, own, monkeypatch
):
    monkeypatch.setattr("bayescr.evaluation._saving.figures_of", lambda report: {})
    result = train_quickly("other", "--likelihood", "own.py:noisy", "--prior", "own.py:laplace")
    assert result.exit_code == 0, result.output
    rows = ("--model", f"a={model}", "--model", "b=other", "--model", posterior)
    arguments = ("evaluate", "--data", frames, *rows, "-o", "report", "--bootstrap", 0)
    code = ("--guide", "own.py:Narrow", "--likelihood", "b=own.py:noisy")
    code += ("--prior", f"a={LAPLACE}", "--prior", "own.py:laplace")
    result = bayescr(*arguments, "--samples", 2, *code)
    assert result.exit_code == 0, result.output
    assert "note: by its name" not in result.stderr
    fails(*arguments, "--overwrite", *code, "--guide", "mean-field=map", says="knows its guide")
    fails(*arguments[:3], "--model", posterior, "-o", "x", "--prior", LAPLACE,
          says=["none of these was", "leave it out"])  # fmt: skip


def test_an_own_network_is_left_to_python(fails, tmp_path, posterior):
    from torch import nn

    from bayescr.models import BayesianSegmenter

    loaded = Posterior.load(posterior)
    model = BayesianSegmenter(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)))
    guide = guides.MAP()
    Posterior(
        model=model, guide=guide(model), guide_factory=guide, scaling=loaded.scaling
    ).save(tmp_path / "saved")  # fmt: skip
    fails("info", tmp_path / "saved", says=["the network in", "Posterior.load(..., model=...)"])


# What was kept of guides that are trained one after the other


def test_members_trained_in_turn_are_summed_up(bayescr, train_quickly, own):
    result = train_quickly("model", "--guide", "own.py:Twice", epochs=2)
    assert result.exit_code == 0, result.output
    history = pd.read_csv("model/history.csv")
    kept = read_description("model")["provenance"]["kept_epoch"]
    assert len(kept) == 2
    rows = history.set_index(["member", "epoch"]).loc[list(enumerate(kept))]
    assert f"epochs {kept[0]}, {kept[1]} of 2 for 2 members" in result.stdout
    low, high = rows["nll"].min(), rows["nll"].max()
    assert f"NLL {low:.4g} to {high:.4g}" in result.stdout
    result = bayescr("info", "model", "--guide", "own.py:Twice")
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("member 1"))
    assert f"nll={rows['nll'].iloc[1]:.4g}" in line


@pytest.mark.parametrize(
    ("history", "kept", "rows", "says"),
    [
        ({"epoch": [1, 2, 3]}, 2, [1], "epoch 2 of 3"),
        ({"member": [0, 0], "epoch": [1, 2]}, 1, [0], "epoch 1 of 2"),
        ({"member": [0, 0, 1], "epoch": [1, 2, 1]}, [2, 1], [1, 2], "epochs 2, 1 of 2 for 2 memb"),
        ({"step_size": [0.1]}, None, [], None),
    ],
)
def test_what_was_kept(posterior, history, kept, rows, says):
    loaded = Posterior.load(posterior)
    loaded.history = pd.DataFrame(history)
    loaded.provenance = {} if kept is None else {"kept_epoch": kept}
    assert list(kept_epochs(loaded).index) == rows
    if says is not None:
        assert told(loaded).startswith(says)
