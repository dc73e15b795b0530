"""A comparison of predictors on the same pixels: its tables, figures, ArviZ data and manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayescr.evaluation import _markdown
from bayescr.evaluation.counts import Counts
from bayescr.evaluation.metrics import Metric, RocCurve
from bayescr.evaluation.metrics.selective import RiskCoverageCurve
from bayescr.evaluation.pooled import error_curve_of, pooled, reliability_curve_of
from bayescr.evaluation.predictors import is_posterior
from bayescr.evaluation.records import ALL_FIELDS, Extreme, Observed, Tally, member_name
from bayescr.evaluation.tables import temperature

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "posteriors"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Report:
    """A comparison; print it, look at its figures, save it.

    Attributes:
        table: One row per predictor and field; columns ``predictor``, ``field``, the metrics,
            ``temperature``, ``exposures``, ``pixels``, ``seeds``, ``passes``. Field "all" is all
            exposures together; of several classes each has a field "class k", too.
        intervals: Every number of ``table`` with its interval: ``predictor``, ``field``,
            ``metric``, ``better``, ``value``, ``low``, ``high``.
        differences: Every row against the reference, and against ensembles, paired: ``field``,
            ``metric``, ``better``, ``predictor``, ``reference``, ``difference``, ``low``, ``high``,
            ``verdict``.
        hits: Recall and purity of whole cosmic rays by size and by peak signal-to-noise.
        loo: ``az.compare`` of the posteriors with what it takes to judge it, see `loo_table`.
        shift: How well mean uncertainty tells frames of another kind; empty without such.
        notes: What the tables amount to, in sentences.
        metrics: The columns.
        reference: The row that others are compared with.
        level: Of the intervals.
        observed: The truth behind the table.
        rows: Name -> what each predictor of that name said, summed.
        arviz: Name -> ArviZ data of each posterior, see `bayescr.evaluation.arviz_export`, which
            ``az.compare`` takes. The draws are variational: R-hat has no meaning here.
        manifest: Settings, data and their hashes, provenance, versions.
        hardware: The machine and the time it took.
    """

    table: pd.DataFrame
    intervals: pd.DataFrame
    differences: pd.DataFrame
    hits: pd.DataFrame
    loo: pd.DataFrame
    shift: pd.DataFrame
    notes: Sequence[str]
    metrics: Sequence[Metric]
    reference: str
    level: float
    observed: Observed
    rows: Mapping[str, Sequence[Tally]]
    arviz: Mapping[str, Any]
    manifest: Mapping[str, Any]
    hardware: Mapping[str, Any]

    @cached_property
    def verdicts(self) -> dict[tuple[str, str, str], str]:
        """(field, predictor, metric) -> what its difference to the reference amounts to."""
        against = self.differences[self.differences["reference"] == self.reference]
        keys = against[["field", "predictor", "metric"]].itertuples(index=False, name=None)
        return dict(zip(keys, against["verdict"], strict=True))

    @cached_property
    def labels(self) -> dict[str, str]:
        """Predictor -> its name as printed, with its temperature should that not be 1."""
        return {
            name: _markdown.label(name, temperature(members[0]))
            for name, members in self.rows.items()
        }

    @cached_property
    def counts(self) -> dict[str, Counts]:
        """Printed name -> pixels of all exposures by logit and label; of several seeds, of each.

        The base rate is left out: it has no curve.
        """
        part = self.observed.slices[0]
        return {
            self.labels[name]: pooled([tally.counts(part) for tally in members])
            for name, members in self.rows.items()
            if members[0].row.is_curve
        }

    @property
    def base_rate(self) -> float:
        """Fraction of positive pixels, of all classes together."""
        return float(self.observed.positive.sum() / max(int(self.observed.pixels.sum()), 1))

    def risk_coverage_figure(self) -> Figure:
        """Selective risk against coverage on all exposures, one line per predictor."""
        from bayescr.evaluation.figures import plot_risk_coverage

        curves = {n: RiskCoverageCurve.of_counts(c.errors()) for n, c in self.counts.items()}
        return plot_risk_coverage(curves, base_rate=self.base_rate)

    def reliability_figure(self) -> Figure:
        """Observed frequency against probability on all exposures, one line per predictor."""
        from bayescr.evaluation.figures import plot_reliability

        curves = self._in_bins(reliability_curve_of)
        return plot_reliability(curves, base_rate=self.base_rate, order=list(self.counts))

    def roc_figure(self) -> Figure:
        """Receiver operating characteristics on all exposures, one line per predictor."""
        from bayescr.evaluation.figures import plot_roc

        return plot_roc({name: RocCurve.of_counts(one) for name, one in self.counts.items()})

    def precision_recall_figure(self) -> Figure:
        """Precision against recall on all exposures, one line per predictor."""
        from bayescr.evaluation.figures import plot_precision_recall

        curves = {name: RocCurve.of_counts(one) for name, one in self.counts.items()}
        return plot_precision_recall(curves, base_rate=self.base_rate)

    def error_against_entropy_figure(self) -> Figure:
        """Fraction of wrong pixels against the entropy of their forecast."""
        from bayescr.evaluation.figures import plot_error_against_entropy

        curves = self._in_bins(error_curve_of)
        return plot_error_against_entropy(curves, order=list(self.counts))

    def exposure_figure(self, name: str, *, which: str = "worst") -> Figure:
        """Image, probability, entropy and mutual information of an exposure.

        Args:
            name: Of a row.
            which: ``"best"`` or ``"worst"`` by the mean NLL of its pixels.
        """
        from bayescr.evaluation.figures import plot_exposure

        extreme: Extreme = getattr(self.rows[name][0], which)
        frame = extreme.frame
        loudest = int(np.argmax(frame.target.sum(axis=(1, 2))))  # of several classes, one
        return plot_exposure(
            extreme.image[0] if frame.significance is None else frame.significance,
            frame.target[loudest],
            frame.valid[loudest],
            frame.logit[loudest],
            frame.mutual_information[loudest],
            title=f"{self.labels[name]}, {which} exposure: {frame.exposure}",
            unit="network input" if frame.significance is None else "noise of the sky",
        )

    def to_markdown(self, *, field: str | None = None) -> str:
        """Notes and the table: a block per field, metrics down, predictors across.

        Args:
            field: Only this one, such as "all"; default: every field.
        """
        notes = "\n".join(f"- {_markdown.escape(note)}" for note in self.notes)
        shown = self.table if field is None else self.table[self.table["field"] == field]
        table = _markdown.blocks(shown, self.verdicts, self.metrics, labels=self.labels)
        legend = (
            f"Compared with {_markdown.escape(self.reference)}, the same exposures resampled for "
            f"both: ▲ better, ▼ worse, ≈ not distinguishable at {self.level:.0%}; no mark where "
            "the exposures cannot tell. Intervals: `tables/intervals.md`.\n"
        )
        return f"{notes}\n\n{table}\n{legend}"

    def save(self, directory: str | os.PathLike[str], *, figures: bool = True) -> None:
        """Write the report into a folder, which is made when missing.

        ``report.md``, ``report.html``; every table in ``tables/`` as CSV, Parquet,
        Markdown and LaTeX; every figure in ``figures/`` as PNG and PDF; ``arviz/<name>.nc``;
        ``hardware.json`` with the machine, the time and the list of files; and, last,
        ``manifest.json``. All but ``hardware.json`` are the same bytes from the same evaluation.
        Each file appears complete or not at all, and those of a report that was there before are
        replaced or deleted.

        Args:
            directory: The folder.
            figures: Whether to draw: without, ``figures/`` is left out and the page has none.

        Raises:
            BayescrError: If the folder cannot be written to.
        """
        from bayescr.evaluation._saving import save

        save(self, directory, figures=figures)

    def __str__(self) -> str:
        return self.to_markdown(field=ALL_FIELDS)

    def __repr__(self) -> str:
        return f"Report({', '.join(self.rows)}; {len(self.observed.exposures)} exposures)"

    def _repr_html_(self) -> str:
        return self.table.to_html(index=False, float_format="{:.4g}".format, na_rep="–")

    def _in_bins(self, curve_of: Callable[..., Any]) -> dict[str, Any]:
        """Printed name -> curve, of the rows whose scores may be taken at their word."""
        part = self.observed.slices[0]
        return {
            label: curve_of(self.counts[label], self.rows[name], part, level=self.level)
            for name, label in self.labels.items()
            if label in self.counts and self.rows[name][0].row.is_probability
        }


def posteriors(rows: Mapping[str, Sequence[Tally]]) -> dict[str, Tally]:
    """Name -> tally of every posterior with draws; of several seeds each by number."""
    return {
        member_name(name, tally.row.member, len(members)): tally
        for name, members in rows.items()
        for tally in members
        if is_posterior(tally.row.predictor) and tally.num_draws
    }
