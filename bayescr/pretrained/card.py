"""Model cards: what a model is for, what it was made of, how well it does, where it fails.

The card is JSON in the provenance of the posterior, so that it goes wherever the weights go; the
Markdown is made from it, and of nothing else.

References:
    Mitchell et al., "Model Cards for Model Reporting", arXiv:1810.03993.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

__all__ = ["FORMAT", "ModelCard", "Score", "to_markdown"]

FORMAT = 1


class Score(TypedDict):
    """A number of the recipe's report, as `bayescr.evaluation.Report.intervals` has it."""

    predictor: str
    field: str
    metric: str
    better: str
    value: float | None  # None: not defined, such as the calibration of flags where there is none
    low: float | None  # None: too few exposures for an interval
    high: float | None


class ModelCard(TypedDict):
    """Everything on a card, JSON."""

    format: int
    name: str
    summary: str
    suits: list[str]
    limits: list[str]
    licence: str
    network: str
    guide: str
    prior: str
    temperature: float
    predictor: str  # its row among the scores
    scores: list[Score]
    level: float  # of their intervals
    num_samples: int  # draws behind them
    rounding: float  # largest change of a probability by the storage as float16
    base_rate: list[float]  # share of positive training pixels, one a class
    recipe: str  # name of its file
    recipe_sha256: str
    simulated: dict[str, Any] | None  # [data.simulate] of the recipe; None: frames were given
    exposures: dict[str, int]  # part -> number
    data_sha256: dict[str, str]  # part -> of all its files
    seed: int
    epochs: list[int]  # of the start, if there is one, and of the fit
    versions: dict[str, str]


def to_markdown(card: ModelCard) -> str:
    """The card as a page."""
    parts = [
        f"# Model card: {card['name']}\n\n{card['summary']}",
        "Suited to:\n\n" + _listed(card["suits"]),
        "## What it is\n\n" + _table(("", ""), list(_facts(card)), align="ll"),
        "## How well it does\n\n" + _scores(card),
        "## Limits\n\n" + _listed(card["limits"]),
        "## How it was made\n\n" + _origin(card),
        f"## Licence and citation\n\nLicence of the weights: {card['licence']}. Cite bayescr "
        f"{card['versions']['bayescr']} as its CITATION.cff says, and name the model, "
        f"'{card['name']}', with the SHA-256 of its recipe.",
    ]
    return "\n\n".join(parts) + "\n"


def _facts(card: ModelCard) -> Any:
    yield "network", card["network"]
    yield "prior", card["prior"]
    yield "guide", card["guide"]
    tempered = "" if card["temperature"] == 1 else ": tempered, not the Bayesian posterior"
    yield "temperature", f"{card['temperature']:g}{tempered}"
    yield "input", "one frame in any linear unit, scaled by its own sky and noise"
    yield (
        "storage",
        "float16; of the probabilities on the test exposures the one that this moved most moved "
        f"by {card['rounding']:.1g}",
    )
    rates = ", ".join(f"{rate:.2%}" for rate in card["base_rate"])
    yield "base rate", f"{rates} of the training pixels; `bayescr predict` estimates the exposure's"


def _scores(card: ModelCard) -> str:
    own = [score for score in card["scores"] if score["predictor"] == card["predictor"]]
    overall = [score for score in card["scores"] if score["field"] == own[0]["field"]]
    said = (
        f"On {card['exposures']['test']} held-out exposures, by {card['num_samples']} draws; in "
        f"brackets the interval of {card['level']:.0%} over exposures."
    )
    tables = [_pivot(own, by="field", head="exposures")]
    if len({score["predictor"] for score in overall}) > 1:
        tables.append("All of them, beside other rows of the same report:")
        tables.append(_pivot(overall, by="predictor", head="row"))
    return "\n\n".join([said, *tables])


def _pivot(scores: Sequence[Score], *, by: str, head: str) -> str:
    """A row for each field or predictor, a column for each metric."""
    rows: dict[str, dict[str, str]] = {}
    arrows = {"lower": " ↓", "higher": " ↑"}
    for score in scores:
        column = score["metric"] + arrows.get(score["better"], "")
        rows.setdefault(score[by], {})[column] = _number(score)  # type: ignore[literal-required]
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    body = [(name, *(row.get(column, "–") for column in columns)) for name, row in rows.items()]
    return _table((head, *columns), body, align="l" + "r" * len(columns))


def _number(score: Score) -> str:
    if score["value"] is None:
        return "–"
    if score["low"] is None or score["high"] is None:
        return f"{score['value']:.3g}"
    return f"{score['value']:.3g} ({score['low']:.3g} to {score['high']:.3g})"


def _origin(card: ModelCard) -> str:
    lines = [
        f"`bayescr models --build recipes/{card['recipe']} -o DIR`, with the recipe of SHA-256 "
        f"`{card['recipe_sha256']}`.",
        f"Seed of the fit {card['seed']}; epochs {' and then '.join(map(str, card['epochs']))}.",
        *(
            f"{part}: {number} exposures, SHA-256 of all `{card['data_sha256'][part]}`."
            for part, number in card["exposures"].items()
        ),
    ]
    if card["simulated"]:
        settings = ", ".join(f"{key} {_said(value)}" for key, value in card["simulated"].items())
        lines.append(f"Simulated: {settings}.")
    lines.append("Versions: " + ", ".join(f"{k} {v}" for k, v in card["versions"].items()) + ".")
    return _listed(lines)


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{key} ({_said(one)})" for key, one in value.items()]
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return "–" if value in (None, "") else str(value)


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, align: str) -> str:
    rule = [{"l": "---", "r": "---:"}[side] for side in align]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(head), rule, *escaped])
