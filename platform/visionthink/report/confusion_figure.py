"""Asked against needed: does the model ask when it should, and only then?

Rule: shade shows the share within a row (of those that needed it, how many asked?), because the two rows are rarely of
the same size; the counts are written in.
"""

from typing import TYPE_CHECKING

from visionthink.report.record import Confusion
from visionthink.report.theme import Theme, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def confusion_figure(confusion: Confusion, theme: Theme) -> "Figure":
    """Draw the two by two table; a good model fills the diagonal."""
    with drawing(theme, width=4.9, height=3.2) as figure:
        axes = figure.subplots()
        axes.set_title("When the model asks")
        axes.grid(False)
        axes.set_xlim(-0.5, 1.5)
        axes.set_ylim(1.5, -0.5)
        axes.set_xticks([0, 1], ["asked for a\nfurther view", "answered from\nthe quarter view"])
        axes.set_yticks([0, 1], ["needs the\nfull view", "quarter view\nis enough"])
        axes.tick_params(length=0, labelsize=9, colors=theme.text)
        axes.spines[:].set_visible(False)
        for number, counts in enumerate(confusion.matrix):
            _draw_row(axes, number, counts, theme)
        return figure


def _draw_row(axes: "Axes", number: int, counts: list[int], theme: Theme) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    total = sum(counts)
    paper, ink = to_rgb(theme.background), to_rgb(theme.blue)
    for column, count in enumerate(counts):
        share = count / total if total else 0.0
        strength = 0.06 + 0.94 * share
        fill = tuple(strength * dark + (1 - strength) * light for dark, light in zip(ink, paper, strict=True))
        frame = Rectangle((column - 0.48, number - 0.47), 0.96, 0.94, facecolor=fill, edgecolor=theme.grid)
        axes.add_patch(frame)
        color = _readable_on(fill)
        label = f"{share:.1%}" if total else "none"
        axes.text(column, number - 0.08, label, ha="center", va="center", color=color, fontsize=15, fontweight="bold")
        axes.text(column, number + 0.24, f"{count:,} of {total:,}", ha="center", va="center", color=color, fontsize=9)


def _readable_on(fill: tuple[float, ...]) -> str:
    """Black or white, whichever contrasts more (relative luminance, WCAG 2)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in fill]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#111418" if luminance > 0.18 else "#ffffff"
