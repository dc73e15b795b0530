"""The model card of a finished experiment: what its file says of the model, and what came out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import torch

import bayescr
from bayescr import pretrained
from bayescr.evaluation import Report
from bayescr.experiments import _fingerprint as fingerprint
from bayescr.experiments._settings import to_table
from bayescr.experiments.card import Card
from bayescr.experiments.config import Experiment, Simulated
from bayescr.experiments.frames import fields_of
from bayescr.inference import Posterior
from bayescr.pretrained import ModelCard, Score

__all__ = ["METRICS", "SIMULATED_ALONE", "make_card"]

METRICS = ("AUPRC", "TPR at 0.1% FPR", "NLL", "ECE (flagged)", "AUGRC")
"""What a card says of a model: ranking, at a rate of false alarms, and calibration."""

SIMULATED_ALONE = (
    "Trained, validated and tested on simulated exposures alone: the scores above say how well it "
    "does there. On an instrument that the simulation does not know they may be lower, and "
    "probabilities less calibrated; MUTUAL_INFORMATION says where the network is out of its depth."
)


def make_card(
    said: Card,
    experiment: Experiment,
    posterior: Posterior,
    report: Report,
    *,
    record: Mapping[str, Any],
    recipe: str,
    recipe_sha256: str,
    rounding: float,
) -> ModelCard:
    """The card of a model.

    Args:
        said: What the experiment says of the model.
        experiment: With one seed.
        posterior: The model.
        report: On the test exposures.
        record: What ``experiment.json`` says.
        recipe: Name of the experiment's file.
        recipe_sha256: Of that file.
        rounding: Largest change of a probability by the storage.
    """
    start, arm = experiment.start, experiment.arms[said.arm]
    parts = {name: part["files"] for name, part in record["data"].items()}
    simulated = experiment.data.simulate
    weights = sum(weight.numel() for weight in posterior.model.random_weights.values())
    settings = ", ".join(f"{k} {v}" for k, v in posterior.model.net.config.items())  # type: ignore
    return {
        "format": pretrained.FORMAT,
        "name": said.name,
        "summary": said.summary,
        "suits": list(said.suits),
        "limits": [*([SIMULATED_ALONE] if simulated else []), *said.limits],
        "licence": said.licence,
        "network": f"U-Net, {settings}; {weights} random weights",
        "guide": repr(posterior.guide_factory),
        "prior": repr(posterior.model.prior),
        "temperature": posterior.temperature,
        "predictor": said.arm,
        "scores": _scores(report, own=said.arm),
        "level": report.level,
        "num_samples": experiment.evaluation.num_samples,
        "rounding": rounding,
        "base_rate": posterior.provenance["base_rate"],
        "recipe": recipe,
        "recipe_sha256": recipe_sha256,
        "simulated": None if simulated is None else _told(simulated),
        "exposures": {name: len(files) for name, files in parts.items()},
        "data_sha256": {name: fingerprint.of_json(files) for name, files in parts.items()},
        "seed": experiment.seeds[0],
        "epochs": [*([start.epochs] if start and arm.start else []), arm.training.epochs],
        "versions": {
            "bayescr": bayescr.__version__,
            "torch": torch.__version__,
            "pyro": metadata.version("pyro-ppl"),
        },
    }


def _told(simulated: Simulated) -> dict[str, Any]:
    """The settings, with the fields of every instrument by their names."""
    told: dict[str, Any] = to_table(simulated)
    if simulated.instruments:
        del told["fields"]
        seen = fields_of(simulated)
        told["instruments"] = {str(name): list(fields) for name, fields in seen.items()}
    return told


def _scores(report: Report, *, own: str) -> list[Score]:
    """The model on every field, the other rows on all exposures."""
    table = report.intervals
    everywhere = table["field"].iloc[0]
    wanted = table[(table["predictor"] == own) | (table["field"] == everywhere)]
    by_metric = [wanted[wanted["metric"] == metric] for metric in METRICS]
    return [
        {
            "predictor": row["predictor"], "field": row["field"], "metric": row["metric"],
            "better": row["better"], "value": _known(row["value"]),
            "low": _known(row["low"]), "high": _known(row["high"]),
        }
        for part in by_metric
        for row in part.to_dict("records")
    ]  # fmt: skip


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
