"""The same figures by family of questions: where does the model ask, and does it pay?

Rule: families that need the full resolution stand together above those that do not, and a family that was kept out of
training says so, because only such a family shows whether the model learnt the rule or the families. A data set of
thousands of families still gives a figure that fits on a page: the ones with the most questions are drawn.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from visionthink.core.gate import ContenderRole
from visionthink.report.record import ContenderFigures, FamilyFigures, of_role
from visionthink.report.theme import Theme, drawing, markers, percent_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_FAMILIES: Final = 60
"""Families that are shown; a line of the figure is 0.3 inches high."""
_HEADINGS: Mapping[bool | None, str] = {
    True: "needs the full view",
    False: "quarter view is enough",
    None: "need not known",
}

_ByName = Mapping[tuple[str, str], FamilyFigures]
"""By name of the contender and of the family."""


def grouped(
    families: Sequence[FamilyFigures], contenders: Sequence[ContenderFigures]
) -> list[tuple[str, list[FamilyFigures]]]:
    """Return the candidate's families under their headings: by name, those not trained on last, 60 at most."""
    candidate = of_role(contenders, ContenderRole.CANDIDATE)
    if candidate is None:
        return []
    own = [figures for figures in families if figures.contender == candidate.name]
    # Python's sort is stable: among families of one size those that come first are kept.
    largest = sorted(own, key=lambda figures: -figures.num_samples)[:MAX_FAMILIES]
    shown = sorted(largest, key=lambda figures: (figures.held_out, figures.family))
    groups = [
        (heading, [figures for figures in shown if figures.needs_high_res is need])
        for need, heading in _HEADINGS.items()
    ]
    return [(heading, members) for heading, members in groups if members]


def num_hidden(families: Sequence[FamilyFigures], contenders: Sequence[ContenderFigures]) -> int:
    """Return how many of the candidate's families are not shown."""
    candidate = of_role(contenders, ContenderRole.CANDIDATE)
    own = sum(candidate is not None and figures.contender == candidate.name for figures in families)
    return max(0, own - MAX_FAMILIES)


def family_figure(families: Sequence[FamilyFigures], contenders: Sequence[ContenderFigures], theme: Theme) -> "Figure":
    """Draw resize rate (bars) and accuracy (marks of each contender) of every family that is shown."""
    lines: list[str | FamilyFigures] = []
    for heading, members in grouped(families, contenders):
        lines += [heading, *members]
    by_name = {(figures.contender, figures.family): figures for figures in families}
    present = {name for name, _ in by_name}
    among = [figures for figures in contenders if figures.name in present]
    marks = _Marks(among, theme)
    with drawing(theme, width=9.6, height=1.5 + 0.3 * max(1, len(lines))) as figure:
        asks, accuracy = figure.subplots(1, 2)
        candidate = of_role(among, ContenderRole.CANDIDATE)
        _frame(asks, f"Asked for a further view, {candidate.label if candidate else ''}", lines, theme)
        _frame(accuracy, "Correct answers", lines, theme)
        _name_lines(asks, lines, theme)
        for place, line in enumerate(lines):
            if isinstance(line, FamilyFigures):
                _draw_asks(asks, place, line, by_name, marks)
                _draw_accuracy(accuracy, place, line.family, by_name, marks)
        _legend(figure, marks)
        return figure


class _Marks:
    """The marks of the contenders that a figure is drawn of."""

    def __init__(self, contenders: Sequence[ContenderFigures], theme: Theme) -> None:
        self.contenders = contenders
        self.theme = theme
        self._shapes = markers(contenders)

    def draw(self, axes: "Axes", value: float, place: int, contender: ContenderFigures) -> None:
        is_candidate = contender.role is ContenderRole.CANDIDATE
        axes.plot(
            value,
            place,
            marker=self._shapes[contender.name],
            color=self.theme.color(contender.role),
            markeredgecolor=self.theme.background,
            markersize=8.5 if is_candidate else 7,
            linestyle="none",
            zorder=4 if is_candidate else 3,
            clip_on=False,
        )

    def handles(self) -> list[object]:
        """What a legend takes, the candidate first."""
        from matplotlib.lines import Line2D

        return [
            Line2D(
                [],
                [],
                marker=self._shapes[contender.name],
                color=self.theme.color(contender.role),
                linestyle="none",
                label=contender.label,
            )
            for contender in reversed(self.contenders)
        ]


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


def _draw_asks(axes: "Axes", place: int, own: FamilyFigures, by_name: _ByName, marks: _Marks) -> None:
    axes.barh(place, own.resize_rate, height=0.6, color=marks.theme.color(ContenderRole.CANDIDATE))
    base = of_role(marks.contenders, ContenderRole.BASE)
    before = by_name.get((base.name, own.family)) if base else None
    reach = own.resize_rate
    if before and 0 <= before.resize_rate - reach < 0.12:
        # The base model's mark would cover the number.
        reach = before.resize_rate
    axes.annotate(
        f"{own.resize_rate:.0%}",
        xy=(reach, place),
        xytext=(6, -0.5),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
    )
    if base and before:
        marks.draw(axes, before.resize_rate, place, base)


def _draw_accuracy(axes: "Axes", place: int, family: str, by_name: _ByName, marks: _Marks) -> None:
    found = [
        (contender, by_name[contender.name, family].accuracy)
        for contender in marks.contenders
        if (contender.name, family) in by_name
    ]
    values = [value for _, value in found]
    axes.plot([min(values), max(values)], [place, place], color=marks.theme.grid, linewidth=3, zorder=1)
    for contender, value in found:
        marks.draw(axes, value, place, contender)


def _legend(figure: "Figure", marks: _Marks) -> None:
    figure.legend(
        handles=marks.handles(),
        loc="outside lower right",
        ncols=5,
        frameon=False,
        fontsize=8.5,
        handletextpad=0.2,
        columnspacing=1.4,
        labelcolor=marks.theme.text,
    )
