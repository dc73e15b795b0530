"""The report as one HTML file: `render` turns a `Page`, which is data alone, into its text."""

from bayescr.evaluation.page.curves import OperatingCurve
from bayescr.evaluation.page.page import Cell, Column, Page, Picture, Table, render

__all__ = ["Cell", "Column", "OperatingCurve", "Page", "Picture", "Table", "render"]
