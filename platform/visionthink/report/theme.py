"""Colours and type of every figure.

Rule: meaning is never carried by hue alone. The palette is Okabe and Ito's, which the three common kinds of colour
blindness tell apart; each contender of an evaluation also has a shape of its own, and lines are labelled where they
end.
A figure is drawn once for a light page and once for a dark one.
"""

import io
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from visionthink.core.gate import ContenderRole
from visionthink.report.record import ContenderFigures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 144
"""Two pixels a CSS pixel: sharp on a good screen, still small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """The colours of one kind of page."""

    name: str
    background: str
    text: str
    muted: str
    grid: str
    blue: str
    orange: str
    green: str
    purple: str

    def color(self, role: ContenderRole) -> str:
        """Models that choose for themselves stand out, their references stay grey."""
        return {
            ContenderRole.CANDIDATE: self.blue,
            ContenderRole.BASE: self.orange,
            ContenderRole.INCUMBENT: self.purple,
            ContenderRole.OTHER: self.green,
        }.get(role, self.muted)


LIGHT = Theme(
    name="light",
    background="#ffffff",
    text="#1c2128",
    muted="#6b7480",
    grid="#e4e7eb",
    blue="#0072b2",
    orange="#d55e00",
    green="#00855f",
    purple="#a4507f",
)
DARK = Theme(
    name="dark",
    background="#161b22",
    text="#e6edf3",
    muted="#98a2ae",
    grid="#2b323b",
    blue="#56b4e9",
    orange="#f0934a",
    green="#2fc79a",
    purple="#d993bd",
)

_MARKERS: Mapping[ContenderRole, str] = {
    ContenderRole.QUARTER_VIEW: "v",
    ContenderRole.FULL_VIEW: "^",
    ContenderRole.BASE: "s",
    ContenderRole.INCUMBENT: "D",
    ContenderRole.CANDIDATE: "o",
}
_OTHER_MARKERS = "PX*ph<>8d"


def markers(contenders: Sequence[ContenderFigures]) -> dict[str, str]:
    """Return a shape for each contender's name: one of its role, or the next free one."""
    found: dict[str, str] = {}
    for figures in contenders:
        usual = _MARKERS.get(figures.role)
        taken = set(found.values())
        free = [marker for marker in _OTHER_MARKERS if marker not in taken] or list(_OTHER_MARKERS)
        found[figures.name] = usual if usual is not None and usual not in taken else free[0]
    return found


@contextmanager
def drawing(theme: Theme, *, width: float, height: float) -> "Generator[Figure]":
    """Give an empty figure (inches) whose artists take the theme's colours; no state outside of it changes."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context(_settings(theme)):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def _settings(theme: Theme) -> dict[str, object]:
    return {
        "axes.axisbelow": True,
        "axes.edgecolor": theme.muted,
        "axes.facecolor": theme.background,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.labelcolor": theme.muted,
        "axes.labelpad": 5,
        "axes.labelsize": 9,
        "axes.linewidth": 0.8,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": theme.text,
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "figure.constrained_layout.h_pad": 0.08,
        "figure.constrained_layout.w_pad": 0.08,
        "figure.facecolor": theme.background,
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "text.color": theme.text,
        "xtick.color": theme.muted,
        "xtick.labelsize": 9,
        "xtick.major.size": 3,
        "ytick.color": theme.muted,
        "ytick.labelsize": 9,
        "ytick.major.size": 0,
    }


def percent_axis(axes: "Axes", which: str) -> None:
    """Write an axis of shares (0..1) in percent."""
    from matplotlib.ticker import PercentFormatter

    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(PercentFormatter(xmax=1.0, decimals=0))


def png(figure: "Figure") -> bytes:
    """Return the figure as a PNG of 256 colours (a third of the bytes, no visible loss); same figure, same bytes."""
    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(packed, "PNG")
    return packed.getvalue()
