import re
from pathlib import Path
from typing import Any

import pytest

from visionthink.cli.app import run_command
from visionthink.cli.settings import Settings
from visionthink.config import RunConfig, load_config, override_config, preset_names, preset_text
from visionthink.episodes.prompting import prompting_of
from visionthink.errors import ConfigError


@pytest.mark.parametrize("name", preset_names())
def test_preset_is_a_legal_configuration_with_texts_that_exist(name: str) -> None:
    prompting_of(load_config(None, preset=name))


@pytest.mark.parametrize("name", preset_names())
def test_every_number_of_a_preset_says_where_it_comes_from(name: str) -> None:
    settings = [line for line in preset_text(name).splitlines() if re.match(r"[a-z_]+ = [\d.]", line)]
    told = {"num_nodes = 1", "gpus_per_node = 1", "tensor_parallel = 1", "host_memory_gib = 64"}
    assert [line for line in settings if "#" not in line and line not in told] == []


def test_embedded_is_what_holds_without_a_preset() -> None:
    assert load_config(None, preset="embedded") == RunConfig()


def test_papers_own_trains_as_its_script_says() -> None:
    config = load_config(None, preset="paper-7b-4x8")
    train, verl = config.train, config.verl
    assert (train.num_prompts, train.group_size, verl.mini_batch_prompts) == (512, 16, 32)
    assert (verl.num_nodes, verl.gpus_per_node, verl.tensor_parallel, verl.rollout_memory_ratio) == (4, 8, 2, 0.7)
    overrides = verl.overrides()
    assert overrides["actor_rollout_ref.actor.optim.betas"] == (0.9, 0.999)
    assert overrides["data.max_prompt_length"] == 8192 and overrides["algorithm.filter_groups.enable"] is True
    assert overrides["actor_rollout_ref.rollout.max_model_len"] == 32768


def test_file_lies_over_the_preset_and_options_over_both(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[train]\nnum_steps = 3\nkl_weight = 0.5\n[verl]\nnum_nodes = 2\n")
    config = load_config(path, {"train.kl_weight": 0.25}, preset="tiny-verl")
    assert (config.train.num_steps, config.train.kl_weight, config.train.num_prompts) == (3, 0.25, 64)
    assert (config.verl.num_nodes, config.verl.mini_batch_prompts) == (2, 16)


def test_preset_wins_over_the_settings_of_the_run_that_is_gone_on_with() -> None:
    begun = override_config(RunConfig(), {"seed": 9})
    assert Settings(preset="tiny-verl").resolve(begun) == load_config(None, preset="tiny-verl")
    assert Settings().resolve(begun) == begun


def test_preset_that_is_not_there_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["preset", "show", "none"]) == 2
    assert "choose one of 3b-lora-1x1, 7b-1x8, embedded" in capsys.readouterr().err


def test_presets_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["preset", "list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(preset_names()) and all(
        len(line.split()) > 3 for line in listed
    )
    assert run_command(["preset", "show", "7b-1x8"]) == 0
    assert capsys.readouterr().out == preset_text("7b-1x8")


@pytest.mark.parametrize(
    ("overrides", "want"),
    [
        pytest.param({"verl.tensor_parallel": 3, "verl.gpus_per_node": 8}, "does not divide", id="copies across nodes"),
        pytest.param(
            {"verl.shard_size": 3, "verl.gpus_per_node": 8}, "shard_size 3 does not divide", id="uneven parts"
        ),
        pytest.param({"verl.settings": ["a.b"]}, "not of the form name=value", id="no value"),
        pytest.param({"verl.settings": ['a={"b": 1}']}, "a line of its own", id="a tree"),
        pytest.param({"train.policy": "always_high"}, "set it to none", id="a penalty for nothing"),
    ],
)
def test_settings_for_verl_that_contradict_each_other_are_refused(overrides: dict[str, Any], want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        override_config(RunConfig(), overrides)


def test_baseline_on_the_full_view_is_an_option_of_the_same_settings() -> None:
    changes = {"train.policy": "always_high", "reward.penalty": "none"}
    assert override_config(load_config(None, preset="7b-1x8"), changes).train.policy == "always_high"


@pytest.mark.parametrize(
    ("text", "want"),
    [("a=1", 1), ("a=1e-6", 1e-6), ("a=true", True), ("a=null", None), ("a=[1, 2]", (1, 2)), ("a=b c", "b c")],
)
def test_settings_of_verls_own_are_read_as_json(text: str, want: object) -> None:
    assert override_config(RunConfig(), {"verl.settings": [text]}).verl.overrides()["a"] == want


def test_adapters_are_told_to_verl_only_where_there_are_any() -> None:
    names = RunConfig().verl.overrides(), override_config(RunConfig(), {"verl.lora_rank": 8}).verl.overrides()
    assert [[name for name in one if "lora" in name] for one in names] == [
        [],
        ["actor_rollout_ref.model.lora_rank", "actor_rollout_ref.model.lora_alpha"],
    ]
