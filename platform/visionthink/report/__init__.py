"""Figures and the HTML report of a run.

Rule of this folder: plain records in (`record`), PNG bytes and HTML text out; nothing is read or written here, and
matplotlib and Jinja are loaded on first use.
"""

from visionthink.report.example import example_of
from visionthink.report.page import render_figures, render_report
from visionthink.report.record import (
    Confusion,
    Curve,
    Example,
    FamilyFigures,
    Interval,
    ReportInput,
    Row,
    RowFigures,
    ShownTurn,
    ShownView,
)
from visionthink.report.theme import DARK, LIGHT, Theme

__all__ = [
    "DARK",
    "LIGHT",
    "Confusion",
    "Curve",
    "Example",
    "FamilyFigures",
    "Interval",
    "ReportInput",
    "Row",
    "RowFigures",
    "ShownTurn",
    "ShownView",
    "Theme",
    "example_of",
    "render_figures",
    "render_report",
]
