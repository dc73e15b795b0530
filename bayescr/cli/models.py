"""``bayescr models``: the trained posteriors that come with bayescr, and how they are made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayescr.cli._options import Device, Quiet, check_folder, shows_progress
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    from bayescr.pretrained import ModelCard

__all__ = ["EXAMPLE", "models"]

EXAMPLE = (
    "Example:  bayescr models   |   bayescr models ground   |   bayescr models --build "
    "recipes/ground.toml -o ground"
)

_SHOWN = ("AUPRC", "TPR at 0.1% FPR")


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show its card: a model that comes with bayescr, or the file of one.",
            show_default=False,
        ),
    ] = None,
    build: Annotated[
        Path | None,
        typer.Option(
            help="Instead: make a model from its recipe, an experiment with a card.",
            metavar="RECIPE",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Of --build: folder for everything; the same command goes on where it was.",
            show_default=False,
        ),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            help="Of --build: folder for the model and its card; default: DIR/model.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """List the models that come with bayescr, show the card of one, or make one."""
    if build is not None:
        if name is not None:
            raise BayescrError(f"--build takes no name, got '{name}': the recipe has it")
        if output is None:
            raise BayescrError("--output is missing: expected --build RECIPE -o DIR")
        _build(build, output, into, device=device, quiet=quiet)
        return
    if output is not None or into is not None:
        raise BayescrError("--output and --into belong to --build RECIPE: give it, or neither")
    if name is not None:
        from bayescr.pretrained import to_markdown

        typer.echo(to_markdown(_card(name)), nl=False)
        return
    _list()


def _build(recipe: Path, output: Path, into: Path | None, *, device: str, quiet: bool) -> None:
    check_folder(output)
    if into is not None:
        check_folder(into)

    from bayescr import experiments

    file = experiments.build(
        recipe,
        output,
        into=into,
        device=device,
        progress=shows_progress(quiet=quiet),
        say=lambda line: None if quiet else typer.echo(line, err=True),
    )
    typer.echo(f"{file}: its card is {file.with_suffix('.md')}, its report {output / 'report'}")


def _list() -> None:
    from bayescr import pretrained

    names = pretrained.available()
    if not names:
        typer.echo(
            "note: this installation of bayescr comes without trained weights; --build makes them",
            err=True,
        )
        return
    for name in names:
        with pretrained.weights(name) as path:
            size = path.stat().st_size / 1e6
        card = _card(name)
        typer.echo(f"{name}  {size:.2f} MB  {', '.join(_scores(card))}\n    {card['summary']}")


def _scores(card: ModelCard) -> list[str]:
    """The first numbers of the card, on all exposures."""
    own = [score for score in card["scores"] if score["predictor"] == card["predictor"]]
    everywhere = own[0]["field"]
    return [
        f"{score['metric']} {score['value']:.3f}"
        for score in own
        if score["field"] == everywhere and score["metric"] in _SHOWN and score["value"] is not None
    ]


def _card(name: str) -> ModelCard:
    """The card of a model by name or, first, by file.

    Raises:
        BayescrError: If there is no such model, or it has no card.
    """
    from bayescr import pretrained
    from bayescr.inference.checkpoints import read_description

    if Path(name).exists():
        described: Any = read_description(name)
    else:
        with pretrained.weights(name) as path:
            described = read_description(path)
    card: ModelCard | None = described["provenance"].get("card")
    if card is None or card["format"] != pretrained.FORMAT:
        raise BayescrError(
            f"'{name}' has no card that this bayescr reads: only models have, made by --build; see "
            f"`bayescr info {name}`"
        )
    return card
