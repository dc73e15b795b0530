"""A posterior on disk: one safetensors file, its description as JSON in the file's header.

Tensors are named ``model.net.*`` (network) and ``guide.*``. The description names the network,
prior, likelihood and guide with their settings. Only members of bayescr's own families and
Pyro's autoguides are ever made from a name in a file: loading runs no code that the file chose,
and nothing is unpickled. What a user wrote is handed to `load` by the user.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pyro.infer import autoguide
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bayescr._device import find_device
from bayescr._files import atomic_path
from bayescr._random import seeded
from bayescr.data import Scaling
from bayescr.errors import BayescrError
from bayescr.inference import guides
from bayescr.inference._pyro import build_guide, guide_name
from bayescr.inference.guides import GuideFactory
from bayescr.inference.posterior import Posterior
from bayescr.models import BayesianSegmenter, UNet, likelihoods, priors

__all__ = ["FILE_NAME", "find", "load", "save"]

FILE_NAME = "posterior.safetensors"
_KEY, _FORMAT = "bayescr", 1
_NETS = {"unet": UNet}
_AUTOGUIDES = {
    name: member
    for name, member in vars(autoguide).items()
    if isinstance(member, type) and issubclass(member, autoguide.AutoGuide)
}


def save(posterior: Posterior, path: str | Path) -> Path:
    """Write a posterior; returns the file.

    Args:
        posterior: What to write.
        path: A file ``*.safetensors``, or a folder, in which it is `FILE_NAME`.

    Raises:
        BayescrError: If the file cannot be written.
    """
    path = Path(path)
    target = path if path.suffix == ".safetensors" else path / FILE_NAME
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().clone().contiguous()
        for part, module in (("model", posterior.model), ("guide", posterior.guide))
        for name, tensor in module.state_dict().items()
    }
    with atomic_path(target) as temporary:
        save_file(tensors, temporary, metadata={_KEY: json.dumps(describe(posterior))})
    return target


def describe(posterior: Posterior) -> dict[str, Any]:
    """Everything but the tensors, as JSON."""
    model = posterior.model
    return {
        "format": _FORMAT,
        "net": _describe(model.net, _NETS),
        "prior": _describe(model.prior, priors.FAMILY),
        "likelihood": _describe(model.likelihood, likelihoods.FAMILY),
        "random": list(model.random_weights),
        "guide": _describe(posterior.guide_factory, guides.FAMILY),
        "guide_name": posterior.name,
        "in_channels": posterior.in_channels,
        "scaling": dataclasses.asdict(posterior.scaling),
        "temperature": posterior.temperature,
        "history": posterior.history.to_dict("list"),
        "provenance": posterior.provenance,
    }


def find(path: str | Path) -> Path:
    """The posterior's file, given itself or its folder."""
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        what = f"folder without {FILE_NAME}" if path.is_dir() else "file that does not exist"
        raise BayescrError(f"no posterior at '{path}': a {what}; give what `bayescr train` wrote")
    return file


def load(
    path: str | Path,
    *,
    model: BayesianSegmenter | None = None,
    guide: GuideFactory | None = None,
    device: torch.device | str | None = "cpu",
) -> Posterior:
    """Read a posterior.

    Args:
        path: The file, or its folder.
        model: The model as it was declared, which is copied; needed only if its network, prior
            or likelihood is your own.
        guide: The guide factory; needed only if it is your own.
        device: Where to put it.

    Raises:
        BayescrError: If there is no such file, it is not one of bayescr's, or a part of it is
            the user's own and was not given.
    """
    file = find(path)
    described, tensors = _read(file)
    try:
        with seeded(0):  # networks and guides draw start values, which the file's then replace
            if model is None:
                model = _make_model(described, file)
            if guide is None:
                guide = _make(described["guide"], guides.FAMILY, "guide", "guide", file)
            model = copy.deepcopy(model).cpu()
            built = build_guide(guide, model, in_channels=described["in_channels"])
        model.load_state_dict(_part(tensors, "model"))
        built.load_state_dict(_part(tensors, "guide"))
        posterior = Posterior(
            model=model.eval(),
            guide=built.eval(),
            guide_factory=guide,
            scaling=Scaling(**described["scaling"]),
            in_channels=described["in_channels"],
            temperature=described["temperature"],
            history=pd.DataFrame(described["history"]),
            provenance=described["provenance"],
        )
    except BayescrError:
        raise
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BayescrError(
            f"'{file}' does not fit the model it describes ({reason}): it was changed, or "
            "model= and guide= are not those it was trained with"
        ) from error
    return posterior.to(find_device(device))


def _read(file: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BayescrError(
            f"'{file}' is not a safetensors file ({error}): give what `bayescr train` wrote"
        ) from error
    if _KEY not in metadata:
        raise BayescrError(f"'{file}' holds tensors but no bayescr posterior")
    try:
        described = json.loads(metadata[_KEY])
        version = described.get("format")
    except (AttributeError, ValueError) as error:
        raise BayescrError(
            f"'{file}' has a damaged description ({error}): write it again"
        ) from error
    if version != _FORMAT:
        raise BayescrError(
            f"'{file}' has format {version}, this bayescr reads {_FORMAT}: use "
            "the version that wrote it"
        )
    return described, tensors


def _make_model(described: dict[str, Any], file: Path) -> BayesianSegmenter:
    net, prior, likelihood = (
        _make(described[kind], family, kind, "model", file)
        for kind, family in (
            ("net", _NETS), ("prior", priors.FAMILY), ("likelihood", likelihoods.FAMILY),
        )
    )  # fmt: skip
    return BayesianSegmenter(net, prior, likelihood, random=described["random"])


def _part(tensors: Mapping[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    prefix = part + "."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _describe(thing: Any, family: Mapping[str, Any]) -> dict[str, Any]:
    """Name and settings of a member of a family or an autoguide; else only its repr."""
    for name, member in family.items():
        if type(thing) is member:
            settings = getattr(thing, "config", None)
            return {"name": name, **(settings or dataclasses.asdict(thing))}
    arguments = thing.keywords if isinstance(thing, functools.partial) else {}
    name = guide_name(thing)
    if _AUTOGUIDES.get(name) is getattr(thing, "func", thing) and _is_json(arguments):
        return {"name": f"autoguide:{name}", **arguments}
    return {"name": None, "repr": _said(thing)}


def _said(thing: Any) -> str:
    """The repr of a thing, without the address in memory that a function's has."""
    if hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(thing))


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _make(
    described: dict[str, Any], family: Mapping[str, Any], kind: str, argument: str, file: Path
) -> Any:
    settings = dict(described)
    name = settings.pop("name")
    if name is None:
        raise BayescrError(
            f"the {kind} in '{file}' is your own ({settings['repr']}): make it again and give "
            f"load(..., {argument}=...)"
        )
    if kind == "guide" and name.removeprefix("autoguide:") in _AUTOGUIDES:
        return functools.partial(_AUTOGUIDES[name.removeprefix("autoguide:")], **settings)
    if name not in family:
        raise BayescrError(f"'{file}' names a {kind} '{name}' that this bayescr does not have")
    return family[name](**settings)
