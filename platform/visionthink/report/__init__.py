"""Figures and the HTML report of a run.

Rule of this folder: plain records in (`record`), PNG bytes and HTML text out; nothing is read or written here, and
matplotlib and Jinja are loaded on first use.
"""

from visionthink.report.page import render_figures, render_report
from visionthink.report.record import (
    BenchmarkFigures,
    Confusion,
    ContenderFigures,
    Curve,
    Example,
    FamilyFigures,
    Interval,
    ReportInput,
    ShownBox,
    ShownTurn,
    ShownView,
)
from visionthink.report.shown_view import shown_views
from visionthink.report.theme import DARK, LIGHT, Theme

__all__ = [
    "DARK",
    "LIGHT",
    "BenchmarkFigures",
    "Confusion",
    "ContenderFigures",
    "Curve",
    "Example",
    "FamilyFigures",
    "Interval",
    "ReportInput",
    "ShownBox",
    "ShownTurn",
    "ShownView",
    "Theme",
    "render_figures",
    "render_report",
    "shown_views",
]
