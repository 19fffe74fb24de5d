import json
from pathlib import Path

import pytest
from tests.fakes.stage_task import tiny_config

from visionthink.config import parse_config
from visionthink.pipelines.parameter import is_plain, to_parameter, whole_config
from visionthink.runs import RunFolder

WORDS = (
    "vqa {{$.pipeline_job_name}}",
    "{{$}}",
    "{{workflow.name}}",
    "{{channel:task=;name=x;type=String;}}",
    "{{{{",
    "a \\{{ b",
    "/kfp-workspace/x",
    "python3",
    'quotes " and \\ and ü',
)


@pytest.mark.parametrize("word", WORDS)
def test_parameter_means_the_same_and_holds_no_word_of_others(word: str) -> None:
    config = tiny_config({"serve.model_name": word, "model.base": f"/models/{word}"})
    parameter = to_parameter(config.model_dump_json())
    assert parse_config(parameter) == config
    assert not any(text in parameter for text in ("{{", "/kfp-workspace", "python3"))
    assert parameter.isascii()


SECRETS = {
    "tracking.uri": "http://me:hush-hush@mlflow:5000",
    "judge.uri": "openai:https://me:hush-hush@h/v1?model=m&api_key=hush-hush",
}


def test_parameter_holds_no_password_and_the_run_s_folder_gives_it_back(tmp_path: Path) -> None:
    config = tiny_config(SECRETS)
    RunFolder(tmp_path).begin(config)
    parameter = to_parameter(config.model_dump_json())
    assert "hush-hush" not in parameter
    assert parse_config(whole_config(parameter, tmp_path)) == config


@pytest.mark.parametrize("folder", ["empty", "other settings", "no settings"])
def test_parameter_stands_for_itself_where_no_such_run_was_begun(tmp_path: Path, folder: str) -> None:
    if folder == "other settings":
        RunFolder(tmp_path).begin(tiny_config({**SECRETS, "seed": 5}))
    elif folder == "no settings":
        (tmp_path / "config.json").write_text("{")
    parameter = to_parameter(tiny_config(SECRETS).model_dump_json())
    assert json.loads(whole_config(parameter, tmp_path)) == json.loads(parameter)


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("/disk/me/runs/20261126-1", True),
        ("/my runs/1", True),
        ("/disk/{{$}}/runs", False),
        ("/disk/python3/runs", False),
        ("/kfp-workspace/runs", False),
        ("/disk/jürgen/runs", False),
        ("/disk/what?/runs", False),
        ("/disk/it's/runs", False),
    ],
)
def test_path_is_plain_when_nothing_in_it_would_be_replaced(path: str, want: bool) -> None:
    assert is_plain(Path(path)) is want
