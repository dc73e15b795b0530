"""The files to copy of docs/skeletons: each does what it says, from Python and the command line."""

import importlib.util
import math
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from astropy.io import fits
from pyro import poutine
from scipy import stats
from torch.distributions import kl_divergence
from typer.testing import CliRunner

from bayescr._names import make
from bayescr._random import seeded
from bayescr.cli import app
from bayescr.data import PatchDataset, read_frame
from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO, Posterior, annealing, fit, gradients, guides
from bayescr.inference._pyro import build_guide, local_parameters
from bayescr.models import BayesianSegmenter, UNet, likelihoods, priors
from bayescr.simulation import simulate

DOCS = Path(__file__).parents[1] / "docs"
FOLDER = DOCS / "skeletons"
NAMES = {
    "prior": "LayerScale", "guide": "PeakedMeanField", "likelihood": "FlippedLabels",
    "schedule": "Delayed",
}  # fmt: skip
OPTIONS = {kind: f"--{kind}" for kind in NAMES} | {"schedule": "--kl-schedule"}


def skeleton(kind, **settings):
    spec = importlib.util.spec_from_file_location(kind, FOLDER / f"{kind}.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:  # where a dataclass looks up its annotations
        patch.setitem(__import__("sys").modules, kind, module)
        spec.loader.exec_module(module)
    return getattr(module, NAMES[kind])(**settings)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    simulate(folder, "gc", frames=2, size=48, seed=0)
    return folder


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(command):
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output
    return result


def test_every_file_is_a_case():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(NAMES)


@pytest.mark.parametrize("kind", NAMES)
def test_from_the_command_line(kind, frames, tmp_path, monkeypatch):
    """Copied to an empty folder: train, predict with the option that training named, read."""
    (tmp_path / f"my_{kind}.py").write_text((FOLDER / f"{kind}.py").read_text())
    monkeypatch.chdir(tmp_path)
    option = f"{OPTIONS[kind]} my_{kind}.py:{NAMES[kind]}"
    result = run(
        f"train --data {frames} --width 2 --patch 24 --epochs 2 --validation 0 "
        f"--precision float32 {option} -o model"
    )
    if kind == "schedule":  # a posterior does not need it any more
        option = ""
        assert result.stderr == ""
    assert option in result.stderr
    exposure = sorted(frames.iterdir())[0]
    run(f"predict {exposure} --model model {option} -o out.fits --samples 2")
    assert run(f"info model {option}").stderr == ""
    with fits.open("out.fits") as hdus:
        assert np.isfinite(hdus["PROB"].data).all()


@pytest.mark.parametrize("kind", NAMES)
def test_from_python(kind, frames, tmp_path):
    own = skeleton(kind)
    parts = {kind: own} if kind in ("prior", "likelihood") else {}
    with seeded(0):
        net = UNet(width=2, depth=2)
    train = PatchDataset.from_directory(frames, patch=24)
    guide = own if kind == "guide" else guides.MeanField()
    schedule = own if kind == "schedule" else None
    model = BayesianSegmenter(net, **parts)
    posterior = fit(model, guide, train, kl_schedule=schedule, epochs=2, precision="float32")
    frame = read_frame(sorted(frames.iterdir())[0])
    prediction = posterior.predict(frame, num_samples=3)
    assert (prediction.mutual_information > 0).any()  # it is no point

    file = posterior.save(tmp_path)
    needed = {kind: own} if kind != "schedule" else {}
    again = Posterior.load(file, **needed).predict(frame, num_samples=3)
    np.testing.assert_array_equal(again.logit, prediction.logit)


WRONG = {
    "prior": {"spread": 0.0}, "guide": {"init_scale": -1.0}, "likelihood": {"share": 0.5},
    "schedule": {"wait": 0.5, "full": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
def test_settings_are_checked(kind):
    with pytest.raises(BayescrError, match=rf"{NAMES[kind]} \w+ is .*expected "):
        skeleton(kind, **WRONG[kind])


# Each by its formula


def test_the_prior_is_its_formula():
    """Log-densities of a latent scale, of a weight given it, and of a bias, by scipy."""
    model = BayesianSegmenter(UNet(width=2, depth=2), skeleton("prior", gain=1.2, spread=0.7))
    name = "down2.conv1.weight"
    assert list(model.hyper_latents(name)) == [f"{name}_scale"]
    assert not model.hyper_latents("down2.conv1.bias")
    with local_parameters(), seeded(0):
        trace = poutine.trace(model).get_trace(torch.zeros(1, 1, 8, 8))
    trace.compute_log_prob()
    scale, weight, bias = (
        trace.nodes[site]["value"].numpy()
        for site in (f"{name}_scale", name, "down2.conv1.bias")
    )  # fmt: skip
    fan_in = 2 * 3 * 3
    expected = {
        f"{name}_scale": stats.lognorm(0.7, scale=1.2 / math.sqrt(fan_in)).logpdf(scale),
        name: stats.norm(0, scale).logpdf(weight).sum(),
        "down2.conv1.bias": stats.norm(0, 1).logpdf(bias).sum(),
    }
    for site, value in expected.items():  # sums of some 40 terms in float32
        assert trace.nodes[site]["log_prob"].sum().item() == pytest.approx(value, rel=1e-5)


def test_the_guide_starts_at_the_weights_and_has_a_closed_form():
    """KL(Laplace(m, b) || N(0, s^2)) = log(s sqrt(2 pi) / 2 b) - 1 + (b^2 + m^2 / 2) / s^2."""
    with seeded(0):
        model = BayesianSegmenter(UNet(width=2, depth=2), priors.Normal(scale=0.5))
    guide = build_guide(skeleton("guide"), model, in_channels=1)
    image = torch.zeros(1, 1, 8, 8)
    with local_parameters():
        terms = AnnealedELBO().terms(model, guide, image, torch.zeros_like(image))
    kl = 0.0
    for name, site in guide.sites():
        m, b = site.loc.detach(), site.log_scale.exp().detach()
        torch.testing.assert_close(m, model.random_weights[name])
        constant = math.log(0.5 * math.sqrt(2 * math.pi) / 2) - 1
        kl += (constant - b.log() + (b**2 + m**2 / 2) / 0.25).sum().item()
    assert terms.kl.item() == pytest.approx(kl, rel=1e-5)  # a sum of 431 numbers in float32
    assert kl == pytest.approx(
        sum(kl_divergence(q(), dist.Normal(0, 0.5).expand(q.loc.shape).to_event(q.loc.dim()))
            for _, q in guide.sites()).item(), rel=1e-5
    )  # fmt: skip


def test_the_likelihood_is_a_sum_over_hidden_truths():
    """And its curvature is the variance of the score over labels."""
    flipped, own = 0.1, skeleton("likelihood", share=0.1)
    logits = torch.linspace(-4, 4, 6, dtype=torch.float64).reshape(1, 1, 2, 3).requires_grad_()
    valid = torch.tensor([[True, True, False], [True, True, True]])[None, None]
    probability = {
        label: (1 - flipped) * torch.sigmoid(s * logits) + flipped * torch.sigmoid(-s * logits)
        for label, s in ((1.0, 1), (0.0, -1))
    }
    information = torch.zeros_like(logits)
    for label, p in probability.items():
        target = torch.full_like(logits, label).where(valid, torch.nan)
        with pyro.plate("images", 1):
            trace = poutine.trace(own).get_trace(logits, target, valid)
        log_prob = trace.log_prob_sum()
        torch.testing.assert_close(log_prob, p.log()[valid].sum())
        (score,) = torch.autograd.grad(log_prob, logits)
        assert score[~valid].item() == 0.0
        information += p.detach() * score**2
    torch.testing.assert_close(own.curvature(logits, target, valid), information)


def test_the_schedule_by_points():
    own = skeleton("schedule", wait=0.2, full=0.6, final=0.8)
    expected = {0.0: 0.0, 0.2: 0.0, 0.3: 0.8 * 0.15625, 0.4: 0.4, 0.6: 0.8, 1.0: 0.8}
    assert {x: own(x) for x in expected} == pytest.approx(expected)


# The pages


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.M | re.S)


def test_every_skeleton_is_on_the_page():
    text = (DOCS / "extending.md").read_text()
    for kind, name in NAMES.items():
        assert f"skeletons/{kind}.py" in text
        assert name in text


def test_python_on_the_page_runs(tmp_path):
    """The first block is a prior; the second one of a session that has data."""
    first, second = blocks("extending.md", "python")
    scope = {}
    exec(first, scope)  # noqa: S102
    weight = torch.zeros(2, 3)
    assert scope["laplace"]("w", weight).event_shape == weight.shape
    compile(second, "extending.md", "exec")


def test_choices_on_the_page_can_be_made(tmp_path, monkeypatch):
    """Every line of TOML, with the files that the page speaks of in the folder."""
    for kind in NAMES:
        (tmp_path / f"my_{kind}.py").write_text((FOLDER / f"{kind}.py").read_text())
    (tmp_path / "my_prior.py").write_text(blocks("extending.md", "python")[0])
    monkeypatch.chdir(tmp_path)
    kinds = {
        "guide": ("guide", guides), "prior": ("prior", priors),
        "kl_schedule": ("KL schedule", annealing),
    }  # fmt: skip
    tables = [tomllib.loads(text) for text in blocks("extending.md", "toml")]
    assert len(tables) == 2
    for table in tables:
        for key, choice in table.get("arms", {}).get("mine", table).items():
            arguments = dict(choice) if isinstance(choice, dict) else {"name": choice}
            kind, module = kinds[key]
            made = make(arguments.pop("name"), module.FAMILY, kind=kind, arguments=arguments)
            if key == "guide":
                model = BayesianSegmenter(UNet(width=1, depth=2))
                build_guide(made, model, in_channels=1)


def choices():
    """Each ``family.Member(...)`` in backticks on the page that helps to choose."""
    text = (DOCS / "how-to-choose.md").read_text()
    found = re.findall(r"`((?:priors|guides|likelihoods|gradients|annealing)\.\w+\([^`]*\))`", text)
    return sorted(set(found))


@pytest.mark.parametrize("choice", choices())
def test_what_the_page_recommends_can_be_made(choice):
    scope = {"priors": priors, "guides": guides, "likelihoods": likelihoods,
             "gradients": gradients, "annealing": annealing}  # fmt: skip
    assert callable(eval(choice, scope))


def test_the_page_knows_every_member():
    """Of the families that there is something to choose in."""
    text = (DOCS / "how-to-choose.md").read_text()
    families = {"priors": priors, "guides": guides, "likelihoods": likelihoods,
                "gradients": gradients}  # fmt: skip
    for family, module in families.items():
        for member in module.FAMILY.values():
            assert f"{family}.{member.__name__}" in text
