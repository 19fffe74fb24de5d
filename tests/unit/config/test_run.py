from pathlib import Path

import pytest

from visionthink.config import RunConfig, load_config, override_config, parse_config, parse_override
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
    ],
)
def test_wrong_setting_is_refused_with_its_name(overrides: dict[str, object], want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        load_config(None, overrides)


def test_settings_for_a_large_model_are_the_papers() -> None:
    config = load_config(Path(__file__).parents[3] / "docs" / "qwen2.5-vl-7b.toml")
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
