import json

import pytest

from visionthink.cli.app import run_command

NOWHERE = [
    *("doctor", "--kubeconfig", "/nonexistent", "--kfp", "http://127.0.0.1:9"),
    *("--set", "tracking.uri=http://127.0.0.1:9"),
]


def test_doctor_tells_what_is_wrong_with_its_mend_and_by_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(NOWHERE) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("WRONG    API server: no cluster is named")
    assert lines[1].strip().startswith("-> kubectl cluster-info")
    assert any(line.startswith("unknown  object store") for line in lines)


def test_doctor_as_json_has_every_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*NOWHERE, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] is False
    assert {one["name"]: one["health"] for one in told["checks"]} == {
        "API server": "wrong",
        "object store": "unknown",
        "MLflow": "wrong",
        "Kubeflow Pipelines": "wrong",
    }


def test_doctor_refuses_settings_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--namespace", "No Name"]) == 2
    assert "cluster.namespace" in capsys.readouterr().err
