"""Which code ran: a hash of the package's source, for reports and caches."""

from __future__ import annotations

import hashlib
from pathlib import Path

import bayescr

__all__ = ["source_sha256"]

_SOURCE = {".py", ".html", ".css", ".js"}


def source_sha256(*floors: str) -> str:
    """Hash of the source of some floors with the ground beneath them; default: of all.

    Args:
        floors: Folders of the package, such as ``"models"``.
    """
    package = Path(bayescr.__file__).parent
    folders = [package / floor for floor in floors] or [package]
    below = {file for folder in folders for file in folder.rglob("*")}
    files = {file for file in below | set(package.glob("*.py")) if file.suffix in _SOURCE}
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.relative_to(package).as_posix()):
        digest.update(f"{file.relative_to(package).as_posix()} ".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
