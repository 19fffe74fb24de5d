"""Scores by benchmark: a bar for each contender, with its 95 % interval.

Rule: bars start at 0, so that their lengths can be compared, and each has its contender's name beside it: nobody has to
match colours with a legend. A benchmark on which a contender was not asked has no bar of it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from visionthink.core.gate import ContenderRole
from visionthink.report.published import TITLES
from visionthink.report.record import BenchmarkFigures, ContenderFigures
from visionthink.report.theme import Theme, drawing, percent_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR: Final = 0.22
"""Inches a line is high."""
_HEADING: Final = 1.4
"""Lines that a benchmark's name takes."""


def benchmark_title(name: str) -> str:
    """What a benchmark is called in a heading."""
    return TITLES.get(name, name)


def benchmark_figure(benchmarks: Sequence[BenchmarkFigures], theme: Theme) -> "Figure":
    """Draw the scores of every contender on every benchmark, the benchmarks from top to bottom."""
    num_lines = sum(len(benchmark.contenders) + _HEADING for benchmark in benchmarks)
    with drawing(theme, width=5.6, height=0.9 + _BAR * num_lines) as figure:
        axes = figure.subplots()
        axes.set_title("Score by benchmark (lines: 95% intervals)")
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        percent_axis(axes, "x")
        place, names = 0.0, dict[float, str]()
        for benchmark in benchmarks:
            place += _HEADING - 1
            names[place] = benchmark_title(benchmark.name)
            for one in benchmark.contenders:
                place += 1
                names[place] = one.label
                _draw(axes, place, one, theme)
            place += 1
        titles = {benchmark_title(benchmark.name) for benchmark in benchmarks}
        axes.set_yticks(list(names), list(names.values()))
        for label in axes.get_yticklabels():
            is_title = label.get_text() in titles
            label.set(color=theme.text, weight="bold" if is_title else "normal")
        axes.set_ylim(place - 0.3, -0.5)
        axes.set_xlim(0, 1.16)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        return figure


def _draw(axes: "Axes", place: float, one: ContenderFigures, theme: Theme) -> None:
    score = one.accuracy
    axes.barh(
        place,
        score.value,
        height=0.72,
        color=theme.color(one.role),
        xerr=[[max(0.0, score.value - score.low)], [max(0.0, score.high - score.value)]],
        error_kw={"ecolor": theme.text, "elinewidth": 1.0, "capsize": 2},
    )
    axes.annotate(
        f"{score.value:.1%}",
        xy=(max(score.high, score.value), place),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        fontweight="bold" if one.role is ContenderRole.CANDIDATE else "normal",
        color=theme.text,
    )
