"""One process at a time in a folder, as far as its disk can tell."""

import errno
import logging
import os

import pytest

from bayescr.errors import BayescrError
from bayescr.experiments.lock import locked

fcntl = pytest.importorskip("fcntl")


def test_the_second_is_told_who_the_first_is(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(BayescrError, match=rf"another comparison.*\(process {os.getpid()}\)"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EIO])
def test_a_disk_without_locks_is_no_other_comparison(tmp_path, monkeypatch, caplog, number):
    def flock(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with caplog.at_level(logging.WARNING), locked(tmp_path):
        pass
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(f"this disk has no file locks ({os.strerror(number)}): run one")
    assert str(tmp_path) in message


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(BayescrError, match=r"cannot write in '.*/file/out'"),
        locked(tmp_path / "file" / "out"),
    ):
        pass
