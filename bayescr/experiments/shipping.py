"""A model that can be shipped: an arm of a finished experiment, shrunk, with its card.

A recipe is an experiment with a table [card]:

    [card]
    name = "ground"
    arm = "mean-field"
    summary = "For cameras on the ground."
    suits = ["CCD images", "long-slit spectra"]

`build` compares first, which simulates, trains and evaluates what is missing, and then writes

    <name>.safetensors   the posterior in float16, the card in its provenance
    <name>.md            the card
    SHA256SUMS           of the models in the folder

The same recipe on the same machine with the same number of threads gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bayescr import pretrained
from bayescr._files import atomic_path
from bayescr.data import PatchDataset, Scaling
from bayescr.errors import BayescrError
from bayescr.experiments import _fingerprint as fingerprint
from bayescr.experiments.comparison import RECORD, SOURCE, compare
from bayescr.experiments.frames import Part
from bayescr.experiments.model_card import make_card
from bayescr.experiments.reading import read_experiment
from bayescr.inference import Posterior
from bayescr.inference.checkpoints import own_parts, read_description

__all__ = ["build"]

STORED = torch.float16
LARGEST_CHANGE = 0.05  # of a probability by the storage; more than this is no rounding any more


def build(
    recipe: str | Path,
    output: str | Path,
    *,
    into: str | Path | None = None,
    device: str = "auto",
    progress: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Path:
    """Make a model from its recipe; goes on where it was, as `compare` does.

    Args:
        recipe: The TOML file of an experiment with a table [card].
        output: The folder of the experiment.
        into: The folder for the model; default: ``output/model``.
        device: Where to train and predict.
        progress: Show bars.
        say: Called with a line about each step.

    Returns:
        The model's file.

    Raises:
        BayescrError: If the recipe has no card, its model has parts that the file cannot hold, or
            storage in float16 would change its predictions, and as of `compare`.
    """
    recipe, output = Path(recipe), Path(output)
    if read_experiment(recipe).card is None:
        raise BayescrError(
            f"'{recipe}' has no table [card]: expected one that says name, arm, summary and suits"
        )
    report = compare(recipe, output, device=device, progress=progress, say=say)
    experiment = read_experiment(output / SOURCE)  # what was compared, should the file have changed
    card = experiment.card
    if card is None:
        raise BayescrError(f"'{recipe}' was changed while it was built: build it again")
    record = json.loads((output / RECORD).read_text(encoding="utf-8"))
    folder = output / record["runs"][card.arm][0]
    own = own_parts(read_description(folder))
    if own:
        raise BayescrError(
            f"the {next(iter(own))} of arm '{card.arm}' is your own code, which a model cannot "
            "hold: take one of bayescr's"
        )
    posterior = Posterior.load(folder)
    file = (output / "model" if into is None else Path(into)) / f"{card.name}.safetensors"
    test = _test(record, output, scaling=posterior.scaling)
    with atomic_path(file) as temporary:
        posterior.save(temporary, dtype=STORED)
        rounding = _largest_change(
            posterior, Posterior.load(temporary), test, samples=experiment.evaluation.num_samples
        )
        made = make_card(
            card,
            experiment,
            posterior,
            report,
            record=record,
            recipe=recipe.name,
            recipe_sha256=fingerprint.of_file(output / SOURCE),
            rounding=rounding,
        )
        posterior.provenance["card"] = made
        posterior.save(temporary, dtype=STORED)
    with atomic_path(file.with_suffix(".md")) as temporary:
        temporary.write_text(pretrained.to_markdown(made), encoding="utf-8")
    pretrained.add(file)
    say(f"model '{card.name}', {file.stat().st_size / 1e6:.2f} MB: {file}")
    return file


def _test(record: dict[str, Any], output: Path, *, scaling: Scaling) -> PatchDataset:
    folder = output / record["data"]["test"]["folder"]  # of a user's folder the path is whole
    return Part(name="test", folder=folder).dataset(patch=None, scaling=scaling)


def _largest_change(
    exact: Posterior, stored: Posterior, test: PatchDataset, *, samples: int
) -> float:
    """Of a probability on the test exposures.

    Raises:
        BayescrError: If it is more than rounding.
    """
    largest = 0.0
    for index in range(len(test)):
        maps = [
            one.predict(test.frame(index), num_samples=samples, precision="float32").probability
            for one in (exact, stored)
        ]
        largest = max(largest, float(np.abs(maps[0] - maps[1]).max()))
    if largest > LARGEST_CHANGE:
        raise BayescrError(
            f"stored as {STORED} the model changes a probability by {largest:.2g}, expected at "
            f"most {LARGEST_CHANGE}: its weights have too wide a range; train it on"
        )
    return largest
