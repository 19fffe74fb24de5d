import json
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from tests.fakes.model_process import SERVER

from visionthink.config import ServingConfig
from visionthink.errors import EngineError
from visionthink.pipelines.cluster.served_model import served_model


def serving(script: str, **changes: object) -> ServingConfig:
    given: dict[str, object] = {"engine_command": (sys.executable, "-c", script), "engine_args": (), **changes}
    return ServingConfig.model_validate(given)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] not in ("Z", "X")
    except OSError:
        return False


def test_server_answers_for_its_model_and_is_gone_with_its_children_afterwards(tmp_path: Path) -> None:
    settings = serving(SERVER, engine_args=("--max-model-len=9",), engine_env=("A=b",))
    with served_model(tmp_path, name="base", serving=settings, memory_ratio=0.45, say=lambda _: None) as uri:
        told = json.loads((tmp_path / "told").read_text())
        port = told["options"]["port"]
        assert uri == f"openai:http://127.0.0.1:{port}/v1?model=base"
        assert told["options"] == {
            "host": "127.0.0.1",
            "port": port,
            "served-model-name": "base",
            "max-model-len": "9",
            "gpu-memory-utilization": "0.45",
        }
        assert told["a"] == "b"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=10) as reply:
            assert reply.status == 200
    deadline_s = time.monotonic() + 20
    while any(map(is_alive, told["pids"])):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_server_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    settings = serving("import sys; print('no GPU'); sys.exit(7)")
    with (
        pytest.raises(EngineError, match="exit code 7: no GPU"),
        served_model(tmp_path, name="base", serving=settings, memory_ratio=0.9, say=lambda _: None),
    ):
        pytest.fail("it is not there")


def test_server_that_does_not_come_up_is_ended(tmp_path: Path) -> None:
    script = "import os, sys, time; open(sys.argv[1] + '/pid', 'w').write(str(os.getpid())); time.sleep(600)"
    settings = serving(script, start_s=3)
    with (
        pytest.raises(EngineError, match="not ready within 3 s"),
        served_model(tmp_path, name="base", serving=settings, memory_ratio=0.9, say=lambda _: None),
    ):
        pytest.fail("it is not there")
    assert not is_alive(int((tmp_path / "pid").read_text()))
