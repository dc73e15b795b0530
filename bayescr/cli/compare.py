"""``bayescr compare``: an experiment's file in; fits and a report out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayescr.cli._options import Device, Quiet, check_folder, shows_progress
from bayescr.errors import BayescrError

__all__ = ["EXAMPLE", "compare"]

EXAMPLE = (
    "Example:  bayescr compare experiments/quick.toml -o quick"
    "\n\n"
    "Interrupted, or with more arms, the same command goes on where it was: fits are kept in "
    "DIR/runs, each under a name that tells its settings, its data and the code apart."
    "\n\n"
    "Status: 0; of --check 1 where something differs; 2 for bad input."
)


def compare(
    experiment: Annotated[
        Path | None, typer.Argument(help="The experiment, a TOML file.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for everything.", show_default=False),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            help="Instead: evaluate the fits in this folder again, and say whether the same "
            "tables come out.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what is to do and what is there.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Train the arms of an experiment and compare them: prints the table, writes DIR/report.

    The seeds are the experiment's.
    """
    show = shows_progress(quiet=quiet)
    if check is not None:
        if experiment is not None or output is not None or dry_run:
            raise BayescrError("--check takes a folder and --device alone: the rest is in there")
        _check(check, device=device, show=show)
        return
    if experiment is None or output is None:
        missing = "EXPERIMENT" if experiment is None else "--output"
        raise BayescrError(
            f"{missing} is missing: expected `bayescr compare experiment.toml -o DIR`"
        )
    check_folder(output)
    if dry_run:
        _plan(experiment, output, device=device)
        return

    from bayescr import experiments

    report = experiments.compare(
        experiment,
        output,
        device=device,
        progress=show,
        say=lambda line: None if quiet else typer.echo(line, err=True),
    )
    typer.echo(str(report))
    typer.echo(f"report: {output / 'report'}")


def _check(folder: Path, *, device: str, show: bool) -> None:
    from bayescr import experiments

    verdict = experiments.check(folder, device=device, progress=show)
    for line in verdict.differences:
        typer.echo(line)
    for line in verdict.versions:
        typer.echo(f"note: {line}", err=True)
    if verdict.differences:
        typer.echo(f"not the same: {verdict.agreeing} table(s) of '{folder}' agree, see above")
        raise typer.Exit(1)
    typer.echo(f"the same: all {verdict.agreeing} tables of '{folder}' came out byte for byte")


def _plan(experiment: Path, output: Path, *, device: str) -> None:
    from bayescr import experiments

    for step in experiments.plan(experiment, output, device=device):
        where = f"  {step.folder}" if step.folder is not None else ""
        typer.echo(f"{step.state:<8}  {step.what}{where}")
