"""From an experiment's file to a report: simulate and train what is missing, then evaluate.

The folder of an experiment:

    frames/         simulated exposures
    runs/           fits
    code/           copies of the user's own files
    report/         what `Report.save` writes
    experiment.toml the file, as it was
    experiment.json what it came to: settings, hashes of the data, fits
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

import bayescr
from bayescr._files import atomic_path
from bayescr._progress import track
from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.evaluation import Report
from bayescr.experiments import _fingerprint as fingerprint
from bayescr.experiments._settings import to_table
from bayescr.experiments.assessment import assess
from bayescr.experiments.frames import Part
from bayescr.experiments.lock import locked
from bayescr.experiments.preparation import Prepared, check_apart, check_frames, prepare
from bayescr.experiments.runs import Run, in_order, load, recipe_of, train

__all__ = ["RECORD", "REPORT", "SOURCE", "Step", "compare", "evaluate_runs", "plan"]

SOURCE, RECORD, REPORT = "experiment.toml", "experiment.json", "report"
FORMAT = 1

State = Literal["simulate", "given", "train", "cached", "unused"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that a comparison does, has done, or keeps without using it.

    Attributes:
        what: Such as "train frames" or "mean-field, seed 0".
        state: What there is to do.
        folder: Where it is or will be, as far as that is known.
    """

    what: str
    state: State
    folder: Path | None


def plan(experiment: str | Path, output: str | Path, *, device: str = "auto") -> list[Step]:
    """What `compare` would do; touches nothing.

    Where frames are still to be simulated nothing is known of what is trained on them, so that all
    fits are to do.

    Raises:
        BayescrError: If something in the experiment, or its data, cannot be.
    """
    prepared = prepare(experiment, output, device=device)
    check_frames(prepared)
    parts = prepared.parts.values()
    steps = [
        Step(what=f"{part.name} frames", state=_state(part), folder=part.folder) for part in parts
    ]
    known = all(part.is_there for part in parts)
    data = {part.name: part.hashes() if known else {} for part in parts}
    runs = in_order(prepared.runs(data))
    for run in runs:
        is_cached = known and run.is_done
        state: State = "cached" if is_cached else "train"
        steps.append(Step(what=run.title, state=state, folder=run.folder if known else None))
    if known:
        check_apart(data)
        unused = _unused(prepared, runs)
        steps += [Step(what=folder.name, state="unused", folder=folder) for folder in unused]
    return steps


def compare(
    experiment: str | Path,
    output: str | Path,
    *,
    device: str = "auto",
    progress: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Report:
    """Train the arms of an experiment, as far as they are not trained yet, and compare them.

    Interrupted at any time, it goes on where it was when called again: a fit that had begun is
    made anew, none that had ended. On the same machine with the same number of threads the result
    is the same, byte for byte. The experiment's file and the user's own code are read once: what
    is edited meanwhile counts the next time.

    Args:
        experiment: The TOML file.
        output: The folder of everything; made when missing.
        device: Where to train and predict.
        progress: Show bars.
        say: Called with a line about each step.

    Returns:
        The report, which is saved in ``output/report``.

    Raises:
        BayescrError: If something in the experiment or its data cannot be, another process is at
            work in the folder, or a fit fails.
    """
    prepared = prepare(experiment, output, device=device)
    output = prepared.output
    if (output / REPORT).exists() and not (output / "runs").is_dir():
        raise BayescrError(f"'{output / REPORT}' is of no experiment: choose another folder")
    check_frames(prepared)
    with locked(output):
        prepared = prepared.with_copies()
        for note in prepared.notes:
            say(f"note: {note}")
        for part in prepared.parts.values():
            say(f"{_state(part)} {part.name} frames: {part.folder}")
            part.make(show=progress)
        data = {name: part.hashes() for name, part in prepared.parts.items()}
        check_apart(data)
        arms = prepared.runs(data)
        runs = in_order(arms)
        _train_missing(runs, prepared, progress=progress, say=say)
        for folder in _unused(prepared, runs):
            say(f"unused: {folder}")
        folders = {name: [run.folder for run in each] for name, each in arms.items()}
        say(f"evaluate {len(arms)} arm(s) of {len(prepared.experiment.seeds)} seed(s)")
        report = evaluate_runs(prepared, folders, data=data, progress=progress)
        (output / RECORD).unlink(missing_ok=True)  # while it is missing, nothing is complete
        _replace(output / REPORT, report)
        with atomic_path(output / SOURCE) as temporary:
            temporary.write_bytes(prepared.source)
        with atomic_path(output / RECORD) as temporary:
            record = _record(prepared, data, folders)
            temporary.write_text(fingerprint.to_json(record), encoding="utf-8")
    return report


def evaluate_runs(
    prepared: Prepared,
    folders: Mapping[str, Sequence[Path]],
    *,
    data: Mapping[str, Mapping[str, str]],
    progress: bool,
) -> Report:
    """Evaluate fits that are kept.

    Args:
        prepared: The experiment.
        folders: Arm -> the folder of its fit with each seed.
        data: Part -> file -> hash.
        progress: Show a bar.

    Raises:
        BayescrError: If a fit is not there, or not as it was.
    """
    posteriors = {
        name: [
            load(recipe_of(arm), folder, code=prepared.code, device=prepared.device)
            for folder in folders[name]
        ]
        for name, arm in prepared.experiment.arms.items()
    }
    datasets = {
        name: part.dataset(patch=None, scaling=prepared.scaling)
        for name, part in prepared.parts.items()
        if name != "train"
    }
    with track("evaluate", len(datasets["test"]), show=progress) as advance:
        return assess(
            prepared.experiment,
            posteriors,
            datasets,
            notes=prepared.notes,
            code=prepared.code,
            context=_context(prepared, folders, data),
            progress=lambda done, total: advance(),
        )


def _train_missing(
    runs: Sequence[Run], prepared: Prepared, *, progress: bool, say: Callable[[str], object]
) -> None:
    @functools.cache
    def patches(part: str, side: int) -> PatchDataset:
        return prepared.parts[part].dataset(patch=side, scaling=prepared.scaling)

    for number, run in enumerate(runs, start=1):
        state = "cached" if run.is_done else "train"
        say(f"{number}/{len(runs)} {state} {run.title}: {run.folder}")
        if run.is_done:
            continue
        shutil.rmtree(run.folder, ignore_errors=True)  # what an interrupted fit has left
        side = run.recipe.training.patch
        train(
            run,
            patches("train", side),
            validation=patches("validation", side) if "validation" in prepared.parts else None,
            code=prepared.code,
            device=prepared.device,
            progress=progress,
        )


def _unused(prepared: Prepared, runs: Iterable[Run]) -> list[Path]:
    """Fits and frames of other settings, which stay until somebody deletes them."""
    used = {run.folder for run in runs} | {part.folder for part in prepared.parts.values()}
    folders = [*prepared.output.glob("frames/*"), *prepared.output.glob("runs/*")]
    return sorted(set(folders) - used)


def _state(part: Part) -> State:
    if not part.series:
        return "given"
    return "cached" if part.is_there else "simulate"


def _replace(folder: Path, report: Report) -> None:
    """Save a report in the place of another, of which nothing may stay."""
    fresh = folder.with_name(f".{folder.name}")
    shutil.rmtree(fresh, ignore_errors=True)
    report.save(fresh)
    if folder.exists():
        shutil.rmtree(folder)
    fresh.rename(folder)


def _record(
    prepared: Prepared,
    data: Mapping[str, Mapping[str, str]],
    folders: Mapping[str, Sequence[Path]],
) -> dict[str, Any]:
    """What `check` needs, and what a reader may want to know."""
    output = prepared.output
    return {
        "format": FORMAT,
        "bayescr": bayescr.__version__,
        "device": prepared.device,
        "threads": torch.get_num_threads(),  # sums over pixels are split among them
        "settings": to_table(prepared.experiment),
        "notes": list(prepared.notes),
        "data": {
            name: {
                "folder": (
                    part.folder.relative_to(output) if part.series else part.folder
                ).as_posix(),
                "files": data[name],
            }
            for name, part in prepared.parts.items()
        },
        "runs": {
            name: [folder.relative_to(output).as_posix() for folder in each]
            for name, each in folders.items()
        },
        "code": dict(prepared.code.copies),
    }


def _context(
    prepared: Prepared,
    folders: Mapping[str, Sequence[Path]],
    data: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """The experiment for the report's manifest, without a word of where on a disk it was."""
    copies = prepared.code.copies.values()
    return {
        "experiment": _without_folders(to_table(prepared.experiment)),
        "data": {part: dict(files) for part, files in data.items()},
        "fits": {name: [folder.name for folder in each] for name, each in folders.items()},
        "code": {copy: fingerprint.of_file(prepared.code.folder / copy) for copy in copies},
    }


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
