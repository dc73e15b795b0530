"""One process at a time in a folder."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from bayescr.errors import BayescrError

__all__ = ["locked"]

_FILE = ".lock"
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others out of a folder while the block runs.

    The lock is the system's, on a file: it ends with the process, killed or not, so that none is
    ever left behind. The file stays, empty. Where the system or the disk has no locks, as some
    disks on a network, a warning says that others are not kept out.

    Raises:
        BayescrError: If another process is in there, or the folder cannot be made or written to.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        _warn(folder, "this system has no file locks")
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise BayescrError(
            f"cannot write in '{folder}': {error.strerror or error}; choose another folder"
        ) from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BayescrError(
                f"another comparison is at work in '{folder}' ({_owner(file)}): wait for it, or "
                "choose another folder"
            ) from error
        except OSError as error:
            _warn(folder, f"this disk has no file locks ({error.strerror or error})")
        os.truncate(file, 0)
        os.pwrite(file, f"process {os.getpid()}".encode(), 0)
        try:
            yield
        finally:
            os.truncate(file, 0)
    finally:
        os.close(file)  # which gives the lock back


def _warn(folder: Path, reason: str) -> None:
    _log.warning("%s: run one comparison at a time in '%s'", reason, folder)


def _owner(file: int) -> str:
    return os.pread(file, 100, 0).decode(errors="replace") or "an unknown process"
