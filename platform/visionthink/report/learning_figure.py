"""How the training went, one small panel a question.

Rule: one unit a panel, never two axes. The thin line is what was measured, the thick one its running mean; a line's
name stands where it ends, so no legend has to be matched by colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from visionthink import metrics
from visionthink.metrics import Metric
from visionthink.report.record import Curve
from visionthink.report.theme import Theme, drawing, percent_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_NUM_COLUMNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    metric: Metric
    name: str
    color: str
    """The name of a colour of the theme."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    title: str
    unit: str
    lines: tuple[_Line, ...]
    is_share: bool = False
    is_stack: bool = False


_PANELS = (
    _Panel(
        title="Asks for the full view",
        unit="share of rollouts",
        lines=(
            _Line(metric=metrics.RESIZE_RATE_NEEDED, name="needed", color="blue"),
            _Line(metric=metrics.RESIZE_RATE_NOT_NEEDED, name="not needed", color="orange"),
            _Line(metric=metrics.RESIZE_RATE, name="all", color="muted"),
        ),
        is_share=True,
    ),
    _Panel(
        title="Reward",
        unit="points a rollout",
        lines=(_Line(metric=metrics.REWARD_MEAN, name="total", color="blue"),),
    ),
    _Panel(
        title="Parts of the reward",
        unit="points a rollout",
        lines=(
            _Line(metric=metrics.REWARD_ACCURACY, name="accuracy", color="blue"),
            _Line(metric=metrics.REWARD_FORMAT, name="format", color="green"),
            _Line(metric=metrics.REWARD_PENALTY, name="penalty", color="orange"),
        ),
    ),
    _Panel(
        title="Distance from the base model",
        unit="KL, nats a token",
        lines=(_Line(metric=metrics.POLICY_KL, name="KL", color="purple"),),
    ),
    _Panel(
        title="Entropy of the policy",
        unit="nats a token",
        lines=(_Line(metric=metrics.POLICY_ENTROPY, name="entropy", color="green"),),
    ),
    _Panel(
        title="What became of the groups",
        unit="groups a step",
        lines=(
            _Line(metric=metrics.GROUP_NUM_KEPT, name="learnt from", color="blue"),
            _Line(metric=metrics.GROUP_NUM_ZERO_VARIANCE, name="all alike", color="muted"),
            _Line(metric=metrics.GROUP_NUM_JUDGE_FAILED, name="judge failed", color="orange"),
        ),
        is_stack=True,
    ),
)


def learning_figure(curves: Sequence[Curve], theme: Theme) -> "Figure":
    """Draw the panels for which there is a curve, in a grid of three columns."""
    by_key = {curve.key: curve for curve in curves if curve.points}
    panels = [panel for panel in _PANELS if any(line.metric.name in by_key for line in panel.lines)]
    num_rows = max(1, -(-len(panels) // _NUM_COLUMNS))
    with drawing(theme, width=9.6, height=2.6 * num_rows) as figure:
        grid = figure.subplots(num_rows, _NUM_COLUMNS, squeeze=False).ravel().tolist()
        for axes, panel in zip(grid, panels, strict=False):
            _draw(axes, panel, by_key, theme)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        return figure


def _draw(axes: "Axes", panel: _Panel, by_key: dict[str, Curve], theme: Theme) -> None:
    axes.set_title(panel.title)
    axes.set_ylabel(panel.unit)
    axes.set_xlabel("training step")
    lines = [line for line in panel.lines if line.metric.name in by_key]
    if panel.is_stack:
        ends = _draw_stack(axes, [by_key[line.metric.name] for line in lines], lines, theme)
    else:
        ends = [_draw_line(axes, by_key[line.metric.name], line, theme) for line in lines]
    if panel.is_share:
        percent_axis(axes, "y")
        axes.set_ylim(-0.03, 1.03)
    first_step = min(by_key[line.metric.name].points[0][0] for line in lines)
    last_step = max(by_key[line.metric.name].points[-1][0] for line in lines)
    axes.set_xlim(first_step, max(last_step, first_step + 1))
    _name_ends(axes, ends, lines, theme)


def _draw_line(axes: "Axes", curve: Curve, line: _Line, theme: Theme) -> float:
    """Draw one curve and return the height at which it ends."""
    steps, values = _arrays(curve)
    color = getattr(theme, line.color)
    smooth = running_mean(values)
    axes.plot(steps, values, color=color, linewidth=0.7, alpha=0.35)
    axes.plot(steps, smooth, color=color, linewidth=1.9, solid_capstyle="round")
    finite = smooth[np.isfinite(smooth)]
    return float(finite[-1]) if finite.size else 0.0


def _draw_stack(axes: "Axes", curves: Sequence[Curve], lines: Sequence[_Line], theme: Theme) -> list[float]:
    """Draw counts that add up to all groups; return the middle of each band at the last step."""
    steps = sorted({step for curve in curves for step, _ in curve.points})
    tables = [dict(curve.points) for curve in curves]
    heights = np.array([[table.get(step, 0.0) for step in steps] for table in tables])
    smooth = np.array([running_mean(row) for row in heights])
    colors = [getattr(theme, line.color) for line in lines]
    axes.stackplot(steps, smooth, colors=colors, alpha=0.75, edgecolor=theme.background, linewidth=0.6)
    axes.set_ylim(bottom=0)
    tops = np.cumsum(smooth[:, -1])
    return [float(top - height / 2) for top, height in zip(tops, smooth[:, -1], strict=True)]


def running_mean(values: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the mean over a window around each value: a tenth of the curve wide, cut off at the curve's ends."""
    half = max(1, values.size // 20)
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    index = np.arange(values.size)
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, values.size)
    num = counts[high] - counts[low]
    return np.where(num > 0, (sums[high] - sums[low]) / np.maximum(num, 1), np.nan)


def _arrays(curve: Curve) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    steps, values = zip(*curve.points, strict=True)
    return np.array(steps, dtype=float), np.array(values, dtype=float)


def _name_ends(axes: "Axes", ends: Sequence[float], lines: Sequence[_Line], theme: Theme) -> None:
    """Write the lines' names at the right edge, pushed apart where they would touch."""
    low, high = axes.get_ylim()
    for height, line in zip(spread(ends, gap=0.085 * (high - low), low=low, high=high), lines, strict=True):
        axes.annotate(
            line.name,
            xy=(1, height),
            xycoords=axes.get_yaxis_transform(),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=getattr(theme, line.color),
            annotation_clip=False,
        )


def spread(heights: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Return the heights moved as little as needed to stand `gap` apart and, if they fit, between `low` and `high`."""
    order = sorted(range(len(heights)), key=lambda number: heights[number])
    placed: list[float] = []
    for number in order:
        floor = placed[-1] + gap if placed else low
        placed.append(max(heights[number], floor))
    ceiling = high
    for place in range(len(placed) - 1, -1, -1):
        placed[place] = min(placed[place], ceiling)
        ceiling = placed[place] - gap
    moved = [0.0] * len(heights)
    for number, height in zip(order, placed, strict=True):
        moved[number] = height
    return moved
