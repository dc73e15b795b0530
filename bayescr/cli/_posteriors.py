"""Posteriors as the commands meet them: loaded with the user's own code, and told in a line."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bayescr.cli._options import chosen
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    import pandas as pd

    from bayescr.inference import Posterior

__all__ = ["kept_epochs", "load_posterior", "options", "own_code", "told"]


def load_posterior(
    path: Path,
    *,
    prior: str | None = None,
    likelihood: str | None = None,
    guide: str | None = None,
    device: str = "cpu",
) -> Posterior:
    """Read a posterior, and make those of its parts that are the user's own.

    Args:
        path: Its file or folder.
        prior: Its prior as the option names it, if that is the user's own.
        likelihood: Its likelihood.
        guide: Its guide.
        device: Where to put it.

    Raises:
        BayescrError: If it cannot be read, a part is missing, or one was given that is not needed.
    """
    from bayescr.inference import Posterior, guides
    from bayescr.models import likelihoods, priors

    families: dict[str, Mapping[str, Any]] = {
        "prior": priors.FAMILY, "likelihood": likelihoods.FAMILY, "guide": guides.FAMILY,
    }  # fmt: skip
    needed, spelled = own_code(path)
    given = {"prior": prior, "likelihood": likelihood, "guide": guide}
    wanted = {part: text for part, text in given.items() if text is not None}
    if "net" in needed:
        raise BayescrError(
            f"the network in '{path}' is your own ({needed['net']}): load it in Python, "
            "Posterior.load(..., model=...)"
        )
    missing = {part: said for part, said in needed.items() if part not in wanted}
    if missing:
        what = " and ".join(f"the {part} ({said})" for part, said in missing.items())
        raise BayescrError(
            f"'{path}' was trained with your own code, which it does not hold, {what}: add "
            f"{options(missing, spelled)}"
        )
    made = {part: chosen(text, families[part], kind=part) for part, text in wanted.items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        posterior = Posterior.load(path, **made, device=device)
    for warning in caught:
        typer.echo(f"note: {warning.message}", err=True)
    return posterior


def own_code(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The parts of a posterior that are the user's own, and how training was given them."""
    from bayescr.inference.checkpoints import own_parts, read_description

    described = read_description(path)
    provenance = described.get("provenance")
    spelled = provenance.get("code", {}) if isinstance(provenance, dict) else {}
    return own_parts(described), spelled


def options(parts: Iterable[str], spelled: Mapping[str, str]) -> str:
    """The options that give a command these parts: ``--prior my_prior.py:laplace``."""
    words = (f"--{part} {shlex.quote(spelled.get(part, 'file.py:attribute'))}" for part in parts)
    return " ".join(words)


def kept_epochs(posterior: Posterior) -> pd.DataFrame:
    """The rows of the history at which the weights were kept: one, or one a member."""
    history, kept = posterior.history, posterior.provenance.get("kept_epoch")
    if kept is None:  # it was not trained epoch by epoch
        return history.iloc[:0]
    if "member" not in history:
        return history[history["epoch"] == kept]
    pairs = set(enumerate(kept if isinstance(kept, list) else [kept]))
    return history[
        [pair in pairs for pair in zip(history["member"], history["epoch"], strict=True)]
    ]


def told(posterior: Posterior) -> str:
    """What was kept: ``epoch 7 of 20``, ``epochs 7, 9, 6 of 20 for 3 members``."""
    rows = kept_epochs(posterior)
    last = int(posterior.history["epoch"].max())
    epochs = ", ".join(str(epoch) for epoch in rows["epoch"])
    if len(rows) == 1:
        return f"epoch {epochs} of {last}"
    return f"epochs {epochs} of {last} for {len(rows)} members"
