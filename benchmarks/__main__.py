"""Run benchmarks by name, all of them by default."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks.common import Settings
from benchmarks.timing import machine, write

NAMES = (
    "prediction", "tolerance", "training", "memory", "scaling", "roofline", "others", "gpu",
    "evaluation", "coverage", "gradients", "guides", "simulation", "tracks",
    "real_tracks", "space_tracks", "labels",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it runs")
    parser.add_argument("--rounds", type=int, help="default: 5, or 1 with --quick")
    parser.add_argument("--output", type=Path, default=Path("bench-output"), help="for the JSON")
    parser.add_argument(
        "--model", action="append", default=[], metavar="[NAME=]MODEL",
        help="a trained posterior, a file or one of the package, for `tolerance` and `..._tracks`, "
        "which compare the first with all others",
    )  # fmt: skip
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark '{unknown[0]}': there are {', '.join(NAMES)}")
    rounds = arguments.rounds if arguments.rounds is not None else 1 if arguments.quick else 5
    if rounds < 1:
        parser.error(f"--rounds is {rounds}: expected at least 1")

    models = dict(map(named, arguments.model))
    if len(models) < len(arguments.model):
        parser.error("two models have one name: expected --model NAME=MODEL, each its own")

    settings = Settings(
        quick=arguments.quick, rounds=rounds, output=arguments.output, models=models
    )
    settings.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or NAMES:
        benchmark = importlib.import_module(f"benchmarks.{name}")
        print(f"\n== {name}: {benchmark.__doc__.splitlines()[0]}\n", flush=True)
        started = machine()
        write(settings.output / f"{name}.json", name, settings, started, benchmark.run(settings))


def named(argument: str) -> tuple[str, str]:
    """Name and model of ``NAME=MODEL``; a model alone is called "bayescr"."""
    name, separator, model = argument.partition("=")
    return (name, model) if separator else ("bayescr", argument)


if __name__ == "__main__":
    main()
