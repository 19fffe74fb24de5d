"""The table of pairs: what people and models write for what benchmarks ask, and what a judge must say of it.

Rule: `want` is what a careful person would say, whatever the judge says. A row is added for a kind of difference, and
never taken out because a judge fails on it.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from visionthink.judges import GradeItem
from visionthink.judges.told import Told

_PATH: Final = Path(__file__).with_name("pairs.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One row."""

    kind: str
    item: GradeItem
    want: Told


@cache
def pairs() -> tuple[Pair, ...]:
    """All rows."""
    return tuple(_pair(json.loads(line)) for line in _PATH.read_text(encoding="utf-8").splitlines())


def _pair(row: dict[str, Any]) -> Pair:
    answer, *others = row["answers"]
    item = GradeItem(question=row["question"], answer=answer, other_answers=tuple(others), prediction=row["prediction"])
    return Pair(kind=row["kind"], item=item, want=Told(row["want"]))
