"""What the tests share: shapes checked while they run, and the families that contracts run over.

A test that asks for ``prior_name``, ``guide_name`` (bayescr's own), ``any_guide_name`` (Pyro's
autoguides too), ``likelihood_name`` or ``schedule_name`` runs once for each member of the family:
a new one is tested without being listed. One that asks for a prior and a guide runs for every
guide with the default prior and every prior with the default guide; all other pairs are ``slow``.

In tests/contract the skeletons of docs/skeletons are members, too. ``--prior``, ``--guide``,
``--likelihood`` and ``--schedule`` put others in the place of a family, by name or as
``file.py:attribute``; then no pair is slow.
"""

from __future__ import annotations

import ast
import functools
import itertools
import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Shapes are checked by jaxtyping's annotations, through beartype: before anything is imported.
install_import_hook(
    ["bayescr.models.segmenter", "bayescr.inference.predictive"], "beartype.beartype"
)

KINDS = ("prior", "guide", "likelihood", "schedule")
DEFAULT_PRIOR, DEFAULT_GUIDE = "fan-in-normal", "mean-field"
HERE = Path(__file__).parent
NOT_TRAINED = {
    "stored-draws",  # holds draws that a Markov chain made; `fit` refuses it
}


def pytest_addoption(parser):
    group = parser.getgroup("bayescr", "members that contract tests run over")
    for kind in KINDS:
        group.addoption(
            f"--{kind}", action="append", default=[], metavar="NAME",
            help=f"a {kind} by name or file.py:attribute, instead of the family (repeatable)",
        )  # fmt: skip


class Families:
    """Members by name and by kind: those of bayescr, or those that the command line names."""

    def __init__(self, given):
        from bayescr._names import make
        from bayescr.inference import annealing, guides
        from bayescr.models import likelihoods, priors

        self.given = given
        self.families = {
            "prior": priors.FAMILY,
            "guide": guides.FAMILY,
            "likelihood": likelihoods.FAMILY,
            "schedule": annealing.FAMILY,
        }
        self.members = {
            kind: {
                name: make(name, family, kind=kind)
                for name in given.get(kind) or family
                if name not in NOT_TRAINED
            }
            for kind, family in self.families.items()
        }
        self.autoguides = {} if given.get("guide") else _autoguides()
        self.skeletons = {} if any(given.values()) else _skeletons()
        for kind, (name, path) in self.skeletons.items():
            self.members[kind][name] = make(path, {}, kind=kind)

    @property
    def guides(self):
        """Bayescr's and Pyro's."""
        return self.members["guide"] | self.autoguides

    def is_own(self, kind, name):
        """Whether a member is the user's."""
        return name not in self.families[kind] and name not in self.autoguides

    def pairs(self, guides):
        """(prior, guide, is_representative) for every pair of which a posterior can be made."""
        everything = bool(self.given.get("prior") or self.given.get("guide"))
        for prior, guide in itertools.product(self.members["prior"], guides):
            if not self.is_refused(prior, guide):
                yield prior, guide, everything or prior == DEFAULT_PRIOR or guide == DEFAULT_GUIDE

    def is_refused(self, prior, guide):
        """Whether the density of the prior has no maximum, and part of the guide is points."""
        return self.is_unbounded(prior) and not self.has_density(guide)

    def is_unbounded(self, prior):
        return getattr(self.members["prior"][prior], "is_unbounded", False)

    @functools.cache  # noqa: B019  lives as long as the session
    def has_density(self, guide):
        """Of all weights; of Pyro's guides one has none."""
        if guide == "AutoDelta":
            return False
        from bayescr.inference._pyro import build_guide
        from bayescr.inference.guides import WeightSite
        from bayescr.models import BayesianSegmenter, UNet

        model = BayesianSegmenter(UNet(width=1, depth=1))
        modules = build_guide(self.guides[guide], model, in_channels=1).modules()
        return all(site.has_density for site in modules if isinstance(site, WeightSite))


def _skeletons():
    """What one's own starts from: by kind, the public name in its file, and where it is."""
    found = {}
    for kind in KINDS:
        file = HERE.parent / "docs" / "skeletons" / f"{kind}.py"
        if file.is_file():
            nodes = ast.parse(file.read_text(encoding="utf-8")).body
            classes = [node.name for node in nodes if isinstance(node, ast.ClassDef)]
            name = next(name for name in classes if not name.startswith("_"))
            found[kind] = (name, f"{file}:{name}")
    return found


def _autoguides():
    from pyro.infer import autoguide

    low_rank = functools.partial(autoguide.AutoLowRankMultivariateNormal, rank=2)
    return {
        "AutoDelta": autoguide.AutoDelta,
        "AutoNormal": autoguide.AutoNormal,
        "AutoDiagonalNormal": autoguide.AutoDiagonalNormal,
        "AutoLowRankMultivariateNormal": low_rank,
    }


@functools.cache
def _families(given):
    return Families(dict(given))


def _of(config):
    return _families(tuple((kind, tuple(config.getoption(f"--{kind}"))) for kind in KINDS))


def pytest_generate_tests(metafunc):
    """Each member of a family is a case."""
    arguments = set(metafunc.fixturenames) & {
        "prior_name", "guide_name", "any_guide_name", "likelihood_name", "schedule_name",
    }  # fmt: skip
    if not arguments:
        return
    families = _of(metafunc.config)
    is_contract = HERE / "contract" in metafunc.definition.path.parents
    hidden = set() if is_contract else {name for name, _ in families.skeletons.values()}
    guide = next((name for name in ("any_guide_name", "guide_name") if name in arguments), None)
    members = dict(families.members)
    if guide == "any_guide_name":
        members["guide"] = families.guides
    if guide and "prior_name" in arguments:
        cases = [
            pytest.param(prior, member, marks=[] if is_representative else pytest.mark.slow)
            for prior, member, is_representative in families.pairs(members["guide"])
            if not {prior, member} & hidden
        ]
        metafunc.parametrize(f"prior_name,{guide}", cases)
        arguments -= {"prior_name", guide}
    for argument in sorted(arguments):
        kind = argument.removesuffix("_name").removeprefix("any_")
        metafunc.parametrize(argument, [name for name in members[kind] if name not in hidden])


@pytest.fixture(scope="session")
def real_data():
    """A function: name -> path of real data, below BAYESCR_TEST_DATA or ../shared/data."""
    folder = Path(os.environ.get("BAYESCR_TEST_DATA") or HERE.parents[1] / "shared" / "data")

    def find(name):
        if not (folder / name).exists():
            pytest.skip(f"real data not found: {name}; BAYESCR_TEST_DATA may name its folder")
        return folder / name

    return find


@pytest.fixture(scope="session")
def families(pytestconfig):
    return _of(pytestconfig)


@pytest.fixture
def prior(prior_name, families):
    return families.members["prior"][prior_name]


@pytest.fixture
def guide_factory(guide_name, families):
    return families.members["guide"][guide_name]


@pytest.fixture
def any_guide_factory(any_guide_name, families):
    return families.guides[any_guide_name]


@pytest.fixture
def likelihood(likelihood_name, families):
    return families.members["likelihood"][likelihood_name]


@pytest.fixture
def schedule(schedule_name, families):
    return families.members["schedule"][schedule_name]
