"""The rows of an evaluation as a table."""

from collections.abc import Mapping

from visionthink.core.json_value import Json, as_object
from visionthink.metrics import EVAL_LATENCY_S
from visionthink.report.record import Row
from visionthink.runs.folder import RunFolder


def print_rows(folder: RunFolder) -> None:
    """Print what each row answered right, when it asked, and what that cost."""
    from rich.console import Console
    from rich.table import Table

    result = folder.finished("evaluate")
    rows = as_object(result.facts["rows"])
    table = Table(title=_title(result.facts), title_justify="left")
    table.add_column("")
    for heading in ("correct", "95 %", "asked: needed", "not needed", "visual tokens", "of full", "seconds"):
        table.add_column(heading, justify="right")
    full = _number(as_object(as_object(rows[Row.ALWAYS_HIGH.value])["visual_tokens"])["value"])
    for row in Row:
        figures = as_object(rows[row.value])
        accuracy, tokens = as_object(figures["accuracy"]), _number(as_object(figures["visual_tokens"])["value"])
        table.add_row(
            row.label,
            _percent(accuracy["value"]),
            f"{_percent(accuracy['low'])} - {_percent(accuracy['high'])}",
            _percent(figures["resize_rate_needed"]),
            _percent(figures["resize_rate_not_needed"]),
            f"{tokens:.2f}",
            _percent(tokens / full if full else None),
            f"{result.metrics[EVAL_LATENCY_S.key(row=row)]:.3f}",
        )
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table)
    console.print(_apart(result.facts), highlight=False)


def _title(facts: Mapping[str, Json]) -> str:
    trained = as_object(as_object(facts["rows"])[Row.TRAINED.value])
    return f"{trained['num_samples']} held-out questions"


def _apart(facts: Mapping[str, Json]) -> str:
    """The families that took no part in training, in a line."""
    if facts["held_out"] is None:
        return ""
    apart = as_object(facts["held_out"])
    rates, accuracy = as_object(apart["resize_rate"]), as_object(apart["accuracy"])
    sides = {"of those that need it": rates["needed"], "of those that do not": rates["not_needed"]}
    asked = " and ".join(f"on {_percent(rate)} {side}" for side, rate in sides.items() if rate is not None)
    return (
        f"families not trained on ({apart['num_samples']} questions): trained model "
        f"{_percent(accuracy[Row.TRAINED.value])} correct{f', asked {asked}' if asked else ''}"
    )


def _number(value: Json) -> float:
    assert isinstance(value, int | float), value
    return float(value)


def _percent(value: Json) -> str:
    return "-" if value is None else f"{_number(value):.1%}"
