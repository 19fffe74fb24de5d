"""What `--model_args` says, and what it may not say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from visionthink.config import RunConfig
from visionthink.errors import ConfigError
from visionthink.lmms.argument import SHORT, read_arguments
from visionthink.model.card import CARD_NAME

ENGINE = "openai:http://localhost:8000/v1?model=m"


def read(**given: object) -> RunConfig:
    return read_arguments({"engine": ENGINE, **given}).config


def test_an_engine_is_enough() -> None:
    arguments = read_arguments({"engine": ENGINE})
    assert (arguments.engine, arguments.policy, arguments.model) == (ENGINE, "auto", None)
    assert arguments.config == RunConfig()


def test_quotes_keep_several_servers_together() -> None:
    servers = "openai:http://a/v1,http://b/v1?model=m"
    assert read_arguments({"engine": f'"{servers}"'}).engine == servers


@pytest.mark.parametrize(
    ("given", "want"),
    [
        pytest.param({"protocol": "efficient-v1"}, {"episode.protocol": "efficient-v1"}, id="protocol"),
        pytest.param({"max_turns": 3}, {"episode.max_turns": 3}, id="max_turns"),
        pytest.param(
            {"concurrency": 8}, {"model.max_in_flight": 8, "model.max_connections": 8}, id="concurrency, of both kinds"
        ),
        pytest.param({"view.shrink": 4}, {"view.shrink": 4}, id="any setting by its key"),
    ],
)
def test_arguments_are_settings(given: Mapping[str, object], want: Mapping[str, object]) -> None:
    config = read(**given).model_dump()
    got = {key: config[key.split(".")[0]][key.split(".")[1]] for key in want}
    assert got == want


def test_every_short_way_writes_a_setting_that_there_is() -> None:
    tree = RunConfig().model_dump()
    assert all(key.split(".")[1] in tree[key.split(".")[0]] for keys in SHORT.values() for key in keys)


def test_file_wins_over_preset_card_over_file_and_argument_over_all(tmp_path: Path) -> None:
    file, model = tmp_path / "own.toml", tmp_path / "model"
    file.write_text("[episode]\nmax_turns = 4\nmax_reply_tokens = 100\n[view]\nshrink = 3\n[model]\ntimeout_s = 7\n")
    model.mkdir()
    (model / CARD_NAME).write_text('{"view": {"shrink": 4}, "episode": {"max_turns": 5, "max_reply_tokens": 50}}')
    config = read(preset="paper-7b-4x8", config=str(file), model=str(model), max_reply_tokens=9)
    assert (config.view.shrink, config.episode.max_turns, config.episode.max_reply_tokens) == (4, 5, 9)
    assert config.model.timeout_s == 7
    assert config.train.group_size == read(preset="paper-7b-4x8").train.group_size != RunConfig().train.group_size


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param({"engine": None}, "no engine is named; pass --model_args engine=openai:", id="no engine"),
        pytest.param(
            {"policy": "always"}, "policy is 'always'; choose one of auto, always_low, always_high", id="policy"
        ),
        pytest.param({"max_turn": 2}, r"unknown argument max_turn=2; known are engine, .*max_turns", id="typing error"),
        pytest.param({"episode.max_turn": 2}, r"unknown key episode\.max_turn", id="unknown setting"),
        pytest.param({"max_turns": 0}, r"episode\.max_turns: .*greater than or equal to 1", id="value"),
    ],
)
def test_what_is_not_known_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(**given)


def test_a_relative_folder_of_replies_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(reply_cache="replies").evaluate.reply_cache == str(tmp_path / "replies")
