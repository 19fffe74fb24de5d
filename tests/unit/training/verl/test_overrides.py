from dataclasses import replace
from pathlib import Path

import pytest

from visionthink.config import RunConfig, override_config
from visionthink.errors import ConfigError
from visionthink.training.verl.overrides import overrides, rendered
from visionthink.training.verl.plan import Override, VerlPlan

PLAN = VerlPlan(train_rows=Path("/a b/rows"), base_model=Path("/base"), output=Path("/out"), run_id="a-run")


def named(config: RunConfig | None = None, plan: VerlPlan = PLAN) -> dict[str, str]:
    pairs = [one.partition("=") for one in overrides(config or RunConfig(), plan)]
    assert len({name.lstrip("+") for name, _, _ in pairs}) == len(pairs), "a setting stands twice"
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (None, "null"),
        (True, "True"),
        (1, "1"),
        (1e-6, "1e-06"),
        ((0.9, 0.98), "[0.9,0.98]"),
        (("model", "hf_model"), "[model,hf_model]"),
        ("${a.b}", "${a.b}"),
        ("word", "word"),
        ("/a path/with spaces", "'/a path/with spaces'"),
        ("it's", "'it\\'s'"),
        ("", "''"),
    ],
)
def test_a_value_is_written_in_hydras_grammar(value: Override, want: str) -> None:
    assert rendered(value) == want


@pytest.mark.parametrize(
    ("settings", "want"),
    [
        ({}, None),
        ({"verl.lora_rank": 4}, "'.*visual.*'"),
        ({"verl.lora_rank": 4, "train.freeze_vision": False}, None),
    ],
)
def test_a_frozen_tower_gets_no_adapters(settings: dict[str, object], want: str | None) -> None:
    assert named(override_config(RunConfig(), settings)).get("actor_rollout_ref.model.exclude_modules") == want


@pytest.mark.parametrize(
    ("ours", "theirs", "want"),
    [
        ({"train.group_size": 16}, "actor_rollout_ref.rollout.n", "16"),
        ({"train.num_prompts": 16}, "data.train_batch_size", "16"),
        ({"train.num_prompts": 16}, "actor_rollout_ref.actor.ppo_mini_batch_size", "16"),
        ({"train.num_updates": 3}, "actor_rollout_ref.actor.ppo_epochs", "3"),
        ({"train.kl_weight": 0.0}, "actor_rollout_ref.actor.use_kl_loss", "False"),
        ({"train.clip_ratio_c": 0}, "actor_rollout_ref.actor.clip_ratio_c", "1000000000.0"),
        ({"train.clip_ratio_c": 3}, "actor_rollout_ref.actor.clip_ratio_c", "3.0"),
        ({"train.max_grad_norm": 0}, "actor_rollout_ref.actor.grad_clip", "1000000000.0"),
        (
            {"train.loss_aggregation": "seq-mean-token-mean"},
            "actor_rollout_ref.actor.loss_agg_mode",
            "'seq-mean-token-mean'",
        ),
        ({"train.temperature": 0.9}, "actor_rollout_ref.rollout.temperature", "0.9"),
        ({"episode.max_turns": 4}, "+actor_rollout_ref.rollout.limit_images", "5"),
        ({"train.checkpoint_every": 7}, "trainer.save_freq", "7"),
    ],
)
def test_our_settings_are_those_of_verl(ours: dict[str, object], theirs: str, want: str) -> None:
    assert named(override_config(RunConfig(), ours))[theirs] == want


def test_every_conversation_of_the_settings_fits() -> None:
    config = override_config(RunConfig(), {"view.max_pixels": 28 * 28 * 100, "episode.max_reply_tokens": 50})
    got = named(config)
    assert int(got["data.max_prompt_length"]) >= 100 + 300
    assert int(got["data.max_response_length"]) >= 2 * 100 + 3 * 50


def test_a_copy_of_the_model_is_spread_over_as_many_gpus_in_both_halves_as_told() -> None:
    told = override_config(RunConfig(), {"verl.num_nodes": 4, "verl.shard_size": 2}).verl.overrides()
    sizes = {name: value for name, value in told.items() if name.endswith("fsdp_size")}
    assert sizes == {f"actor_rollout_ref.{half}.fsdp_config.fsdp_size": 2 for half in ("actor", "ref")}
    assert not any(name.endswith("fsdp_size") for name in RunConfig().verl.overrides())


@pytest.mark.parametrize("rank", [0, 4])
def test_gradients_of_adapters_travel_once_an_update_and_those_of_all_weights_as_they_come(rank: int) -> None:
    name = "actor_rollout_ref.actor.fsdp_config.use_no_sync_for_gradient_accumulation"
    assert override_config(RunConfig(), {"verl.lora_rank": rank}).verl.overrides().get(name, False) is bool(rank)


def test_what_a_plan_overrides_wins_with_or_without_a_plus() -> None:
    changes: dict[str, Override] = {
        "trainer.save_freq": 3,
        "actor_rollout_ref.rollout.limit_images": 9,
        "+actor_rollout_ref.rollout.engine_kwargs.vllm.seed": 1,
    }
    got = named(plan=replace(PLAN, overrides=changes))
    assert got["trainer.save_freq"] == "3" and got["+actor_rollout_ref.rollout.limit_images"] == "9"
    assert got["+actor_rollout_ref.rollout.engine_kwargs.vllm.seed"] == "1"


def test_nothing_is_validated_unless_there_are_rows_for_it() -> None:
    assert (named()["trainer.test_freq"], named()["trainer.val_before_train"]) == ("-1", "False")
    assert named(plan=replace(PLAN, val_rows=Path("/val")))["trainer.val_before_train"] == "True"


@pytest.mark.parametrize(
    "settings",
    [{"reward.advantage_eps": 0.1}, {"train.advantage": "turn"}, {"train.learning_rate": 2.0}],
    ids=["advantage_eps", "advantage", "learning_rate"],
)
def test_what_verl_would_take_otherwise_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        overrides(override_config(RunConfig(), settings), PLAN)


@pytest.mark.parametrize(
    ("settings", "gpus"),
    [
        ({"train.num_prompts": 6, "train.group_size": 4, "train.micro_batch_size": 16}, 1),
        ({"train.num_prompts": 6, "train.group_size": 4, "train.micro_batch_size": 8}, 2),
        ({"train.num_prompts": 5, "train.group_size": 3, "train.micro_batch_size": 1}, 2),
    ],
    ids=["on one", "on each of two", "between two"],
)
def test_a_batch_that_does_not_come_out_even_is_refused(settings: dict[str, object], gpus: int) -> None:
    config, plan = override_config(RunConfig(), settings), replace(PLAN, gpus_per_node=gpus)
    with pytest.raises(ConfigError, match=r"do not come out even; make train\.num_prompts"):
        overrides(config, plan)


def test_a_batch_that_comes_out_even_is_taken() -> None:
    settings = {"train.num_prompts": 6, "train.group_size": 4, "train.micro_batch_size": 6}
    assert named(override_config(RunConfig(), settings), replace(PLAN, num_nodes=2, gpus_per_node=2))
    by_tokens: dict[str, Override] = {"actor_rollout_ref.actor.use_dynamic_bsz": True}
    assert named(override_config(RunConfig(), settings), replace(PLAN, gpus_per_node=5, overrides=by_tokens))
