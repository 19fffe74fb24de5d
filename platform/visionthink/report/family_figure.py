"""The same figures by family of questions: where does the model ask, and does it pay?

Rule: families that need the full resolution stand together above those that do not, and a family that was kept out of
training says so, because only such a family shows whether the model learnt the rule or the families.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from visionthink.report.record import FamilyFigures, Row
from visionthink.report.theme import ROW_MARKERS, Theme, drawing, percent_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEADINGS: Mapping[bool | None, str] = {
    True: "needs the full view",
    False: "quarter view is enough",
    None: "need not known",
}

_ByRow = Mapping[tuple[Row, str], FamilyFigures]


def grouped(families: Sequence[FamilyFigures]) -> list[tuple[str, list[FamilyFigures]]]:
    """Return the trained row's families under their headings: by name, those not trained on last."""
    trained = sorted(
        (figures for figures in families if figures.row is Row.TRAINED),
        key=lambda figures: (figures.held_out, figures.family),
    )
    groups = [
        (heading, [figures for figures in trained if figures.needs_high_res is need])
        for need, heading in _HEADINGS.items()
    ]
    return [(heading, members) for heading, members in groups if members]


def family_figure(families: Sequence[FamilyFigures], theme: Theme) -> "Figure":
    """Draw resize rate (bars) and accuracy (marks of each row) of every family."""
    lines: list[str | FamilyFigures] = []
    for heading, members in grouped(families):
        lines += [heading, *members]
    by_row = {(figures.row, figures.family): figures for figures in families}
    with drawing(theme, width=9.6, height=1.5 + 0.3 * max(1, len(lines))) as figure:
        asks, accuracy = figure.subplots(1, 2)
        _frame(asks, "Asked for the full view, trained model", lines, theme)
        _frame(accuracy, "Correct answers", lines, theme)
        _name_lines(asks, lines, theme)
        for place, line in enumerate(lines):
            if isinstance(line, FamilyFigures):
                _draw_asks(asks, place, line, by_row.get((Row.BASE, line.family)), theme)
                _draw_accuracy(accuracy, place, line.family, by_row, theme)
        _legend(figure, {row for row, _ in by_row}, theme)
        return figure


def _frame(axes: "Axes", title: str, lines: Sequence[str | FamilyFigures], theme: Theme) -> None:
    axes.set_title(title)
    axes.set_xlabel("share of questions")
    axes.set_xlim(-0.01, 1.08)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    percent_axis(axes, "x")
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_yticks([])


def _name_lines(axes: "Axes", lines: Sequence[str | FamilyFigures], theme: Theme) -> None:
    axes.set_yticks(range(len(lines)), [line if isinstance(line, str) else _name(line) for line in lines])
    for text, line in zip(axes.get_yticklabels(), lines, strict=True):
        text.set_color(theme.text)
        text.set_fontweight("bold" if isinstance(line, str) else "normal")


def _name(figures: FamilyFigures) -> str:
    return f"{figures.family} (not trained on)" if figures.held_out else figures.family


def _draw_asks(axes: "Axes", place: int, trained: FamilyFigures, base: FamilyFigures | None, theme: Theme) -> None:
    axes.barh(place, trained.resize_rate, height=0.6, color=theme.row_color(Row.TRAINED))
    reach = trained.resize_rate
    if base and 0 <= base.resize_rate - reach < 0.07:
        # The base model's mark would cover the number.
        reach = base.resize_rate
    axes.annotate(
        f"{trained.resize_rate:.0%}",
        xy=(reach, place),
        xytext=(6, -0.5),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
    )
    if base:
        _mark(axes, base.resize_rate, place, Row.BASE, theme)


def _draw_accuracy(axes: "Axes", place: int, family: str, by_row: _ByRow, theme: Theme) -> None:
    values = {row: by_row[row, family].accuracy for row in Row if (row, family) in by_row}
    axes.plot([min(values.values()), max(values.values())], [place, place], color=theme.grid, linewidth=3, zorder=1)
    for row, value in values.items():
        _mark(axes, value, place, row, theme)


def _mark(axes: "Axes", value: float, place: int, row: Row, theme: Theme) -> None:
    axes.plot(
        value,
        place,
        marker=ROW_MARKERS[row],
        color=theme.row_color(row),
        markeredgecolor=theme.background,
        markersize=8.5 if row is Row.TRAINED else 7,
        linestyle="none",
        zorder=4 if row is Row.TRAINED else 3,
        clip_on=False,
    )


def _legend(figure: "Figure", rows: set[Row], theme: Theme) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker=ROW_MARKERS[row], color=theme.row_color(row), linestyle="none", label=row.label)
        for row in reversed(Row)
        if row in rows
    ]
    figure.legend(
        handles=handles,
        loc="outside lower right",
        ncols=4,
        frameon=False,
        fontsize=8.5,
        handletextpad=0.2,
        columnspacing=1.4,
        labelcolor=theme.text,
    )
