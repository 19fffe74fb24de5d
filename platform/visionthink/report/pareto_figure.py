"""Accuracy against its cost: is the candidate worth its pixels?

Rule: the reference is drawn in. Whoever picks the view of each question by lot lands on the straight line between
"quarter view only" and "full view always"; a model has learnt when to look only if it stands above that line.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from visionthink.core.gate import ContenderRole
from visionthink.report.headline import tokens_text
from visionthink.report.record import ContenderFigures, of_role
from visionthink.report.theme import Theme, drawing, markers, percent_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

_Point = tuple[float, float]

# Where a text may stand, in points from its anchor, best first: (dx, dy, horizontal, vertical alignment).
_PLACES = (
    (11, 6, "left", "bottom"),
    (-11, 6, "right", "bottom"),
    (11, -6, "left", "top"),
    (-11, -6, "right", "top"),
    (0, 15, "center", "bottom"),
    (0, -15, "center", "top"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Label:
    """A text that stands beside the first of its anchors where there is room."""

    text: str
    anchors: tuple[_Point, ...]
    color: str
    size: float = 9
    weight: str = "normal"
    style: str = "normal"


def pareto_figure(contenders: Sequence[ContenderFigures], theme: Theme) -> "Figure":
    """Draw each contender as a point with its 95% intervals, cheap to the left and right to the top."""
    with drawing(theme, width=7.6, height=4.3) as figure:
        axes = figure.subplots()
        axes.set_title("Accuracy against visual tokens (bars: 95% intervals)")
        axes.set_xlabel("visual tokens a question, all views, mean")
        axes.set_ylabel("correct answers")
        axes.grid(True, axis="both")
        percent_axis(axes, "y")
        chance = _line_of_chance(contenders)
        if chance:
            xs, ys = zip(chance[0], chance[-1], strict=True)
            axes.plot(xs, ys, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        shapes = markers(contenders)
        for figures in contenders:
            _draw_point(axes, figures, shapes[figures.name], theme)
        axes.margins(x=0.16, y=0.2)
        axes.set_xlim(left=0)
        figure.draw_without_rendering()
        labels = [_name(figures, theme) for figures in contenders]
        if chance:
            lot = _Label(text="view chosen by lot", anchors=chance[4:-4], color=theme.muted, size=8, style="italic")
            labels.append(lot)
        _place(axes, labels, [_around(axes, figures) for figures in contenders] + _dots(axes, chance))
        return figure


def _line_of_chance(contenders: Sequence[ContenderFigures]) -> tuple[_Point, ...]:
    """Points along the line between the two fixed policies; none when one of them was not measured."""
    low, high = of_role(contenders, ContenderRole.QUARTER_VIEW), of_role(contenders, ContenderRole.FULL_VIEW)
    if low is None or high is None:
        return ()
    x, y = low.visual_tokens.value, low.accuracy.value
    dx, dy = high.visual_tokens.value - x, high.accuracy.value - y
    return tuple((x + dx * number / 20, y + dy * number / 20) for number in range(21))


def _draw_point(axes: "Axes", figures: ContenderFigures, marker: str, theme: Theme) -> None:
    accuracy, tokens = figures.accuracy, figures.visual_tokens
    axes.errorbar(
        tokens.value,
        accuracy.value,
        xerr=[[max(0.0, tokens.value - tokens.low)], [max(0.0, tokens.high - tokens.value)]],
        yerr=[[max(0.0, accuracy.value - accuracy.low)], [max(0.0, accuracy.high - accuracy.value)]],
        fmt=marker,
        color=theme.color(figures.role),
        markersize=10 if figures.role is ContenderRole.CANDIDATE else 8,
        markeredgecolor=theme.background,
        markeredgewidth=1.2,
        elinewidth=1.4,
        capsize=3,
        zorder=3,
    )


def _name(figures: ContenderFigures, theme: Theme) -> _Label:
    is_reference = figures.role in (ContenderRole.QUARTER_VIEW, ContenderRole.FULL_VIEW)
    return _Label(
        text=f"{figures.label}\n{figures.accuracy.value:.1%} · {tokens_text(figures.visual_tokens.value)} tokens",
        anchors=((figures.visual_tokens.value, figures.accuracy.value),),
        color=theme.muted if is_reference else theme.text,
        weight="bold" if figures.role is ContenderRole.CANDIDATE else "normal",
    )


def _place(axes: "Axes", labels: Iterable[_Label], taken: "list[Bbox]") -> None:
    """Write each label where it covers least of what is taken, and take its place."""
    frame = axes.get_window_extent()
    for label in labels:
        options = [_written(axes, label, anchor, place) for place in _PLACES for anchor in label.anchors]
        costs = [_overlap(option.get_window_extent(), taken, frame) for option in options]
        best = options[costs.index(min(costs))]
        taken.append(best.get_window_extent())
        for option in options:
            if option is not best:
                option.remove()


def _written(axes: "Axes", label: _Label, anchor: _Point, place: tuple[int, int, str, str]) -> "Text":
    dx, dy, horizontal, vertical = place
    return axes.annotate(
        label.text,
        xy=anchor,
        xytext=(dx, dy),
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        fontsize=label.size,
        fontweight=label.weight,
        fontstyle=label.style,
        color=label.color,
        linespacing=1.35,
    )


def _around(axes: "Axes", figures: ContenderFigures) -> "Bbox":
    """The pixels of a marker and its bars."""
    from matplotlib.transforms import Bbox

    accuracy, tokens = figures.accuracy, figures.visual_tokens
    low = (min(tokens.low, tokens.value), min(accuracy.low, accuracy.value))
    high = (max(tokens.high, tokens.value), max(accuracy.high, accuracy.value))
    return Bbox(axes.transData.transform([low, high])).padded(8)


def _dots(axes: "Axes", points: Sequence[_Point]) -> "list[Bbox]":
    """Small squares of pixels around points."""
    from matplotlib.transforms import Bbox

    return [Bbox(axes.transData.transform([point, point])).padded(5) for point in points]


def _overlap(box: "Bbox", taken: "Sequence[Bbox]", frame: "Bbox") -> float:
    """Square pixels of `box` that cover something or lie outside the frame."""
    covered = sum(_shared(box, other) for other in taken)
    return covered + float(box.width * box.height) - _shared(box, frame)


def _shared(one: "Bbox", other: "Bbox") -> float:
    width = float(min(one.x1, other.x1) - max(one.x0, other.x0))
    height = float(min(one.y1, other.y1) - max(one.y0, other.y0))
    return max(0.0, width) * max(0.0, height)
