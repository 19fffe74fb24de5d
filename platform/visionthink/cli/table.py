"""The contenders of an evaluation as a table."""

from collections.abc import Iterator, Mapping

from visionthink.core.gate import ContenderRole
from visionthink.core.json_value import Json, as_object
from visionthink.metrics import EVAL_LATENCY_S
from visionthink.runs.folder import RunFolder

_HEADINGS = ("correct", "95 %", "asked: needed", "not needed", "visual tokens", "of full", "seconds")


def print_rows(folder: RunFolder) -> None:
    """Print what each contender answered right, when it asked, and what that cost."""
    from rich.console import Console
    from rich.table import Table

    result = folder.finished("evaluate")
    rows = {name: as_object(figures) for name, figures in as_object(result.facts["rows"]).items()}
    num_samples = _of_role(rows, ContenderRole.CANDIDATE)["num_samples"]
    table = Table(title=f"{num_samples} held-out questions", title_justify="left")
    table.add_column("")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    full = _number(as_object(_of_role(rows, ContenderRole.FULL_VIEW)["visual_tokens"])["value"])
    for name, figures in rows.items():
        accuracy, tokens = as_object(figures["accuracy"]), _number(as_object(figures["visual_tokens"])["value"])
        latency_s = result.metrics.get(EVAL_LATENCY_S.key(row=name))
        table.add_row(
            str(figures["label"]),
            _percent(accuracy["value"]),
            f"{_percent(accuracy['low'])} - {_percent(accuracy['high'])}",
            _percent(figures["resize_rate_needed"]),
            _percent(figures["resize_rate_not_needed"]),
            f"{tokens:.2f}",
            _percent(tokens / full if full else None),
            "-" if latency_s is None else f"{latency_s:.3f}",
        )
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table)
    for line in (*_failed(rows), *_dropping(rows), *_apart(result.facts, rows), *_in_use(result.facts)):
        console.print(line, highlight=False, markup=False)


def _failed(rows: Mapping[str, Mapping[str, Json]]) -> Iterator[str]:
    """What stands in no figure, and why."""
    for figures in rows.values():
        if figures["num_failed"]:
            reasons = ", ".join(f"{reason} ({count})" for reason, count in as_object(figures["failures"]).items())
            yield (
                f"{figures['label']}: {figures['num_failed']} more questions stand in no figure, because engine or "
                f"judge failed: {reasons}"
            )


def _dropping(rows: Mapping[str, Mapping[str, Json]]) -> Iterator[str]:
    """How the tokens of those are counted who drop some."""
    if any(figures.get("drops_tokens") for figures in rows.values()):
        yield (
            "visual tokens of contenders that drop some: those that a layer of the language model computes, mean over "
            "its layers"
        )


def _apart(facts: Mapping[str, Json], rows: Mapping[str, Mapping[str, Json]]) -> Iterator[str]:
    """The families that took no part in training, in a line."""
    if facts["held_out"] is None:
        return
    apart = as_object(facts["held_out"])
    rates, accuracy = as_object(apart["resize_rate"]), as_object(apart["accuracy"])
    name, label = next(
        (name, figures["label"]) for name, figures in rows.items() if figures["role"] == ContenderRole.CANDIDATE
    )
    sides = {"of those that need it": rates["needed"], "of those that do not": rates["not_needed"]}
    asked = " and ".join(f"on {_percent(rate)} {side}" for side, rate in sides.items() if rate is not None)
    yield (
        f"families not trained on ({apart['num_samples']} questions): {label} "
        f"{_percent(accuracy[name])} correct{f', asked {asked}' if asked else ''}"
    )


def _in_use(facts: Mapping[str, Json]) -> Iterator[str]:
    """Why the model in use is not in the table."""
    found = as_object(facts["incumbent"])
    if found["state"] == "unmeasured":
        yield f"the model in use is not measured: {found['reason']}"
    elif found["state"] == "same":
        yield f"the model in use (version {found['version']}) is the one that is judged"


def _of_role(rows: Mapping[str, Mapping[str, Json]], role: ContenderRole) -> Mapping[str, Json]:
    return next(figures for figures in rows.values() if figures["role"] == role)


def _number(value: Json) -> float:
    assert isinstance(value, int | float), value
    return float(value)


def _percent(value: Json) -> str:
    return "-" if value is None else f"{_number(value):.1%}"
