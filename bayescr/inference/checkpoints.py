"""A posterior on disk: one safetensors file, its description as JSON in the file's header.

Tensors are named ``model.net.*`` (network) and ``guide.*``. The description names the network,
prior, likelihood and guide with their settings, and members inside others the same way. Only
members of bayescr's own families and Pyro's autoguides are ever made from a name in a file:
loading runs no code that the file chose, and nothing is unpickled. What a user wrote is handed to
`load` by the user.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bayescr._device import find_device
from bayescr._files import atomic_path
from bayescr._random import seeded
from bayescr.data import Scaling
from bayescr.errors import BayescrError
from bayescr.inference._parts import from_json, own, to_json
from bayescr.inference._pyro import build_guide
from bayescr.inference.guides import GuideFactory
from bayescr.inference.posterior import Posterior
from bayescr.models import BayesianSegmenter
from bayescr.models.likelihoods import Likelihood
from bayescr.models.priors import Prior

__all__ = ["FILE_NAME", "describe", "find", "load", "own_parts", "read_description", "save"]

FILE_NAME = "posterior.safetensors"
_KEY, _FORMAT = "bayescr", 1
_MODEL = ("net", "prior", "likelihood")


def save(posterior: Posterior, path: str | Path, *, dtype: torch.dtype | None = None) -> Path:
    """Write a posterior; returns the file.

    Args:
        posterior: What to write.
        path: A file ``*.safetensors``, or a folder, in which it is `FILE_NAME`.
        dtype: Of floating-point tensors in the file, such as ``torch.float16`` for half the size;
            `load` computes in float32 in any case. Default: as they are.

    Raises:
        BayescrError: If the file cannot be written, or a number is too large for ``dtype``.
    """
    path = Path(path)
    target = path if path.suffix == ".safetensors" else path / FILE_NAME
    tensors = {
        f"{part}.{name}": _stored(tensor, dtype, name=f"{part}.{name}")
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
        **{part: to_json(getattr(model, part), part) for part in _MODEL},
        "random": list(model.random_weights),
        "guide": to_json(posterior.guide_factory, "guide"),
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
    prior: Prior | None = None,
    likelihood: Likelihood | None = None,
    guide: GuideFactory | None = None,
    device: torch.device | str | None = "cpu",
) -> Posterior:
    """Read a posterior.

    Only what is your own is given, and by its name it should be that of the training: a warning
    says if it is not, since a function may have been renamed since, or be another.

    Args:
        path: The file, or its folder.
        model: The model as it was declared, which is copied: if its network is your own, or
            instead of ``prior`` and ``likelihood``.
        prior: The prior, if it, or one inside it, is your own.
        likelihood: The likelihood, if it is your own.
        guide: The guide factory, if it, or one inside it, is your own.
        device: Where to put it.

    Raises:
        BayescrError: If there is no such file, it is not one of bayescr's, a part of it is the
            user's own and was not given, or one was given that the file knows.
    """
    if model is not None and (prior is not None or likelihood is not None):
        raise BayescrError("model= has a prior and a likelihood: give it or them, not both")
    file = find(path)
    described = read_description(file)
    given = {"model": model, "prior": prior, "likelihood": likelihood, "guide": guide}
    _check_needed(described, given, file)
    try:
        with seeded(0):  # networks and guides draw start values, which the file's then replace
            if model is None:
                parts = (_part(described, kind, given, file) for kind in _MODEL)
                model = BayesianSegmenter(*parts, random=described["random"])
            guide = _part(described, "guide", given, file)
            model = copy.deepcopy(model).cpu()
            built = build_guide(guide, model, in_channels=described["in_channels"])
        model.load_state_dict(_tensors(file, "model"))
        built.load_state_dict(_tensors(file, "guide"))
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
            f"'{file}' does not fit the model it describes ({reason}): it was changed, or what "
            "was given to load it is not what it was trained with"
        ) from error
    _compare(described, posterior, given, file)
    return posterior.to(find_device(device))


def own_parts(described: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a described posterior that are the user's own, and what they are.

    ``{"prior": "my_prior.laplace"}``: these `load` wants to be given.
    """
    found = {part: own(described.get(part)) for part in (*_MODEL, "guide")}
    return {part: said for part, said in found.items() if said is not None}


def read_description(path: str | Path) -> dict[str, Any]:
    """What `describe` said of a posterior when it was saved; errors as of `load`."""
    file = find(path)
    with _opened(file) as opened:
        metadata = opened.metadata() or {}
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
    return described


def _stored(tensor: torch.Tensor, dtype: torch.dtype | None, *, name: str) -> torch.Tensor:
    kept = tensor.detach().cpu().clone().contiguous()
    if dtype is None or not kept.is_floating_point():
        return kept
    stored = kept.to(dtype)
    if not bool((stored.isfinite() == kept.isfinite()).all()):
        raise BayescrError(
            f"tensor '{name}' reaches {kept.abs().max():.3g}, more than {dtype} holds: save it "
            "without dtype"
        )
    return stored


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, framework="pt") as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        raise BayescrError(
            f"'{file}' is not a safetensors file ({error}): give what `bayescr train` wrote"
        ) from error


def _tensors(file: Path, part: str) -> dict[str, torch.Tensor]:
    prefix = part + "."
    with _opened(file) as opened:
        return {
            name.removeprefix(prefix): opened.get_tensor(name)
            for name in opened.keys()  # noqa: SIM118
            if name.startswith(prefix)
        }


def _check_needed(described: Mapping[str, Any], given: Mapping[str, Any], file: Path) -> None:
    """Refuse what the file knows: it would be said twice."""
    needed = own_parts(described)
    if not needed.keys().isdisjoint(_MODEL):  # a model brings parts that need not be given
        needed["model"] = ""
    for part, thing in given.items():
        if thing is not None and part not in needed:
            raise BayescrError(
                f"'{file}' knows its {part}: one is given only where it is your own; leave it out"
            )


def _compare(
    described: Mapping[str, Any], posterior: Posterior, given: Mapping[str, Any], file: Path
) -> None:
    """Parts that were given against those of the training, by name and settings."""
    needed, now = own_parts(described), json.loads(json.dumps(describe(posterior)))
    for part in (*_MODEL, "guide"):
        giver = given["model"] if part in _MODEL and given["model"] is not None else given.get(part)
        if giver is None or now[part] == described[part]:
            continue
        said = needed.get(part, json.dumps(described[part]))
        if part not in needed:
            raise BayescrError(
                f"the {part} in the model given for '{file}' is not that of the training, {said}: "
                "declare that one"
            )
        warnings.warn(
            f"by its name the {part} given for '{file}' is not that of the training, {said}",
            stacklevel=4,  # who called Posterior.load
        )


def _part(described: Mapping[str, Any], part: str, given: Mapping[str, Any], file: Path) -> Any:
    """The network, prior, likelihood or guide: as given, or as the file describes it."""
    if given.get(part) is not None:
        return given[part]
    said = own(described[part])
    if said is not None:
        argument = part if part in given else "model"
        raise BayescrError(
            f"the {part} in '{file}' is your own ({said}): make it again and give "
            f"load(..., {argument}=...)"
        )
    return from_json(described[part], part, file=file)
