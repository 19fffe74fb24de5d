import errno
import subprocess
import sys
from pathlib import Path

import pytest

import visionthink
from visionthink.cli import app as subject
from visionthink.cli.app import main, run_command
from visionthink.errors import BackendError, UserError
from visionthink.storage import DiskFullError
from visionthink.tracking import TrackerRequiredError

HEAVY = ("boto3", "fastapi", "kfp", "matplotlib", "mlflow", "openai", "pyarrow", "torch", "transformers")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Every command ends with the error in the parameter."""

    def fail(*args: object, **named: object) -> None:
        raise request.param

    monkeypatch.setattr(subject, "app", fail)


@pytest.mark.parametrize(
    ("failing", "code", "line"),
    [
        pytest.param(UserError("mend\nit"), 2, "error: mend it", id="the user can mend it"),
        pytest.param(BackendError("gone", retryable=True), 1, "error: gone", id="something failed"),
        pytest.param(DiskFullError("no room"), 2, "error: no room", id="a full disk"),
        pytest.param(TrackerRequiredError("down", retryable=True), 2, "error: down", id="a required tracker"),
        pytest.param(KeyboardInterrupt(), 130, "error: interrupted; the same command goes on from here", id="Ctrl-C"),
        pytest.param(
            OSError(errno.ENOSPC, "No space left", "f.txt"),
            2,
            "error: the disk is full: could not write f.txt; nothing half-written was left. Make room, then run the "
            "same command again",
            id="a full disk that nobody translated",
        ),
        pytest.param(
            ZeroDivisionError("oh"), 1, "error: ZeroDivisionError: oh (a bug: --debug shows where)", id="a bug"
        ),
    ],
    indirect=["failing"],
)
@pytest.mark.usefixtures("failing")
def test_error_becomes_one_line_and_an_exit_code(code: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run"]) == code
    assert capsys.readouterr() == ("", f"{line}\n")


@pytest.mark.parametrize("failing", [UserError("mend it")], indirect=True)
@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("arguments", [["--debug", "run"], ["run", "--debug"]])
def test_debug_anywhere_on_the_line_shows_the_traceback(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--version"], 0, visionthink.__version__),
        (["--help"], 0, "run"),
        (["run", "--help"], 0, "--held-out-families"),
        (["evaluate", "--help"], 0, "--model"),
        (["pipeline", "compile", "--help"], 0, "--runs-claim"),
        (["base-model", "build", "--help"], 0, "--seed"),
        (["run", "--nope"], 2, "No such option"),
        (["serve", "--world-seed", "3"], 2, "No such option"),
        (["serve", "--help"], 0, "--run-dir"),
        (["run", "--run-id", "my run"], 2, "'my run' cannot name a run"),
        (["run", "--seed", "-1"], 2, "error: seed: "),
        (["bake"], 2, "No such command"),
        (["run", "--seed", "x"], 2, "a valid integer"),
    ],
)
def test_command_line_answers(arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(arguments) == code
    told = capsys.readouterr()
    assert text in told.out + told.err


@pytest.mark.parametrize("command", ["run", "label", "train", "evaluate", "register", "config"])
def test_every_stage_command_takes_the_common_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([command, "--help"]) == 0
    shown = capsys.readouterr().out
    options = ("--config", "--set", "--seed", "--world-seed", "--families", "--held-out-families", "--penalty")
    assert [option for option in (*options, "--run-dir") if option not in shown] == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["config", "--set", "train.nope=1"], "unknown key train.nope (value 1)"),
        (
            ["config", "--set", "train.num_steps=0"],
            "train.num_steps: Input should be greater than or equal to 1",
        ),
        (["config", "--set", "num_steps"], "setting 'num_steps' is not of the form section.key=value"),
        (
            ["config", "--penalty", "harsh"],
            "reward.penalty: Input should be 'paper', 'released', 'tokens' or 'none'",
        ),
        (["config", "--config", "absent.toml"], "configuration absent.toml cannot be read"),
        (["label", "--families", "nope"], "unknown families ['nope']"),
        (["label", "--families", "corner", "--held-out-families", "corner"], "both trained on and held out"),
        (["label", "--families", "color,shape"], "does not need the full view, so there is nothing to tell apart"),
        (["run", "--set", "data.source=/absent/x.parquet"], "/absent/x.parquet"),
        (["evaluate", "--model", "absent"], "absent holds no model"),
        (["train"], "there is no run in runs/ yet"),
        (["evaluate"], "there is no run in runs/ yet"),
        (["serve"], "there is no run in runs/ yet"),
        (["ui"], "nothing was recorded in runs yet"),
        (["evaluate", "--run-dir", "absent"], "absent is no run"),
        (["run", "--run-dir", "x", "--fresh"], "--run-dir names the run"),
        (["run", "--set", "model.base=absent"], "absent holds no model"),
        (["world"], "nothing to write"),
        (["world", "--look", "x.png", "--split", "nope"], "there is no split 'nope'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_gets_one_clear_line_and_leaves_nothing(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert run_command(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and line in told and told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_command_line_loads_nothing_heavy() -> None:
    code = f"import sys, visionthink.cli; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "visionthink", "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, visionthink.__version__, "")
