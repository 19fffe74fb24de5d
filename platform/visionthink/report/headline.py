"""The report in one sentence and four numbers.

Rule: the reader who stops after the first screen has seen what was gained and what it cost, each number beside the one
it has to be compared with. Only quotients of the given means are formed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from visionthink.report.record import Row, RowFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A number, what it is, and what it has to be compared with."""

    value: str
    name: str
    note: str


def tokens_text(count: float) -> str:
    """Return a mean of tokens as short as it can be told: 9.4, 1,380."""
    return f"{count:,.1f}" if count < 100 else f"{count:,.0f}"


def headline(rows: Sequence[RowFigures]) -> str:
    """Return the sentence, empty when the rows that it compares were not measured."""
    by_row = {figures.row: figures for figures in rows}
    trained, high = by_row.get(Row.TRAINED), by_row.get(Row.ALWAYS_HIGH)
    if trained is None or high is None or not high.accuracy.value or not high.visual_tokens.value:
        return ""
    kept = trained.accuracy.value / high.accuracy.value
    cost = trained.visual_tokens.value / high.visual_tokens.value
    gained = (
        f"The trained model keeps {kept:.1%} of the accuracy of always looking at the full picture, with {cost:.0%} of "
        "its visual tokens."
    )
    needed, not_needed = trained.resize_rate_needed, trained.resize_rate_not_needed
    if needed is None or not_needed is None:
        return gained
    return (
        f"{gained} It asks for more pixels on {needed:.1%} of the questions that need them and on {not_needed:.1%} of "
        "those that do not."
    )


def tiles(rows: Sequence[RowFigures]) -> tuple[Tile, ...]:
    """Return the numbers that can be had from the rows that were measured."""
    by_row = {figures.row: figures for figures in rows}
    trained, base, high = (by_row.get(row) for row in (Row.TRAINED, Row.BASE, Row.ALWAYS_HIGH))
    if trained is None:
        return ()
    made = [
        Tile(
            value=f"{trained.accuracy.value:.1%}",
            name="correct answers",
            note=" · ".join(
                f"{figures.row.label} {figures.accuracy.value:.1%}" for figures in (high, base) if figures is not None
            ),
        )
    ]
    if high is not None and high.visual_tokens.value:
        mine, most = trained.visual_tokens.value, high.visual_tokens.value
        note = f"{tokens_text(mine)} a question · {high.row.label} {tokens_text(most)}"
        made.append(Tile(value=f"{mine / most:.0%}", name="of the visual tokens", note=note))
    rates = (
        ("asked when needed", trained.resize_rate_needed, base and base.resize_rate_needed),
        ("asked needlessly", trained.resize_rate_not_needed, base and base.resize_rate_not_needed),
    )
    for name, rate, before in rates:
        if rate is not None:
            note = "" if before is None else f"base model {before:.1%}"
            made.append(Tile(value=f"{rate:.1%}", name=name, note=note))
    return tuple(made)
