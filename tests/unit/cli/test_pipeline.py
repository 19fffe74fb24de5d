import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.kubeflow_server import KubeflowServer, kubeflow_server

from visionthink.cli.app import run_command
from visionthink.pipelines.cluster.options import NAMES
from visionthink.pipelines.compile import shipped_text


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeflowServer]:
    with kubeflow_server() as made:
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", made.host)
        yield made


def test_compile_writes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISIONTHINK_IMAGE", "example/image:7")
    target = tmp_path / "deep" / "p.yaml"
    given = ["--out", str(target), "--env", "A=b=c", "--runs-claim", "", "--train-gpus", "4"]
    assert run_command(["pipeline", "compile", "train", *given, "--node-selector", "gpu.product=h100"]) == 0
    text = target.read_text()
    assert "example/image:7" in text and "b=c" in text and "pvcMount" not in text and "gpu.product: h100" in text
    assert str(target) in capsys.readouterr().err


@pytest.mark.parametrize("given", ["A", "=b", "a b=c"])
def test_compile_refuses_what_is_no_variable(tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str) -> None:
    target = tmp_path / "p.yaml"
    assert run_command(["pipeline", "compile", "--out", str(target), "--env", given]) == 2
    assert "is not NAME=VALUE" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize("command", ["compile", "upload", "run"])
def test_pipeline_that_there_is_not_is_refused_with_those_that_there_are(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["pipeline", command, "serve"]) == 2
    assert "choose one of visionthink, label, train, evaluate, promote, rollback" in capsys.readouterr().err


def test_upload_brings_the_one_that_ships_or_a_file(
    server: KubeflowServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(shipped_text("rollback") + "# mine\n")
    for given in ([], [], ["--package", str(own)]):
        assert run_command(["pipeline", "upload", "rollback", "--json", *given]) == 0
    told = capsys.readouterr()
    made = [json.loads(line) for line in told.out.splitlines()]
    assert [one["new"] for one in made] == [True, False, True]
    assert len({one["pipeline_id"] for one in made}) == 1
    assert server.texts[made[2]["version_id"]].endswith("# mine\n")


def test_upload_of_all_is_compiled_for_the_installation(
    server: KubeflowServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tmp_path / "pipeline.toml"
    options.write_text('image = "example/control:9"\n')
    assert run_command(["pipeline", "upload", "all", "--installation", str(options)]) == 0
    names = {one.display_name for one in server.pipelines.values()}
    assert names == {"visionthink", *(f"visionthink-{name}" for name in NAMES[1:])}
    assert all("example/control:9" in text for text in server.texts.values())
    assert capsys.readouterr().out.count("new=True") == len(NAMES)
    assert run_command(["pipeline", "upload", "all", "--package", str(options)]) == 2


def test_run_starts_a_run_of_what_it_uploads_and_waits_for_its_end(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["-p", "version=3", "-p", "canary_steps=5,50", "--run-name", "third", "--json", "--wait"]
    server.states = ["SUCCEEDED"]
    assert run_command(["pipeline", "run", "promote", *given]) == 0
    told = capsys.readouterr()
    run = server.runs[json.loads(told.out)["run_id"]]
    assert run.runtime_config["parameters"] == {"version": "3", "canary_steps": "5,50"}
    assert (run.display_name, run.service_account) == ("third", "visionthink-pipeline")
    assert "succeeded" in told.err


def test_run_that_fails_ends_the_command_with_its_state(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.states = ["FAILED"]
    assert run_command(["pipeline", "run", "rollback", "--wait"]) == 1
    assert "ended as FAILED" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["promote"], "needs version; write --param version=VALUE"),
        (["promote", "-p", "version"], "is not NAME=VALUE"),
        (["rollback", "-p", "speed=1"], "no field speed"),
        (["rollback", "--package", "/nowhere.yaml"], "/nowhere.yaml cannot be read"),
    ],
)
def test_run_that_cannot_be_is_refused_before_anything_is_uploaded(
    server: KubeflowServer, capsys: pytest.CaptureFixture[str], given: list[str], told: str
) -> None:
    assert run_command(["pipeline", "run", *given]) == 2
    assert told in capsys.readouterr().err
    assert not server.pipelines


def test_server_that_nobody_names_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)
    assert run_command(["pipeline", "upload"]) == 2
    assert "write --host URL, or set KF_PIPELINES_ENDPOINT" in capsys.readouterr().err
