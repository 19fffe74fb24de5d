"""Settings out of range are refused where they are made; engines are opened by name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.engines import Sampling, ScriptedEngine, open_engine
from visionthink.engines.openai_chat import OpenAIChatEngine
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.errors import ConfigError


@pytest.mark.parametrize(("field", "value"), [("temperature", -0.1), ("top_p", 0.0), ("top_p", 1.1), ("max_tokens", 0)])
def test_sampling_refuses_a_value_out_of_range(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{field} is {value}"):
        Sampling(**{field: value})  # type: ignore[arg-type]


def test_open_engine_opens_each_kind(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps(["one", "two"]))
    assert isinstance(open_engine(f"scripted:{script}"), ScriptedEngine)
    chat = open_engine("openai:http://127.0.0.1:9/v1?model=a/b-7")
    assert isinstance(chat, OpenAIChatEngine) and chat.model == "a/b-7"
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_processor().save_pretrained(tmp_path / "model")
    local = open_engine(f"transformers:{tmp_path / 'model'}")
    assert isinstance(local, TransformersEngine) and local.model == "model"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "transformers:",
        "llama:/models/x",
        "/models/x",
        "openai:http://127.0.0.1/v1",
        "openai:127.0.0.1/v1?model=x",
        "openai:ftp://127.0.0.1/v1?model=x",
        "scripted:/nowhere/script.json",
        "transformers:/nowhere/model",
    ],
)
def test_open_engine_refuses_what_names_no_engine(uri: str) -> None:
    with pytest.raises(ConfigError):
        open_engine(uri)


@pytest.mark.parametrize("content", ["{}", "[1]", "no json"])
def test_open_engine_refuses_a_file_that_is_no_script(tmp_path: Path, content: str) -> None:
    (tmp_path / "script.json").write_text(content)
    with pytest.raises(ConfigError, match=r"script\.json"):
        open_engine(f"scripted:{tmp_path / 'script.json'}")


def test_importing_the_engines_and_judges_loads_neither_torch_nor_an_http_client() -> None:
    code = (
        "import sys, visionthink.engines, visionthink.judges; "
        "print(sorted({'torch', 'transformers', 'openai', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
