"""The command line: parse, call the library, print.

A file holds one command. Results go to standard output, progress and errors to standard error.
What the user can mend ends in one line ``error: ...`` and status 2, Ctrl-C in status 130; a
traceback is a bug. The library is imported inside the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bayescr import __version__
from bayescr.cli import compare, evaluate, info, inject, label, models, predict, simulate, train
from bayescr.cli._options import Device, Quiet, Seed
from bayescr.errors import BayescrError

__all__ = ["app", "main"]

_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")  # torch's words


class _OneLineErrors(TyperGroup):
    """Runs a command and turns what the user can mend into one line and a status."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `bayescr info | head`: Typer ends quietly
            raise
        except (BayescrError, OSError) as error:
            message = str(error)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except (MemoryError, RuntimeError) as error:
            lowered = str(error).lower()
            known = isinstance(error, MemoryError) or any(w in lowered for w in _OUT_OF_MEMORY)
            if not known:
                raise
            message = "out of memory: use a smaller --tile, --batch or --batch-size, or another"
            message += " --device"
        typer.echo("error: " + " ".join(message.splitlines()), err=True)
        raise typer.Exit(2)


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start here:  bayescr demo -o demo-output",
)


def main() -> None:
    """Entry point of ``bayescr`` and of ``python -m bayescr``."""
    app()


def _print_version(wanted: bool) -> None:  # Typer's callback
    if wanted:
        typer.echo(f"bayescr {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Calibrated Bayesian segmentation of astronomical images."""


@app.command(epilog="Example:  bayescr demo -o demo-output")
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path(
        "demo-output"
    ),
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Simulate, train four guides, predict held-out frames and compare, in some minutes."""
    from bayescr.cli.demo import run_demo

    report = run_demo(output, device=device, seed=seed, show_progress=not quiet)
    typer.echo(f"{report}\n\nEverything is in {output}: start with report/report.html")


app.command(epilog=simulate.EXAMPLE)(simulate.simulate)
app.command(epilog=label.EXAMPLE)(label.label)
app.command(epilog=inject.EXAMPLE, cls=inject.SeveralFiles)(inject.inject)
app.command(epilog=train.EXAMPLE)(train.train)
app.command(epilog=predict.EXAMPLE)(predict.predict)
app.command(epilog=evaluate.EXAMPLE)(evaluate.evaluate)
app.command(epilog=compare.EXAMPLE)(compare.compare)
app.command(epilog=models.EXAMPLE)(models.models)
app.command(epilog=info.EXAMPLE)(info.info)
