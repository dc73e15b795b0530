"""From posteriors and a dataset to a report: table, figures, ArviZ data, manifest."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayescr._files import atomic_path
from bayescr.errors import BayescrError
from bayescr.evaluation.arviz_export import to_arviz, write_arviz
from bayescr.evaluation.calibration import reliability_curve
from bayescr.evaluation.figures import plot_reliability, plot_risk_coverage
from bayescr.evaluation.manifest import make_manifest
from bayescr.evaluation.records import Observed, Pixels, Scored
from bayescr.evaluation.scores import base_rate
from bayescr.evaluation.streaming import DatasetLike, PosteriorLike, stream
from bayescr.evaluation.table import BASE_RATE, label, make_table, to_markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "evaluate"]


def evaluate(
    posteriors: Mapping[str, PosteriorLike],
    dataset: DatasetLike,
    *,
    num_samples: int = 16,
    seed: int = 0,
    sites: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Compare posteriors on the same pixels of a dataset.

    Items are predicted one at a time and draws are summed as they come. Every valid pixel enters
    every metric, exactly; patches of one exposure add up in the log-likelihood of that exposure.

    Args:
        posteriors: What to call it in the report -> the posterior.
        dataset: Held-out exposures, with the scaling the posteriors were trained with.
        num_samples: Posterior draws behind each prediction.
        seed: Of the draws: the same weights serve every exposure.
        sites: Sites whose draws go into the ArviZ data; default: those whose name starts with
            "head", or else the smallest one.
        progress: Called with (items done, items in all) after every item.

    Returns:
        The report; ``report.table`` has a row for the base rate and one for each posterior, of all
        exposures together and, where the dataset names at least two, of each field.

    Raises:
        BayescrError: If there is nothing to evaluate, a name is taken, scalings or classes do not
            match, a site is unknown or a posterior gives NaN.
    """
    _check(posteriors, dataset, num_samples=num_samples)
    observed, scored = stream(
        posteriors, dataset, num_samples=num_samples, seed=seed, sites=sites, progress=progress
    )
    settings = {
        "num_samples": num_samples,
        "seed": seed,
        "sites": None if sites is None else list(sites),
    }
    return Report(
        table=make_table(observed, scored),
        observed=observed,
        scored=scored,
        manifest=make_manifest(observed, scored, settings=settings, scaling=dataset.scaling),
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Report:
    """A comparison of posteriors; print it, look at its figures, save it.

    Attributes:
        table: One row per predictor and field; columns ``predictor``, ``field``, the metrics,
            ``temperature``, ``exposures``, ``pixels``. Field "all" is all exposures together.
        observed: The truth behind the table.
        scored: What each posterior said about every valid pixel, exposure and draw.
        manifest: Settings, data summary and hash, provenance, package versions, hardware.
    """

    table: pd.DataFrame
    observed: Observed
    scored: Mapping[str, Scored]
    manifest: Mapping[str, Any]

    @cached_property
    def arviz(self) -> dict[str, Any]:
        """Name -> ArviZ data, see :mod:`bayescr.evaluation.arviz_export`; ``az.compare`` takes it.

        The draws are variational: R-hat has no meaning here.
        """
        return {name: to_arviz(name, self.observed, one) for name, one in self.scored.items()}

    def risk_coverage_figure(self) -> Figure:
        """Selective risk against coverage on all exposures, one line per posterior."""
        pixels = self._pixels()
        curves = {name: one.risk_coverage for name, one in pixels.items()}
        return plot_risk_coverage(curves, base_rate=self._base_rate(pixels))

    def reliability_figure(self) -> Figure:
        """Observed frequency against probability on all exposures, one line per posterior."""
        pixels = self._pixels()
        curves = {
            name: reliability_curve(one.logit, one.target)
            for name, one in pixels.items()
            if one.target.size
        }
        return plot_reliability(curves, base_rate=self._base_rate(pixels))

    def to_markdown(self) -> str:
        """The table as Markdown: a block per field, metrics down, predictors across."""
        temperatures = {name: one.temperature for name, one in self.scored.items()}
        return to_markdown(self.table, temperatures=temperatures)

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write the report into a folder, which is made when missing.

        ``report.csv`` and ``report.md`` (the same bytes from the same evaluation),
        ``risk_coverage.png``, ``reliability.png``, ``arviz/<name>.nc`` and, last,
        ``manifest.json``. Each file appears complete or not at all.

        Raises:
            BayescrError: If the folder cannot be written to.
        """
        folder = Path(directory)
        _write_text(folder / "report.csv", self.table.to_csv(index=False, lineterminator="\n"))
        _write_text(folder / "report.md", self.to_markdown())
        figures = {
            "risk_coverage.png": self.risk_coverage_figure(),
            "reliability.png": self.reliability_figure(),
        }
        for file, figure in figures.items():
            with atomic_path(folder / file) as temporary:
                figure.savefig(temporary)
        for name, tree in self.arviz.items():
            with atomic_path(folder / "arviz" / f"{_file_stem(name)}.nc") as temporary:
                write_arviz(tree, temporary)
        manifest = json.dumps(self.manifest, indent=2, ensure_ascii=False)
        _write_text(folder / "manifest.json", manifest + "\n")

    def __str__(self) -> str:
        return self.to_markdown()

    def __repr__(self) -> str:
        return f"Report({', '.join(self.scored)}; {len(self.observed.exposures)} exposures)"

    def _repr_html_(self) -> str:
        return self.table.to_html(index=False, float_format="{:.4g}".format, na_rep="–")

    def _pixels(self) -> dict[str, Pixels]:
        """The pixels of all exposures by printed name."""
        return {
            label(name, one.temperature): one.pixels(self.observed)
            for name, one in self.scored.items()
        }

    @staticmethod
    def _base_rate(pixels: Mapping[str, Pixels]) -> float:
        return base_rate(next(iter(pixels.values())).target)


def _check(
    posteriors: Mapping[str, PosteriorLike], dataset: DatasetLike, *, num_samples: int
) -> None:
    if not posteriors:
        raise BayescrError("no posterior to evaluate: expected a mapping {name: posterior}")
    if len(dataset) == 0:
        raise BayescrError("the dataset is empty: there is nothing to evaluate on")
    if num_samples < 1:
        raise BayescrError(f"num_samples is {num_samples}: expected at least 1 (16 is customary)")
    stems: dict[str, str] = {}
    for name, posterior in posteriors.items():
        if name == BASE_RATE:
            raise BayescrError(f"a posterior is named '{name}': that row is always in the table")
        other = stems.setdefault(_file_stem(name).lower(), name)  # some disks ignore case
        if other != name:
            raise BayescrError(
                f"names '{other}' and '{name}' would share the file '{_file_stem(name)}.nc': "
                "rename one"
            )
        if posterior.scaling != dataset.scaling:
            raise BayescrError(
                f"posterior '{name}' was trained with {posterior.scaling} but the dataset has "
                f"{dataset.scaling}: build the dataset with scaling=posterior.scaling"
            )
        if posterior.num_classes != dataset.num_classes:
            raise BayescrError(
                f"posterior '{name}' has {posterior.num_classes} classes but the dataset has "
                f"{dataset.num_classes}: evaluate it on labels of the same classes"
            )


def _file_stem(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name).strip(".-") or "posterior"


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())
