"""The weights in the package: found by name, and whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from bayescr._files import atomic_path
from bayescr._names import unknown_name
from bayescr.errors import BayescrError

__all__ = ["SUMS", "add", "available", "weights"]

SUMS = "SHA256SUMS"
_SUFFIX = ".safetensors"


def available() -> dict[str, str]:
    """Name -> SHA-256 of its file, of every model that this installation has."""
    return _read(_folder() / SUMS)


@contextlib.contextmanager
def weights(name: str) -> Iterator[Path]:
    """The file of a model, for as long as the block runs: a package may lie in an archive.

    Args:
        name: One of `available`.

    Raises:
        BayescrError: If there is no such model, or its file is not as it was made.

    Example:
        >>> with weights("ground") as path:  # doctest: +SKIP
        ...     posterior = Posterior.load(path)
    """
    known = available()
    if not known:
        raise BayescrError(
            f"no model '{name}': this installation of bayescr comes without trained weights; build "
            f"them, `bayescr models --build recipes/{name}.toml -o DIR`, or give the file or "
            "folder of a posterior of your own"
        )
    if name not in known:
        raise unknown_name("model", name, known)
    file = _folder() / f"{name}{_SUFFIX}"
    if not file.is_file():
        raise BayescrError(f"the file of model '{name}' is missing: install bayescr again")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != known[name]:
        raise BayescrError(
            f"the file of model '{name}' has SHA-256 {found[:12]}..., expected "
            f"{known[name][:12]}...: it was damaged or replaced; install bayescr again"
        )
    with resources.as_file(file) as path:
        yield path


def add(file: Path) -> None:
    """Enter a model's file, ``name.safetensors``, in the list of sums beside it."""
    sums = _read(file.parent / SUMS)
    sums[file.stem] = hashlib.sha256(file.read_bytes()).hexdigest()
    with atomic_path(file.parent / SUMS) as temporary:
        lines = [f"{digest}  {name}{_SUFFIX}\n" for name, digest in sorted(sums.items())]
        temporary.write_text("".join(lines), encoding="ascii")


def _folder() -> Traversable:
    return resources.files(__package__)


def _read(file: Traversable) -> dict[str, str]:
    lines = file.read_text(encoding="ascii").splitlines() if file.is_file() else []
    pairs = [line.split() for line in lines]
    return {name.removesuffix(_SUFFIX): digest for digest, name in pairs}
