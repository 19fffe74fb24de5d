"""The commands `rollout ...` at the command line: their words, their codes, and what they refuse."""

import json
from pathlib import Path

import pytest
from tests.fakes.rollout_parts import V2, World

import visionthink.cli.rollout as commands
from visionthink.cli.app import run_command


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A cluster in memory in the place of the one that a kubeconfig names."""
    made = World()
    monkeypatch.setattr(commands, "_rollout", lambda *_: made.rollout())
    monkeypatch.setattr(commands, "_cluster", lambda *_: made.rollout().cluster)
    return made


START = ("rollout", "start", "2", "--uri", V2.uri)


def test_a_version_is_promoted_and_told_as_json_with_progress_beside_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*START, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["phase"], record["version"]["name"], record["done"]) == ("promoted", "v2", True)
    assert "promoted: v2" in "\n".join(world.lines)


def test_a_version_that_goes_back_is_an_error_with_its_reason(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.verdicts.passed = False
    assert run_command([*START, "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["reason"] == "FAIL min_accuracy_gain"
    assert "v2 was rolled back: FAIL min_accuracy_gain" in told.err


def test_status_says_who_gets_requests(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rollout", "status"]) == 0
    assert "nothing was ever rolled out here" in capsys.readouterr().out
    run_command([*START])
    capsys.readouterr()
    assert run_command(["rollout", "status"]) == 0
    out = capsys.readouterr().out
    assert "v2: promoted" in out and "requests: v2 100 %" in out and "ready pods: v2 1" in out
    assert run_command(["rollout", "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["shares"] == {"v2": 100} and found["rollout"]["phase"] == "promoted"


def test_the_way_back_and_what_cannot_be_ended(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    run_command([*START])
    assert run_command(["rollout", "abort"]) == 2
    assert run_command(["rollout", "promote"]) == 0
    assert run_command(["rollout", "rollback"]) == 0
    assert "v1: promoted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (["start", "Two!", "--uri", "s3://m/2"], "is no version"),
        (["start", "2", "--uri", "models/2"], "an address with ://"),
        (["start", "2", "--uri", "s3://m/2", "--set", "rollout.percents=[50, 5]"], "must rise from 1 to 99"),
        (["start", "2", "--uri", "s3://m/2", "--set", "rollout.percent=5"], "unknown key rollout.percent"),
        (["start", "2", "--uri", "s3://m/2", "--set", "rollout.hold_s=9999"], "max_hold_s"),
        (["start", "2", "--uri", "s3://m/2", "--set", "rollout.num_samples=9"], "below min_samples"),
        (["abort"], "no rollout is under way"),
        (["rollback"], "nothing was ever rolled out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_told(
    world: World, words: list[str], want: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["rollout", *words]) == 2
    assert want in capsys.readouterr().err


def test_a_kubeconfig_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rollout", "status", "--kubeconfig", str(tmp_path / "none")]) == 1
    assert "KUBECONFIG" in capsys.readouterr().err
