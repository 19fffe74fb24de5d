import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from visionthink import metrics
from visionthink.errors import UserError
from visionthink.metrics import EVAL_ACCURACY, EVAL_FAMILY_ACCURACY, METRICS, REWARD_MEAN, Kind, Metric

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
MLFLOW_KEY = re.compile(r"[A-Za-z0-9_]+(/[\w.\-: ]+)+")
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300).filter(str.strip)
PROMETHEUS_NAME = re.compile(r"visionthink_[a-z0-9_]+")


def keyed(metric: Metric) -> str:
    return metric.key(**dict.fromkeys(metric.labels, "some"))


def test_metric_names_are_unique_in_mlflow_and_in_prometheus() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert len({metric.prometheus for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metric_name_is_legal_everywhere(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z]+/[a-z0-9_]+", metric.name)
    assert MLFLOW_KEY.fullmatch(keyed(metric)) and len(keyed(metric)) <= 250
    assert PROMETHEUS_NAME.fullmatch(metric.prometheus)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metric_says_what_it_means_in_one_sentence(metric: Metric) -> None:
    assert metric.meaning[0].isalnum() and metric.meaning.endswith(".")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metric_unit_agrees_with_its_suffix(metric: Metric) -> None:
    wants_seconds = metric.name.endswith("_s")
    assert wants_seconds == (metric.unit is metrics.Unit.SECONDS)
    if metric.name.endswith("_ratio"):
        assert metric.unit is metrics.Unit.SHARE
    if metric.name.split("/")[1].startswith("num_"):
        assert metric.unit is metrics.Unit.COUNT


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_lookup_finds_every_metric_by_its_key(metric: Metric) -> None:
    assert metrics.lookup(keyed(metric)) is metric


@pytest.mark.parametrize(
    "key",
    ["", "reward", "reward/men", "reward/mean/", "reward/mean/extra", "eval/accuracy", "eval/family_accuracy/trained"],
)
def test_lookup_refuses_a_key_that_nobody_registered(key: str) -> None:
    with pytest.raises(UserError, match="unknown metric"):
        metrics.lookup(key)


def test_check_names_the_unknown_key() -> None:
    metrics.check([REWARD_MEAN.key()])
    with pytest.raises(UserError, match="made_up/number"):
        metrics.check([REWARD_MEAN.key(), "made_up/number"])


def test_key_appends_label_values_in_declared_order() -> None:
    assert EVAL_FAMILY_ACCURACY.key(family="code", row="trained") == "eval/family_accuracy/trained/code"


@pytest.mark.parametrize(
    ("family", "want"),
    [
        pytest.param("chart-qa_2.1 en", "chart-qa_2.1 en", id="what MLflow takes"),
        pytest.param("数学", "数学", id="letters of any script"),
        pytest.param("lmms-lab/Chart QA: ä?", "lmms-lab:2FChart QA:3A ä:3F", id="what it refuses"),
        pytest.param("€%", ":E2:82:AC:25", id="a character of three bytes"),
        pytest.param("..", ":2E:2E", id="what a path would swallow"),
        pytest.param("v1..", "v1..", id="dots that a path keeps"),
    ],
)
def test_key_escapes_what_mlflow_refuses(family: str, want: str) -> None:
    assert EVAL_FAMILY_ACCURACY.key(row="base", family=family) == f"eval/family_accuracy/base/{want}"
    assert metrics.unescaped(want) == family


@given(NAMES)
def test_key_is_one_that_mlflow_takes(name: str) -> None:
    key = metrics.EVAL_FAMILY_VISUAL_TOKENS_MEAN.key(row=name, family=name)
    _validate_metric_name(key)  # type: ignore[no-untyped-call]
    assert len(key) <= 250
    assert metrics.lookup(key) is metrics.EVAL_FAMILY_VISUAL_TOKENS_MEAN


@given(NAMES, NAMES)
def test_different_names_never_share_a_key(one: str, other: str) -> None:
    assert (metrics.escaped(one) == metrics.escaped(other)) == (one == other)


@given(NAMES)
def test_escape_can_be_undone_but_for_long_names(name: str) -> None:
    text = metrics.escaped(name)
    assert metrics.unescaped(text) == (text if "::" in text else name)
    assert "::" not in text or len(text) == 100


def test_long_names_that_begin_alike_have_keys_of_their_own() -> None:
    one, other = ("x" * 400 + end for end in "ab")
    assert metrics.escaped(one) != metrics.escaped(other)
    assert metrics.escaped(one).startswith("xxxx") and len(metrics.escaped(one)) == 100


@pytest.mark.parametrize("labels", [{}, {"row": "base", "family": "x"}, {"line": "base"}, {"row": ""}, {"row": " "}])
def test_key_refuses_wrong_labels(labels: dict[str, str]) -> None:
    with pytest.raises(UserError, match="eval/accuracy"):
        EVAL_ACCURACY.key(**labels)


@pytest.mark.parametrize("name", ["", "  ", "half \ud800 a character"])
def test_names_that_no_number_can_bear_are_refused_by_name(name: str) -> None:
    metrics.check_names(["code", "...", "数学"], of="family")
    with pytest.raises(UserError, match="family: "):
        metrics.check_names(["code", name], of="family")


def test_prometheus_name_follows_the_rule() -> None:
    assert metrics.PERF_STEP_S.prometheus == "visionthink_perf_step_seconds"
    assert metrics.SERVE_REQUESTS.prometheus == "visionthink_serve_requests_total"
    assert metrics.GROUP_NUM_KEPT.prometheus == "visionthink_group_num_kept"
    assert all(m.prometheus.endswith("_total") == (m.kind is Kind.COUNTER) for m in METRICS)


def test_document_is_what_the_module_says() -> None:
    want = metrics.to_markdown()
    assert DOCUMENT.read_text() == want, "run: python -m visionthink.metrics > docs/metrics.md"
