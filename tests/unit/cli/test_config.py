import json
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from visionthink.cli.app import run_command
from visionthink.cli.config import to_toml
from visionthink.config import RunConfig, load_config, override_config


def test_toml_of_the_settings_reads_back_as_the_same_settings(tmp_path: Path) -> None:
    want = override_config(RunConfig(), {"tracking.uri": "http://mlflow:5000", "data.families": ["code"], "seed": 3})
    path = tmp_path / "all.toml"
    path.write_text("\n".join(to_toml(want)))
    assert load_config(path) == want


def test_toml_leaves_out_what_has_no_value() -> None:
    lines = list(to_toml(RunConfig()))
    assert "# uri =" in lines
    assert "uri" not in tomllib.loads("\n".join(lines))["tracking"]


def test_toml_says_what_may_change_in_mid_run() -> None:
    lines = list(to_toml(RunConfig()))
    assert [lines[lines.index(key) - 1].startswith("# (operational") for key in ("threads = 2", "num_steps = 150")] == [
        True,
        False,
    ]


def every_key(section: type[BaseModel]) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for name, info in section.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += [(f"{name}.{key}", text) for key, text in every_key(inner)]
        else:
            found.append((name, info.description))
    return found


def test_every_setting_says_what_it_means() -> None:
    assert [key for key, text in every_key(RunConfig) if not text] == []


@pytest.mark.parametrize(("option", "key"), [("--as-json", "train"), ("--schema", "properties")])
def test_config_also_comes_as_json(option: str, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["config", option.replace("as-", "")]) == 0
    assert key in json.loads(capsys.readouterr().out)


def test_config_shows_what_the_options_came_to(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--seed", "5", "--world-seed", "7", "--families", "code,color", "--held-out-families", ""]
    assert run_command(["config", *options, "--penalty", "released", "--set", "train.num_steps=3"]) == 0
    tree = tomllib.loads(capsys.readouterr().out)
    assert (tree["seed"], tree["data"]["world_seed"], tree["data"]["families"]) == (5, 7, ["code", "color"])
    assert (tree["data"]["held_out_families"], tree["reward"]["penalty"]) == ([], "released")
    assert tree["train"]["num_steps"] == 3


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["TOML", "JSON"])
def test_settings_are_printed_without_passwords_and_with_a_word(
    form: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    judge = "judge.uri=openai:https://h/v1?model=m&api_key=hush-hush"
    settings = ["--set", "tracking.uri=http://me:hush-hush@mlflow:5000", "--set", judge]
    assert run_command(["config", *form, *settings]) == 0
    told = capsys.readouterr()
    assert "hush-hush" not in told.out and "http://mlflow:5000" in told.out
    assert told.err.startswith("note: passwords and keys are left out")


def test_printed_json_holds_nothing_that_a_pipeline_would_replace(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["config", "--json", "--set", "serve.model_name=a {{workflow.name}}"]) == 0
    told = capsys.readouterr()
    assert "{{" not in told.out and told.err == ""
    assert json.loads(told.out)["serve"]["model_name"] == "a {{workflow.name}}"


@pytest.mark.parametrize(
    "setting",
    [
        "judge.uri=http://me:hush-hush@h",
        "judge.uri=openai:ftp://me:hush-hush@h",
        "judge.url=http://h?api_key=hush-hush",
    ],
)
def test_refused_setting_is_told_without_its_password(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["config", "--set", setting]) == 2
    told = capsys.readouterr().err
    assert "judge.ur" in told and "hush-hush" not in told
