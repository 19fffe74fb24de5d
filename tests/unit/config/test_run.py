import math
from pathlib import Path
from typing import Any

import pytest

from visionthink.config import RunConfig, load_config, override_config, parse_config, parse_override
from visionthink.config.run import _RENAMED
from visionthink.core.protocol import get_protocol
from visionthink.errors import ConfigError


def test_defaults_are_a_legal_configuration() -> None:
    assert load_config(None) == RunConfig()


def test_configuration_survives_json() -> None:
    want = override_config(RunConfig(), {"data.world_seed": 7, "train.learning_rate": 3e-4, "tracking.uri": "x"})
    assert parse_config(want.model_dump_json()) == want


def test_digest_differs_for_other_settings_only() -> None:
    other = override_config(RunConfig(), {"seed": 1})
    assert RunConfig().digest() == RunConfig().digest() != other.digest()
    assert len(RunConfig().digest()) == 16


@pytest.mark.parametrize(
    "overrides",
    [
        {"model.threads": 7},
        {"model.batch_size": 3},
        {"judge.timeout_s": 3.0, "judge.max_connections": 2, "judge.grade_timeout_s": 9.0},
        {"judge.max_calls": 3, "judge.max_tokens": 9, "judge.cache": "/verdicts.jsonl"},
        {"train.micro_batch_size": 1, "train.checkpoint_every": 7},
        {
            "tracking.uri": "http://mlflow",
            "tracking.required": True,
            "tracking.experiment": "x",
            "tracking.timeout_s": 1,
        },
        {"serve.host": "0.0.0.0", "serve.port": 1, "serve.timeout_s": 1, "serve.model_name": "x"},
    ],
    ids=lambda overrides: next(iter(overrides)),
)
def test_how_the_work_is_done_is_no_part_of_the_identity(overrides: dict[str, object]) -> None:
    other = override_config(RunConfig(), overrides)
    assert other != RunConfig()
    assert (other.identity(), other.digest()) == (RunConfig().identity(), RunConfig().digest())


@pytest.mark.parametrize(
    "overrides",
    [
        {"seed": 1},
        {"data.images": "x"},
        {"judge.uri": "openai:http://host/v1?model=x"},
        {"train.clip_ratio_c": 3.0},
        {"train.advantage": "turn"},
        {"train.tool_advantage_weight": 0.5},
        {"label.shard_size": 1},
        {"register_model.store": "s3://x"},
    ],
    ids=lambda overrides: next(iter(overrides)),
)
def test_what_results_depend_on_is_the_identity(overrides: dict[str, object]) -> None:
    other = override_config(RunConfig(), overrides)
    assert other.identity() != RunConfig().identity() and other.digest() != RunConfig().digest()


def test_places_lead_to_the_same_place_from_any_folder(tmp_path: Path) -> None:
    given = {
        "model.base": "base",
        "data.source": "/rows",
        "data.images": "s3://pictures/mine",
        "data.eval_source": "test.parquet",
        "evaluate.model": "../model",
        "register_model.store": "store",
    }
    config = override_config(RunConfig(), given).with_absolute_places(tmp_path)
    assert (config.model.base, config.data.source) == (f"{tmp_path}/base", "/rows")
    assert (config.data.images, config.data.eval_source) == ("s3://pictures/mine", f"{tmp_path}/test.parquet")
    assert (config.evaluate.model, config.register_model.store) == (f"{tmp_path}/../model", f"{tmp_path}/store")
    assert RunConfig().with_absolute_places(tmp_path) == RunConfig()


@pytest.mark.parametrize(
    ("overrides", "want"),
    [
        pytest.param({"nope": 1}, r"unknown key nope \(value 1\).*visionthink config", id="unknown key"),
        pytest.param({"train.nope": 1}, r"unknown key train\.nope", id="unknown key in a section"),
        pytest.param({"seed": "x"}, r"seed: .*valid integer.*got 'x'", id="wrong type"),
        pytest.param({"seed": 1.5}, r"seed: .*got 1\.5", id="a number that would lose its fraction"),
        pytest.param({"train.num_steps": 0}, r"train\.num_steps: .*greater than or equal to 1", id="out of range"),
        pytest.param({"train.num_steps.x": 0}, r"train\.num_steps", id="a value taken for a section"),
        pytest.param({"seed.x.y": 0}, r"seed", id="a value taken for a section, deep"),
        pytest.param({"reward.penalty": "released", "reward.tool_penalty": 2}, "at most 1", id="a penalty too large"),
        pytest.param({"label.min_gap": 9}, "min_gap must lie between 1 and num_rollouts 8", id="a gap out of reach"),
        pytest.param({"view.max_pixels": 28 * 28}, "max_pixels 784 is below min_pixels", id="bounds that cross"),
        pytest.param({"data.families": ["corner"]}, "both trained on and held out", id="a family on both lists"),
        pytest.param(
            {"reward.penalty": "harsh"}, r"reward\.penalty: .*'paper', 'released', 'tokens' or 'none'", id="no rule"
        ),
        pytest.param({"seed": -1}, r"seed: .*greater than or equal to 0 \(got -1\)", id="a negative seed"),
        pytest.param({"train.learning_rate": math.inf}, r"learning_rate: .*finite number \(got inf\)", id="infinite"),
        pytest.param({"train.temperature": math.nan}, r"temperature: .*finite number \(got nan\)", id="no number"),
        pytest.param({"serve.timeout_s": math.inf}, r"timeout_s: .*finite", id="an infinite time"),
        pytest.param({"train.max_grad_norm": math.inf}, r"max_grad_norm: .*0 switches .* off", id="no clipping by inf"),
        pytest.param({"train.clip_ratio_c": 1.0}, r"clip_ratio_c: .*more than 1", id="a second clip below the first"),
        pytest.param(
            {"train.advantage": "turn", "train.backend": "verl"},
            "advantage is turn, but .* verl, .* set train.advantage to episode, or train.backend to local",
            id="turns that veRL cannot tell apart",
        ),
        pytest.param(
            {"train.advantage": "turn", "reward.penalty": "none"},
            r"penalty is none and reward\.token_penalty 0; set one",
            id="turns without a price",
        ),
        pytest.param({"train.tool_advantage_weight": -1}, "tool_advantage_weight: .*to 0", id="a negative weight"),
        pytest.param({"serve.port": 65536}, r"serve\.port: .*65535", id="no port"),
        pytest.param({"serve.model_name": ""}, r"serve\.model_name", id="no model name"),
        pytest.param({"tracking.experiment": " "}, r"tracking\.experiment", id="no experiment"),
        pytest.param({"register_model.name": "a/b"}, r"register_model\.name: .*'a/b'", id="a name that is a path"),
        pytest.param({"register_model.name": ".."}, r"register_model\.name", id="a name that leads up"),
        pytest.param({"register_model.alias": "Latest"}, r"register_model\.alias: MLflow keeps", id="MLflow's alias"),
        pytest.param({"register_model.alias": "v12"}, r"register_model\.alias: MLflow keeps", id="a version's alias"),
        pytest.param({"register_model.alias": "my model"}, r"register_model\.alias", id="an alias with a blank"),
        pytest.param(
            {"register_model.min_relative_accuracy": 0.9},
            r"min_relative_accuracy is called register_model\.min_accuracy_ratio now",
            id="a name of before",
        ),
    ],
)
def test_wrong_setting_is_refused_with_its_name(overrides: dict[str, object], want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        load_config(None, overrides)


def test_a_price_of_any_kind_lets_turns_be_compared_and_is_kept() -> None:
    settings = {"train.advantage": "turn", "reward.penalty": "none", "reward.token_penalty": 0.1}
    config = override_config(RunConfig(), settings)
    assert parse_config(config.model_dump_json()) == config and config.train.advantage == "turn"
    assert (RunConfig().train.advantage, RunConfig().train.tool_advantage_weight) == ("episode", 0.3)


def test_scaling_of_gradients_can_be_switched_off_and_kept() -> None:
    config = override_config(RunConfig(), {"train.max_grad_norm": 0})
    assert parse_config(config.model_dump_json()) == config and config.train.max_grad_norm == 0


def test_every_setting_that_was_renamed_exists() -> None:
    tree: dict[str, Any] = RunConfig().model_dump()
    for old, new in _RENAMED.items():
        section, _, key = new.partition(".")
        assert key in tree[section] and old.partition(".")[2] not in tree[section]


def test_settings_for_a_large_model_are_the_papers() -> None:
    config = load_config(None, preset="paper-7b-4x8")
    assert (config.view.max_pixels, config.view.min_pixels) == (2048**2, 512**2)
    assert get_protocol(config.episode.protocol).name == "efficient-v1"
    assert get_protocol(config.episode.direct_protocol).name == "general-v1"
    assert (config.train.group_size, config.train.kl_weight, config.train.learning_rate) == (16, 0.001, 1e-6)


@pytest.mark.parametrize("text", ["seed =", "[train\nx=1", "\x00"], ids=["no value", "no bracket", "a zero byte"])
def test_file_that_is_no_toml_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.toml cannot be read"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("seed=3", ("seed", 3)),
        ("train.learning_rate=1e-4", ("train.learning_rate", 1e-4)),
        ("data.skip_bad=true", ("data.skip_bad", True)),
        ('data.families=["code", "color"]', ("data.families", ["code", "color"])),
        ("model.base=/some/folder", ("model.base", "/some/folder")),
        ("tracking.uri=http://host:5000/?a=b", ("tracking.uri", "http://host:5000/?a=b")),
        (" seed = 3 ", ("seed", 3)),
    ],
)
def test_override_is_toml_or_a_bare_word(text: str, want: tuple[str, object]) -> None:
    assert parse_override(text) == want


@pytest.mark.parametrize("text", ["seed", "=3", ""])
def test_override_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"not of the form section\.key=value"):
        parse_override(text)
