"""What comes before and goes with the training of a posterior, by gradients or by chains."""

from __future__ import annotations

import copy
import hashlib
import platform
from collections.abc import Iterable
from typing import Any

import pyro
import torch
from torch import Tensor

import bayescr
from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference._pyro import guide_name
from bayescr.inference.guides import GuideFactory
from bayescr.inference.posterior import Posterior
from bayescr.models import BayesianSegmenter

__all__ = [
    "begin",
    "census",
    "check_can_stop",
    "check_channels",
    "check_data",
    "check_trainable",
    "describe",
    "versions",
]


def begin(model: BayesianSegmenter, start: Posterior | None, base_rate: Tensor) -> None:
    """Put a model where its training starts: at a posterior's centre, or at the base rate.

    Raises:
        BayescrError: If the posterior is of another network, or has no centre.
    """
    model.is_started = start is not None
    if start is None:
        model.set_base_rate(base_rate)
        return
    theirs = {**start.model.net.state_dict(), **start.median()}
    ours = model.net.state_dict()
    for name, value in ours.items():
        if name not in theirs or theirs[name].shape != value.shape:
            got = tuple(theirs[name].shape) if name in theirs else "nothing"
            raise BayescrError(
                f"start has {got} for weight '{name}', the model {tuple(value.shape)}: start from "
                "a posterior of the same network"
            )
    model.net.load_state_dict({name: theirs[name] for name in ours})


def census(train: PatchDataset) -> tuple[Tensor, int]:
    """Share of positive pixels by class, kept off 0 and 1, and number of valid labels."""
    positive, count = torch.zeros(train.num_classes), 0
    for index in range(len(train)):
        item = train[index]
        positive += (item["target"] * item["valid"]).sum((1, 2))
        count += int(item["valid"].sum())
    if not count:
        raise BayescrError("the training set has no valid pixel: look at the frames' masks")
    return (positive + 0.5) / (count + 1.0), count * train.num_classes


def describe(train: PatchDataset) -> dict[str, Any]:
    """What was trained on, with the hash of its items before they are flipped and turned."""
    plain = copy.copy(train)
    plain.augment = False
    digest = hashlib.sha256()
    for index in range(len(plain)):
        item = plain[index]
        for part in (item["image"], item["target"], item["valid"]):
            digest.update(f"{item['exposure']} {tuple(part.shape)} {part.dtype} ".encode())
            digest.update(part.numpy().tobytes())
    return {
        "items": len(train),
        "patch": train.patch,
        "augment": train.augment,
        "augmentation": None if train.augmentation is None else repr(train.augmentation),
        "sha256": digest.hexdigest(),
    }


def check_trainable(guide: GuideFactory) -> None:
    """Refuse a guide that is made otherwise than by training."""
    if not getattr(guide, "is_trainable", True):
        raise BayescrError(
            f"{guide_name(guide)} is not trained: `nuts(model, train)` draws what it holds; to "
            "fit, take a guide such as MeanField()"
        )


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    return {
        "bayescr": bayescr.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pyro": pyro.__version__,
    }


def check_channels(model: BayesianSegmenter, in_channels: int) -> None:
    """Refuse images that the network is not made for."""
    declared = getattr(model.net, "in_channels", in_channels)
    if declared != in_channels:
        raise BayescrError(
            f"the images have {in_channels} channel(s) but the network in_channels={declared}: "
            f"make it with in_channels={in_channels}"
        )


def check_can_stop(patience: int | None, parts: Iterable[Any], name: str) -> None:
    """Refuse to stop early where one of the guides that are trained needs its last steps."""
    if patience is not None and any(getattr(part, "keeps_last", False) for part in parts):
        raise BayescrError(
            f"patience={patience} would stop {name} early, which needs its last steps: leave "
            "patience out"
        )


def check_data(train: PatchDataset, validation: PatchDataset | None = None) -> None:
    """Refuse data that cannot be trained on, or validated on beside them."""
    if not len(train):
        raise BayescrError("the training set is empty: it needs at least one patch")
    if validation is None:
        return
    if validation.num_classes != train.num_classes:
        raise BayescrError(
            f"validation has {validation.num_classes} classes, train {train.num_classes}: expected "
            "the same"
        )
    if validation.scaling != train.scaling:
        raise BayescrError(
            f"validation is scaled by {validation.scaling}, train by {train.scaling}: use one "
            "Scaling for both"
        )
    shared = sorted(set(train.exposures) & set(validation.exposures))
    if shared:
        raise BayescrError(
            f"exposure '{shared[0]}' is in both train and validation: split by exposure, "
            "`dataset.split(0.8, 0.2)`"
        )
