"""The command `judge agreement`: whether the rule and a language model say the same of the same answers."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from visionthink.cli.choosing import choose_begun_run
from visionthink.cli.settings import Settings, takes_settings
from visionthink.config import RunConfig, override_config
from visionthink.core.excerpt import excerpt
from visionthink.errors import ConfigError, DataError
from visionthink.judges.agreement import Agreement, Judged, agreement_of, judged_before, judged_now
from visionthink.judges.call_log import read_calls
from visionthink.judges.judge import GradeItem
from visionthink.judges.prompt import INQUIRY
from visionthink.judges.told import Told
from visionthink.runs.folder import RunFolder

app = typer.Typer(help="Judges of answers.", no_args_is_help=True, rich_markup_mode=None)

_RULE_FIRST: Final = "rule+"
_File = Annotated[
    Path | None,
    typer.Option(
        "--items",
        help="Answers to judge, JSON lines with question, answer and prediction, in place of a run's.",
        metavar="FILE",
    ),
]
_Calls = Annotated[
    Path | None,
    typer.Option("--calls", help="What a judge said before (judge.cache); nobody is asked.", metavar="FILE"),
]
_Out = Annotated[
    Path | None, typer.Option("--out", help="JSON file to write, with every disagreement.", metavar="FILE")
]
_Examples = Annotated[int, typer.Option("--examples", min=0, help="Disagreements to print.")]


@app.callback()
def _group() -> None:
    """Judges of answers."""


def agreement(
    settings: Settings, items: _File = None, calls: _Calls = None, out: _Out = None, examples: _Examples = 10
) -> None:
    """Judge answers by the rule and by the language model of `judge.uri`, and compare the two.

    The answers are those of a run's evaluation unless --items or --calls names others. Verdicts are remembered.
    """
    if items is not None and calls is not None:
        raise ConfigError("--items and --calls both say which answers to compare; leave one out")
    if calls is not None:
        own = (call for call in read_calls(calls) if call.prompt != INQUIRY)  # benchmarks ask for something else
        judged = [judged_before(call.item, call.correct) for call in own]
    elif items is not None:
        judged = _asked(read_items(items), settings.resolve(), None)
    else:
        folder, config = choose_begun_run(settings)
        judged = _asked(_of_run(folder, config), config, folder)
    found = agreement_of(judged)
    print_agreement(found, examples)
    if out is not None:
        from visionthink.storage import atomic_write_json

        atomic_write_json(out, found.to_dict())


app.command()(takes_settings(agreement))


def read_items(path: Path) -> list[GradeItem]:
    """The items in a file of JSON lines.

    Raises:
        DataError: the file cannot be read, or a line is none; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return [_item(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _item(path: Path, number: int, line: str) -> GradeItem:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    match value:
        case {"question": str(question), "answer": str(answer), "prediction": str(prediction)}:
            others = value.get("other_answers", [])
            if isinstance(others, list) and all(isinstance(other, str) for other in others):
                return GradeItem(question=question, answer=answer, prediction=prediction, other_answers=tuple(others))
    raise DataError(
        f'line {number} of {path} is no answer to judge: {excerpt(line)}; it takes {{"question": "...", '
        '"answer": "...", "prediction": "..."}, and may have "other_answers": ["..."]'
    )


def _of_run(folder: RunFolder, config: RunConfig) -> list[GradeItem]:
    from visionthink.evaluation.graded_item import graded_items
    from visionthink.stage import say

    return graded_items(folder, config, say)


def _asked(items: Sequence[GradeItem], config: RunConfig, folder: RunFolder | None) -> list[Judged]:
    """What both say, the language model about every item."""
    from visionthink.runs.progress import Progress
    from visionthink.stage import judge_of, say

    uri = config.judge.uri.removeprefix(_RULE_FIRST)
    if uri == "rule":
        raise ConfigError(
            "judge.uri is rule, and agrees with itself; name a language model: "
            "--set judge.uri=openai:http://HOST:PORT/v1?model=NAME"
        )
    judge = judge_of(override_config(config, {"judge.uri": uri}), os.environ, folder=folder)
    progress = Progress("judge", len(items), unit="answers", say=say)

    async def ask() -> list[Judged]:
        try:
            return await judged_now(items, judge, lambda: progress.advance(1))
        finally:
            await judge.aclose()

    return asyncio.run(ask())


def print_agreement(found: Agreement, num_examples: int) -> None:
    """Print the table, what it comes to, and some answers on which they disagree."""
    from rich.console import Console
    from rich.table import Table

    names = {Told.RIGHT: "right", Told.WRONG: "wrong"}
    table = Table(title=f"{sum(found.counts.values()):,} answers: the rule against the language model")
    for heading in ("the rule says", "right", "wrong", "failed"):
        table.add_column(heading, justify="left" if heading == "the rule says" else "right")
    for rule in Told:
        table.add_row(names.get(rule, "cannot tell"), *(f"{found.counts.get((rule, said), 0):,}" for said in Told))
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table)
    for line in (_sentence(found), *_lines(found.disagreements[:num_examples])):
        console.print(line, highlight=False, markup=False)
    if len(found.disagreements) > num_examples:
        print(f"{len(found.disagreements) - num_examples:,} more; --out FILE.json has them all", file=sys.stderr)


def _sentence(found: Agreement) -> str:
    if found.agreement_ratio is None:
        return "there is no answer that both told"
    kappa = "has no value: both call all of them the same" if found.kappa is None else f"is {found.kappa:.3f}"
    return (
        f"of the {found.num_both:,} answers that both told they agree on {found.agreement_ratio:.1%}; "
        f"Cohen's kappa {kappa}"
    )


def _lines(disagreements: Sequence[Judged]) -> list[str]:
    return [
        f"- rule {one.rule.value}, language model {one.language.value}: {excerpt(one.item.question)} "
        f"true {excerpt(' | '.join(one.item.answers))}, said {excerpt(one.item.prediction or '')}"
        for one in disagreements
    ]
