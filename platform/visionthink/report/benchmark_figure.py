"""Scores by benchmark: a bar for each contender, with its 95 % interval.

Rule: bars start at 0, so that their lengths can be compared; a benchmark on which a contender was not asked has no bar
of it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from visionthink.report.published import TITLES
from visionthink.report.record import BenchmarkFigures, ContenderFigures
from visionthink.report.theme import Theme, drawing, percent_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR: Final = 0.2
"""Inches a bar is high."""
_GAP: Final = 1.2
"""Bars between two benchmarks."""
_HATCHES: Final = ("", "///", "...", "xxx", "\\\\\\", "ooo")
"""Colour alone tells nobody apart who cannot see it."""


def benchmark_title(name: str) -> str:
    """What a benchmark is called in a heading."""
    return TITLES.get(name, name)


def benchmark_figure(benchmarks: Sequence[BenchmarkFigures], theme: Theme) -> "Figure":
    """Draw the scores of every contender on every benchmark, the benchmarks from top to bottom."""
    names = list(dict.fromkeys(one.name for benchmark in benchmarks for one in benchmark.contenders))
    num_lines = sum(len(benchmark.contenders) + _GAP for benchmark in benchmarks)
    with drawing(theme, width=7.6, height=1.3 + _BAR * num_lines) as figure:
        axes = figure.subplots()
        axes.set_title("Score by benchmark (lines: 95% intervals)")
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        percent_axis(axes, "x")
        place, middles, seen = 0.0, list[float](), set[str]()
        for benchmark in benchmarks:
            first = place
            for one in benchmark.contenders:
                label = "_" if one.name in seen else one.label  # a label that begins so stands in no legend
                seen.add(one.name)
                _draw(axes, place, one, _HATCHES[names.index(one.name) % len(_HATCHES)], label, theme)
                place += 1
            middles.append((first + place - 1) / 2)
            place += _GAP
        axes.set_yticks(middles, [benchmark_title(benchmark.name) for benchmark in benchmarks])
        axes.set_ylim(place - _GAP - 0.4, -0.6)
        axes.set_xlim(0, 1.15)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9)
        return figure


def _draw(axes: "Axes", place: float, one: ContenderFigures, hatch: str, label: str, theme: Theme) -> None:
    score = one.accuracy
    axes.barh(
        place,
        score.value,
        height=0.8,
        color=theme.color(one.role),
        hatch=hatch,
        edgecolor=theme.background,
        linewidth=0,
        label=label,
        xerr=[[max(0.0, score.value - score.low)], [max(0.0, score.high - score.value)]],
        error_kw={"ecolor": theme.text, "elinewidth": 1.0, "capsize": 2},
    )
    axes.annotate(
        f"{score.value:.1%}",
        xy=(max(score.high, score.value), place),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=theme.text,
    )
