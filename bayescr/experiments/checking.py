"""Evaluating a finished experiment again, to see whether the same tables come out."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from bayescr.errors import BayescrError
from bayescr.experiments import _fingerprint as fingerprint
from bayescr.experiments._settings import to_table
from bayescr.experiments.comparison import FORMAT, RECORD, REPORT, SOURCE, evaluate_runs
from bayescr.experiments.frames import Part
from bayescr.experiments.lock import locked
from bayescr.experiments.own_code import OwnCode
from bayescr.experiments.preparation import prepare

__all__ = ["CheckResult", "check"]

_TABLES = (".csv", ".json", ".md", ".parquet", ".tex")  # pictures and pages are drawn from these
_MAY_DIFFER, _MANIFEST = "hardware.json", "manifest.json"
_SHOWN = 5  # differences of a file
_WIDE = 60  # characters of a value


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What came of a check.

    Attributes:
        agreeing: Files that came out the same.
        differences: What did not, a line each; empty when all is as it was.
        versions: In which versions, code or device the two evaluations differ, a line each: no
            difference by itself, but what may be behind one.
    """

    agreeing: int
    differences: tuple[str, ...]
    versions: tuple[str, ...] = ()


def check(output: str | Path, *, device: str = "auto", progress: bool = False) -> CheckResult:
    """Evaluate the fits of a finished experiment again and compare all tables, byte for byte.

    The folder suffices: it has the fits, the frames that were simulated and copies of the user's
    own code. Frames of the user's are looked for where they were. Nothing is changed.

    Args:
        output: The folder that `compare` filled.
        device: Where to predict.
        progress: Show bars.

    Returns:
        The verdict. Where data or fits are not what they were, it says which, and nothing is
        evaluated.

    Raises:
        BayescrError: If the folder holds no finished experiment.
    """
    output = Path(output)
    record = _read_record(output)
    with locked(output) if os.access(output, os.W_OK) else contextlib.nullcontext():
        changed = list(_changed_code(output, record["code"]))
        if changed:
            return CheckResult(agreeing=0, differences=tuple(changed))
        code = OwnCode(folder=output, copies=record["code"])
        prepared = prepare(output / SOURCE, output, code=code, device=device)
        data = {name: part["files"] for name, part in record["data"].items()}
        parts = {
            name: Part(name=name, folder=output / part["folder"])
            for name, part in record["data"].items()
        }
        prepared = dataclasses.replace(prepared, parts=parts)
        runs = {name: [output / run for run in each] for name, each in record["runs"].items()}
        settings = json.loads(json.dumps(to_table(prepared.experiment)))
        changed = [
            *_changed_data(parts, data),
            *_changed_settings(record["settings"], settings),
        ]
        if changed:
            return CheckResult(agreeing=0, differences=tuple(changed))
        try:
            with _threads(record["threads"]):
                report = evaluate_runs(prepared, runs, data=data, progress=progress)
        except BayescrError as error:
            return CheckResult(agreeing=0, differences=(str(error),))
        with tempfile.TemporaryDirectory(prefix="bayescr-check-") as folder:
            report.save(folder, figures=False)
            verdict = _compare(output / REPORT, Path(folder))
    if record["device"] == prepared.device:
        return verdict
    device = f"the report was made on {record['device']}, this is {prepared.device}"
    return dataclasses.replace(verdict, versions=(device, *verdict.versions))


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    """As many threads as the report was made with: their number decides how sums are rounded."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _read_record(output: Path) -> dict[str, Any]:
    try:
        record = json.loads((output / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BayescrError(
            f"'{output}' holds no finished experiment ({RECORD}: "
            f"{getattr(error, 'strerror', None) or error}): expected the folder of `bayescr "
            "compare`, run to its end"
        ) from error
    if record.get("format") != FORMAT:
        raise BayescrError(
            f"'{output / RECORD}' has format {record.get('format')}, this bayescr reads {FORMAT}: "
            "use the version that wrote it"
        )
    return record


def _changed_code(output: Path, copies: Mapping[str, str]) -> Iterator[str]:
    for file, copy in copies.items():
        path = output / copy  # in a folder that is named after its hash
        if not path.is_file():
            yield f"code: {path}, the copy of {file}, is missing"
        elif not fingerprint.of_file(path).startswith(path.parent.name):
            yield f"code: {path}, the copy of {file}, was changed"


def _changed_data(
    parts: Mapping[str, Part], before: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    for name, part in parts.items():
        try:
            now = part.hashes()
        except BayescrError as error:
            yield str(error)
            continue
        for change in fingerprint.differences(before[name], now):
            yield f"{name} data: {part.folder}/{change}"


def _changed_settings(before: Any, now: Any) -> Iterator[str]:
    for line in _json_differences(before, now):
        yield f"{SOURCE}: {line}"


def _compare(before: Path, now: Path) -> CheckResult:
    ours, theirs = _tables(before), _tables(now)
    agreeing, differences, versions = 0, [], []
    for name in sorted({*ours, *theirs}):
        if name not in theirs or name not in ours:
            where = "only in the report" if name in ours else "missing in the report"
            differences.append(f"{name}: {where}")
            continue
        lines = list(_differences(ours[name], theirs[name]))
        if name == _MANIFEST:
            versions = [line for line in lines if line.startswith("versions.")]
            lines = [line for line in lines if line not in versions]
        agreeing += not lines
        differences += [f"{name}: {line}" for line in lines[:_SHOWN]]
        if len(lines) > _SHOWN:
            differences.append(f"{name}: and {len(lines) - _SHOWN} more")
    return CheckResult(agreeing=agreeing, differences=tuple(differences), versions=tuple(versions))


def _tables(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.suffix in _TABLES and path.name != _MAY_DIFFER
    }


def _differences(before: Path, now: Path) -> Iterator[str]:
    old, new = before.read_bytes(), now.read_bytes()
    if old == new:
        return
    compare = {".csv": _csv_differences, ".json": _json_text_differences}
    try:
        found = [*compare.get(before.suffix, _line_differences)(old.decode(), new.decode())]
    except ValueError:  # not text, as Parquet is not
        found = []
    yield from found or ["other bytes"]


def _csv_differences(before: str, now: str) -> Iterator[str]:
    old, new = (list(csv.reader(text.splitlines())) for text in (before, now))
    names = old[0] if old else []
    if old[:1] != new[:1]:
        yield f"columns {', '.join(names)} were {', '.join(new[0] if new else [])}"
        return
    for number, (a, b) in enumerate(zip_longest(old[1:], new[1:]), start=1):
        row = f"row {number} ({', '.join((a or b)[:2])})"
        if a is None or b is None:
            yield f"{row} is {'missing' if a is None else 'too many'}"
            continue
        for column, x, y in zip_longest(names, a, b, fillvalue=""):
            if x != y:
                yield f"{row}, column '{column}' is {_short(x)}, again it is {_short(y)}"


def _line_differences(before: str, now: str) -> Iterator[str]:
    lines = zip_longest(before.splitlines(), now.splitlines(), fillvalue="")
    for number, (a, b) in enumerate(lines, start=1):
        if a != b:
            yield f"line {number} is {_short(a)}, again it is {_short(b)}"


def _json_text_differences(before: str, now: str) -> Iterator[str]:
    yield from _json_differences(json.loads(before), json.loads(now))


def _json_differences(before: Any, now: Any, at: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            place = f"{at}.{key}" if at else key
            yield from _json_differences(before.get(key), now.get(key), place)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (a, b) in enumerate(zip(before, now, strict=True)):
            yield from _json_differences(a, b, f"{at}[{index}]")
    elif json.dumps(before) != json.dumps(now):
        yield f"{at} is {_short(before)}, again it is {_short(now)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _WIDE else f"{text[:_WIDE]}..."
