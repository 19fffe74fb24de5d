import sys
from pathlib import Path

import pytest
from tests.fakes.model_process import SERVER

from visionthink.config import RunConfig, override_config
from visionthink.errors import ConfigError
from visionthink.pipelines.cluster.model_step import answering

CONFIG = override_config(RunConfig(), {"model.engine": "openai:http://given/v1?model=m"})


def models(folder: Path) -> dict[str, Path]:
    found = {"model.engine": folder / "base", "evaluate.engine": folder / "trained"}
    for path in found.values():
        path.mkdir()
    return found


def test_models_answer_where_the_settings_say_when_no_engine_is_named(tmp_path: Path) -> None:
    with answering(CONFIG, " ", models(tmp_path)) as config:
        assert config == CONFIG


@pytest.mark.parametrize("engine", ["transformers", "openai:http://other/v1?model=m"])
def test_engine_that_is_named_is_the_one_of_every_model(tmp_path: Path, engine: str) -> None:
    with answering(CONFIG, engine, models(tmp_path)) as config:
        assert (config.model.engine, config.evaluate.engine) == (engine, engine)
        assert config.identity() == CONFIG.identity(), "who answers is no setting that a run is by"


def test_vllm_is_started_for_each_model_and_shares_what_there_is(tmp_path: Path) -> None:
    serving = {"engine_command": [sys.executable, "-c", SERVER], "engine_args": []}
    config = override_config(RunConfig(), {"cluster.serving": serving})
    with answering(config, "vllm", models(tmp_path)) as asked:
        assert asked.model.engine.endswith("?model=model") and asked.evaluate.engine.endswith("?model=evaluate")
        assert asked.model.engine != asked.evaluate.engine
        for name in ("base", "trained"):
            assert '"gpu-memory-utilization": "0.45"' in (tmp_path / name / "told").read_text()


def test_engine_that_there_is_not_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no engine 'tpu'"), answering(CONFIG, "tpu", models(tmp_path)):
        pytest.fail("it is none")
