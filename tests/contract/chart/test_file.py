"""What the chart carries as files: presets, dashboards, alerts, its list of values."""

import json
import re
from typing import Any

import pytest
import yaml
from tests.contract.chart.conftest import CHART, Helm, only

from visionthink import __version__
from visionthink.config import preset_names
from visionthink.config.preset import preset_text
from visionthink.metrics import METRICS, Kind

_SERIES = re.compile(r"\bvisionthink_\w+")
_SUFFIXES = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count"), Kind.COUNTER: ("",), Kind.GAUGE: ("",)}
SERIES = {metric.prometheus + suffix: metric for metric in METRICS for suffix in _SUFFIXES[metric.kind]}


def _dashboard(name: str) -> Any:
    return json.loads((CHART / "files" / "dashboards" / f"{name}.json").read_text())


def _told(name: str) -> set[str]:
    texts = [target["expr"] for panel in _dashboard(name)["panels"] for target in panel["targets"]]
    return {series for text in texts for series in _SERIES.findall(text)}


def test_presets_are_those_of_the_package(helm: Helm) -> None:
    found = only(helm.objects(), "ConfigMap", "visionthink-presets")["data"]
    assert found == {f"{name}.toml": preset_text(name) for name in preset_names()}


@pytest.mark.parametrize("name", ["serving", "training"])
def test_dashboard_names_series_that_exist(name: str) -> None:
    told = _told(name)
    assert told and told <= set(SERIES)


def test_dashboards_answer_the_questions_they_are_for() -> None:
    assert {"visionthink_reward_mean", "visionthink_resize_rate"} <= _told("training")
    assert {
        "visionthink_serve_decisions_total",
        "visionthink_serve_full_visual_tokens_total",
        "visionthink_serve_latency_seconds_bucket",
        "visionthink_serve_num_queued",
    } <= _told("serving")


@pytest.mark.parametrize("name", ["serving", "training"])
def test_dashboard_is_laid_out_without_overlap(name: str) -> None:
    panels = _dashboard(name)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert all(panel["description"] for panel in panels)


def test_labels_in_queries_are_those_of_the_metrics() -> None:
    for name in ("serving", "training"):
        for panel in _dashboard(name)["panels"]:
            for target in panel["targets"]:
                for series, labels in re.findall(r"(visionthink_\w+)\{([^}]*)\}", target["expr"]):
                    named = set(re.findall(r"(\w+)=~?\"", labels)) - {"namespace", "version"}
                    assert named <= set(SERIES[series].labels), target["expr"]


def test_alerts_name_series_that_exist_and_what_to_do(helm: Helm) -> None:
    rule = only(helm.objects({"monitoring.enabled": True}), "PrometheusRule")
    for alert in rule["spec"]["groups"][0]["rules"]:
        told = set(_SERIES.findall(alert["expr"]))
        assert told and told <= set(SERIES), alert["alert"]
        assert set(_SERIES.findall(alert["annotations"]["description"])) <= set(SERIES) | {
            metric.prometheus for metric in METRICS
        }


def test_list_of_values_is_that_of_the_values() -> None:
    """`make chart-docs` writes it."""
    text = (CHART / "README.md").read_text()
    listed = set(re.findall(r"(?m)^\| ([\w.\\/]+) \|", text)) - {"Key"}

    def leaves(tree: Any, where: str) -> set[str]:
        if not isinstance(tree, dict) or not tree:
            return {where}
        return {leaf for key, value in tree.items() for leaf in leaves(value, f"{where}.{key}".strip("."))}

    missing = {
        leaf
        for leaf in leaves(yaml.safe_load((CHART / "values.yaml").read_text()), "")
        if not any(leaf == one or leaf.startswith(f"{one}.") for one in listed)
    }
    assert missing == set()


def test_chart_bears_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__ == chart["version"]
