"""The report in one sentence and four numbers.

Rule: the reader who stops after the first screen has seen what was gained and what it cost, each number beside the one
it has to be compared with. Only quotients of the given means are formed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from visionthink.core.gate import ContenderRole
from visionthink.report.record import ContenderFigures, of_role


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A number, what it is, and what it has to be compared with."""

    value: str
    name: str
    note: str


def tokens_text(count: float) -> str:
    """Return a mean of tokens as short as it can be told: 9.4, 1,380."""
    return f"{count:,.1f}" if count < 100 else f"{count:,.0f}"


def headline(contenders: Sequence[ContenderFigures]) -> str:
    """Return the sentence, empty when those that it compares were not measured."""
    candidate, high = of_role(contenders, ContenderRole.CANDIDATE), of_role(contenders, ContenderRole.FULL_VIEW)
    if candidate is None or high is None or not high.accuracy.value or not high.visual_tokens.value:
        return ""
    kept = candidate.accuracy.value / high.accuracy.value
    cost = candidate.visual_tokens.value / high.visual_tokens.value
    gained = (
        f"The {candidate.label} keeps {kept:.1%} of the accuracy of always looking at the full picture, with "
        f"{cost:.0%} of its visual tokens."
    )
    needed, not_needed = candidate.resize_rate_needed, candidate.resize_rate_not_needed
    if needed is None or not_needed is None:
        return gained
    return (
        f"{gained} It asks for more pixels on {needed:.1%} of the questions that need them and on {not_needed:.1%} of "
        "those that do not."
    )


def tiles(contenders: Sequence[ContenderFigures]) -> tuple[Tile, ...]:
    """Return the numbers that can be had from what was measured."""
    candidate, base, high, incumbent = (
        of_role(contenders, role)
        for role in (ContenderRole.CANDIDATE, ContenderRole.BASE, ContenderRole.FULL_VIEW, ContenderRole.INCUMBENT)
    )
    if candidate is None:
        return ()
    beside = [figures for figures in (high, base, incumbent) if figures is not None]
    made = [
        Tile(
            value=f"{candidate.accuracy.value:.1%}",
            name="correct answers",
            note=" · ".join(f"{figures.label} {figures.accuracy.value:.1%}" for figures in beside),
        )
    ]
    if high is not None and high.visual_tokens.value:
        mine, most = candidate.visual_tokens.value, high.visual_tokens.value
        note = f"{tokens_text(mine)} a question · {high.label} {tokens_text(most)}"
        made.append(Tile(value=f"{mine / most:.0%}", name="of the visual tokens", note=note))
    rates = (
        ("asked when needed", candidate.resize_rate_needed, base and base.resize_rate_needed),
        ("asked needlessly", candidate.resize_rate_not_needed, base and base.resize_rate_not_needed),
    )
    for name, rate, before in rates:
        if rate is not None:
            note = "" if base is None or before is None else f"{base.label} {before:.1%}"
            made.append(Tile(value=f"{rate:.1%}", name=name, note=note))
    if candidate.right_region_ratio is not None:
        made.append(_region_tile(candidate, base))
    return tuple(made)


def _region_tile(candidate: ContenderFigures, base: ContenderFigures | None) -> Tile:
    before = None if base is None else base.right_region_ratio
    parts = [] if base is None or before is None else [f"{base.label} {before:.1%}"]
    if candidate.whole_ratio is not None:
        parts.append(f"the whole on {candidate.whole_ratio:.1%} of asks")
    return Tile(value=f"{candidate.right_region_ratio:.1%}", name="looked at the right region", note=" · ".join(parts))
