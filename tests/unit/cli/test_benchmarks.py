import pytest

from visionthink.cli.benchmarks import asked_on
from visionthink.cli.settings import Settings
from visionthink.errors import ConfigError


def test_each_benchmark_has_its_rows_below_one_place() -> None:
    got = asked_on(Settings(overrides={"seed": 3}), ["pope", "mme"], "s3://bucket/sets/")
    assert [one.overrides for one in got] == [
        {"seed": 3, "evaluate.benchmark": "pope", "data.eval_source": "s3://bucket/sets/pope"},
        {"seed": 3, "evaluate.benchmark": "mme", "data.eval_source": "s3://bucket/sets/mme"},
    ]


def test_one_benchmark_may_have_its_place_from_the_settings() -> None:
    (got,) = asked_on(Settings(overrides={"data.eval_source": "rows"}), ["pope"], None)
    assert got.overrides == {"data.eval_source": "rows", "evaluate.benchmark": "pope"}


@pytest.mark.parametrize(
    ("names", "mirrors", "want"),
    [
        (["pope", "chartq"], "sets", "no benchmark 'chartq'; there are chartqa"),
        (["pope", "pope"], "sets", "each once, got pope, pope"),
        ([], "sets", "got none"),
        (["pope", "mme"], None, "name DIR with --mirrors"),
    ],
    ids=["unknown", "twice", "none", "no place"],
)
def test_what_cannot_be_asked_is_refused(names: list[str], mirrors: str | None, want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        asked_on(Settings(), names, mirrors)
