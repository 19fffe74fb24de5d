"""The loop picks fair batches, resumes to the bit, and learns what the judge rewards."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.unit.engines.tiny_model import tiny_processor
from tests.unit.training.written import ScriptedJudge, picture_of, prompt, small_model
from transformers import Qwen2_5_VLForConditionalGeneration

from visionthink import metrics
from visionthink.config import RewardConfig, RunConfig, TrainConfig
from visionthink.engines.local_pool import LocalPool
from visionthink.episodes.prompting import prompting_of
from visionthink.errors import ConfigError, DataError, EngineError
from visionthink.judges import Grade, GradeItem, Judge
from visionthink.model.bundled import base_folder
from visionthink.model.folder import LoadedModel, load_model, save_model
from visionthink.training.local import trainer as subject
from visionthink.training.local.checkpoint import checkpoint_step
from visionthink.training.local.optimization import DivergedError
from visionthink.training.local.rollout import Prompt
from visionthink.training.local.trainer import LocalTrainer, Setting

NEEDED = [prompt(number, needed=True) for number in range(5)]
REST = [prompt(number, needed=False) for number in range(5, 12)]
Steps = list[tuple[int, Mapping[str, float]]]


def setting(seed: int = 0, **train: float) -> Setting:
    config = TrainConfig(**{"num_steps": 4, "num_prompts": 3, "group_size": 4, "checkpoint_every": 2, **train})
    return Setting(train=config, reward=RewardConfig(), seed=seed, batch_size=16, max_reply_tokens=6)


class AlternatingJudge:
    """Finds every other rollout right, whatever it says: a random model gives a judge nothing to go by."""

    def __init__(self) -> None:
        self._num_graded = 0

    async def grade(self, item: GradeItem) -> Grade:
        self._num_graded += 1
        return Grade(correct=float(self._num_graded % 2 == 0))

    async def aclose(self) -> None:
        """Nothing to give back."""


def trained(
    folder: Path,
    how: Setting,
    *,
    prompts: Sequence[Prompt] = (*NEEDED, *REST),
    stop_after: int | None = None,
    judge: Judge | None = None,
    model: Qwen2_5_VLForConditionalGeneration | None = None,
    pool: LocalPool | None = None,
) -> tuple[dict[str, torch.Tensor], Steps]:
    """Weights after training, and what was told; `stop_after` dies when that step has been told."""
    model, told = model or small_model(), list[tuple[int, Mapping[str, float]]]()
    made = LocalTrainer(
        model,
        tiny_processor(),
        judge=judge or AlternatingJudge(),
        prompting=prompting_of(RunConfig()),
        decode=picture_of,
        setting=how,
        checkpoint_dir=folder,
        pool=pool,
    )

    def on_step(step: int, values: Mapping[str, float]) -> None:
        told.append((step, values))
        if step == stop_after:
            raise KeyboardInterrupt

    try:
        made.run(prompts, on_step)
    except KeyboardInterrupt:
        assert stop_after is not None
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, told


def without_times(told: Steps) -> Steps:
    return [
        (step, {key: value for key, value in values.items() if metrics.lookup(key).unit is not metrics.Unit.SECONDS})
        for step, values in told
    ]


class OddLetterJudge:
    """Finds every answer of an odd sum right, whoever asks first."""

    async def grade(self, item: GradeItem) -> Grade:
        return Grade(correct=float(sum((item.prediction or "").encode()) % 2))

    async def aclose(self) -> None:
        """Nothing to give back."""


def test_rollouts_of_several_processes_train_the_very_same_model(tmp_path: Path) -> None:
    base = base_folder("embedded")
    how = replace(setting(num_prompts=4, learning_rate=1e-2), max_reply_tokens=40)

    def made(folder: Path, pool: LocalPool | None) -> tuple[dict[str, torch.Tensor], Steps]:
        return trained(folder, how, judge=OddLetterJudge(), model=load_model(base).model, pool=pool)

    weights, steps = made(tmp_path / "one", None)
    same, told = made(tmp_path / "two", LocalPool(base, num_processes=2, batch_size=how.batch_size))
    assert without_times(steps) == without_times(told)
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert any(not torch.equal(weights[name], value) for name, value in load_model(base).model.state_dict().items())


@pytest.mark.parametrize(("ratio", "num_needed"), [(0.0, 0), (1 / 3, 2), (0.5, 3), (1.0, 6)])
def test_a_step_has_the_wanted_share_of_labels(ratio: float, num_needed: int) -> None:
    how = setting(num_prompts=6, needed_ratio=ratio)
    for step in range(5):
        picked = subject._pick(step, NEEDED, REST, how)
        assert len(picked) == 6
        assert sum(bool(item.needed) for item in picked) == num_needed


def test_a_pick_follows_from_seed_and_step() -> None:
    picks = {
        (seed, step): [item.sample.id for item in subject._pick(step, NEEDED, REST, setting(seed))]
        for seed in (0, 1)
        for step in (0, 1, 7)
    }
    assert picks[0, 7] == [item.sample.id for item in subject._pick(7, NEEDED, REST, setting(0))]
    assert len({tuple(pick) for pick in picks.values()}) > 3


@pytest.mark.parametrize(("prompts", "missing"), [(REST, "needed"), (NEEDED, "not needed")])
def test_a_label_without_samples_is_an_error_that_says_which(
    prompts: list[Prompt], missing: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"labelled '{missing}'"):
        trained(tmp_path, setting(), prompts=prompts)


def test_a_label_that_is_not_asked_for_may_be_missing(tmp_path: Path) -> None:
    _, told = trained(tmp_path, setting(num_steps=1, needed_ratio=0.0), prompts=REST)
    assert len(told) == 1


def test_a_run_that_was_stopped_goes_on_to_the_same_bit(tmp_path: Path) -> None:
    want, whole = trained(tmp_path / "whole", setting())
    assert any(values["optim/grad_norm"] > 0 for _, values in whole), "something was learned"
    _, first = trained(tmp_path / "halves", setting(), stop_after=3)
    assert checkpoint_step(tmp_path / "halves") == 2
    got, second = trained(tmp_path / "halves", setting())
    assert [step for step, _ in first] == [1, 2, 3] and [step for step, _ in second] == [3, 4]
    assert without_times(first[:2] + second) == without_times(whole)
    assert all(torch.equal(got[name], want[name]) for name in want)


def test_training_that_diverges_stops_at_the_step_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    bold = setting(learning_rate=1e30, warmup_steps=0, checkpoint_every=1)
    want = r"diverged at step 2 of 4: the loss is nan .*lower train\.learning_rate \(now 1e\+30\)"
    for _ in range(2):  # the same command again
        with pytest.raises(DivergedError, match=want):
            trained(tmp_path, bold)
        assert checkpoint_step(tmp_path) == 1
    weights = torch.load(tmp_path / "step-000001" / "state.pt", weights_only=True)["model"]
    assert all(weight.isfinite().all() for weight in weights.values())


def test_the_judge_is_closed_however_training_ends(tmp_path: Path) -> None:
    closed = []

    class Closing(AlternatingJudge):
        async def aclose(self) -> None:
            closed.append(True)

    trained(tmp_path, setting(num_steps=1), judge=Closing())
    with pytest.raises(DivergedError):
        trained(tmp_path, setting(learning_rate=1e30, warmup_steps=0, num_steps=3), judge=Closing())
    assert closed == [True, True]


def test_training_goes_on_from_the_last_good_state_when_the_cause_is_gone(tmp_path: Path) -> None:
    """A machine whose memory flips a bit, say: the next one comes to the very weights that there should be."""
    want, _ = trained(tmp_path / "whole", setting())
    model, folder = small_model(), tmp_path / "halves"
    made = LocalTrainer(
        model,
        tiny_processor(),
        judge=AlternatingJudge(),
        prompting=prompting_of(RunConfig()),
        decode=picture_of,
        setting=setting(),
        checkpoint_dir=folder,
    )

    def on_step(step: int, values: Mapping[str, float]) -> None:
        if step == 3:
            model.lm_head.weight.register_hook(lambda gradient: gradient * math.nan)

    with pytest.raises(DivergedError, match=r"step 4 of 4: .*state after step 2 is kept"):
        made.run([*NEEDED, *REST], on_step)
    got, told = trained(folder, setting())
    assert [step for step, _ in told] == [3, 4]
    assert all(torch.equal(got[name], want[name]) for name in want)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_are_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    """An optimizer step would be lost between two of their numbers."""
    with pytest.raises(ConfigError, match=rf"{dtype} cannot be trained"):
        LocalTrainer(
            small_model().to(dtype),  # type: ignore[arg-type]
            tiny_processor(),
            judge=AlternatingJudge(),
            prompting=prompting_of(RunConfig()),
            decode=picture_of,
            setting=setting(),
            checkpoint_dir=tmp_path,
        )


@pytest.mark.slow
def test_small_steps_move_the_weights_of_a_model_of_half_precision(tmp_path: Path) -> None:
    """The paper's learning rate on a bfloat16 folder: in bfloat16 itself hardly a weight would move at all."""
    base = LoadedModel(small_model(), tiny_processor(), torch.bfloat16)
    save_model(base, tmp_path / "base", RunConfig())
    loaded = load_model(tmp_path / "base")
    before = {name: weight.clone() for name, weight in loaded.model.named_parameters()}
    how = setting(num_steps=3, learning_rate=1e-6, warmup_steps=0, hold_ratio=1.0, kl_weight=0.0, freeze_vision=False)
    made = LocalTrainer(
        loaded.model,
        loaded.processor,
        judge=AlternatingJudge(),
        prompting=prompting_of(RunConfig()),
        decode=picture_of,
        setting=how,
        checkpoint_dir=tmp_path / "checkpoints",
    )
    made.run((*NEEDED, *REST), lambda step, values: None)
    after = dict(loaded.model.named_parameters())
    # Words and pictures that never came up have no gradient; every layer in between has one everywhere.
    layers = [name for name in before if "layers" in name and name.endswith("proj.weight")]
    moved = [(after[name] != before[name]).float().mean().item() for name in layers]
    assert layers and min(moved) > 0.9
    save_model(loaded, tmp_path / "trained", RunConfig())
    assert {weight.dtype for weight in load_file(tmp_path / "trained" / "model.safetensors").values()} == {
        torch.bfloat16
    }


def test_a_run_that_is_complete_takes_no_step(tmp_path: Path) -> None:
    want, _ = trained(tmp_path, setting())
    got, told = trained(tmp_path, setting())
    assert told == []
    assert all(torch.equal(got[name], want[name]) for name in want)


@pytest.mark.parametrize("freeze", [True, False], ids=["frozen", "learning along"])
def test_the_vision_tower_learns_only_if_it_may(freeze: bool, tmp_path: Path) -> None:
    got, _ = trained(tmp_path, setting(freeze_vision=freeze))
    before = small_model().state_dict()
    changed = {name for name in before if not torch.equal(got[name], before[name])}
    assert any("language_model" in name for name in changed)
    assert any("visual" in name for name in changed) is not freeze


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    one, _ = trained(tmp_path / "0", setting(num_steps=1))
    other, _ = trained(tmp_path / "1", setting(seed=1, num_steps=1))
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_judge_that_fails_on_everything_ends_the_training(tmp_path: Path) -> None:
    """Else a model that learned nothing would pass for a trained one."""
    with pytest.raises(EngineError, match=r"no group of a step could be had.*could not tell"):
        trained(tmp_path, setting(num_steps=2), judge=ScriptedJudge(lambda item: None))
    assert checkpoint_step(tmp_path) == 0


def test_groups_that_the_judge_failed_on_teach_nothing(tmp_path: Path) -> None:
    """One answer of the batch is judged, and right; the others' groups are dropped, and so is its own."""
    judged = iter([1.0])
    got, told = trained(
        tmp_path, setting(num_steps=1, kl_weight=0.0), judge=ScriptedJudge(lambda item: next(judged, None))
    )
    assert [(values["group/num_judge_failed"], values["group/num_kept"]) for _, values in told] == [(3, 0)]
    before = small_model().state_dict()
    assert all(torch.equal(got[name], before[name]) for name in before)


def test_the_rate_that_was_used_is_told(tmp_path: Path) -> None:
    _, told = trained(tmp_path, setting(learning_rate=1e-3, warmup_steps=2, hold_ratio=0.5, final_lr_ratio=0.1))
    rates = [values["optim/learning_rate"] for _, values in told]
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3, 5e-4])


def test_an_endless_eps_quietens_every_group(tmp_path: Path) -> None:
    how = setting(num_steps=1, kl_weight=0.0)
    deaf = replace(how, reward=RewardConfig(advantage_eps=1e9))
    (_, heard), (_, quiet) = (trained(tmp_path / str(item is how), item)[1][0] for item in (how, deaf))
    assert quiet["optim/grad_norm"] < 1e-6 < heard["optim/grad_norm"]


@pytest.mark.slow
@pytest.mark.parametrize(("theta", "asks"), [(0.0, False), (1.0, True)], ids=["answering", "asking"])
def test_the_cheaper_of_two_right_ways_becomes_the_usual_one(
    theta: float, asks: bool, tmp_path: Path, parrot: Path
) -> None:
    """The parrot tosses a coin to ask. Every answer is right, so the penalty alone decides, and `theta` turns it."""
    loaded = load_model(parrot)
    train: dict[str, Any] = {
        "num_steps": 6,
        "num_prompts": 4,
        "group_size": 8,
        "learning_rate": 7e-4,
        "warmup_steps": 1,
    }
    how = Setting(
        train=setting(**train, hold_ratio=1.0, kl_weight=0.0).train,
        reward=RewardConfig(theta=theta, format_weight=0.0),
        seed=0,
        batch_size=32,
        max_reply_tokens=40,
    )
    judge, told = ScriptedJudge(lambda item: 1.0), list[Mapping[str, float]]()
    made = LocalTrainer(
        loaded.model,
        loaded.processor,
        judge=judge,
        prompting=prompting_of(RunConfig()),
        decode=picture_of,
        setting=how,
        checkpoint_dir=tmp_path,
    )
    made.run([*NEEDED, *REST], lambda step, values: told.append(values))
    first, last = told[0], told[-1]
    assert 0.25 < first["resize/rate"] < 0.75 and first["reward/penalty"] > 0.03
    assert last["reward/penalty"] < 0.02
    assert (last["resize/rate"] > first["resize/rate"]) is asks


@pytest.mark.slow
def test_only_the_weight_of_the_tool_decides_between_two_right_ways_by_turn(tmp_path: Path, parrot: Path) -> None:
    """Every answer is right, so that nothing but what was asked for tells the parrot's rollouts apart."""
    told: dict[float, Mapping[str, float]] = {}
    for weight in (0.0, 0.3, 0.6):
        loaded = load_model(parrot)
        made = LocalTrainer(
            loaded.model,
            loaded.processor,
            judge=ScriptedJudge(lambda item: 1.0),
            prompting=prompting_of(RunConfig()),
            decode=picture_of,
            setting=Setting(
                train=setting(num_steps=1, kl_weight=0.0, group_size=8).train.model_copy(
                    update={"advantage": "turn", "tool_advantage_weight": weight}
                ),
                reward=RewardConfig(theta=0.0, format_weight=0.0),
                seed=0,
                batch_size=32,
                max_reply_tokens=40,
            ),
            checkpoint_dir=tmp_path / str(weight),
        )
        made.run([*NEEDED, *REST], lambda step, values, weight=weight: told.__setitem__(weight, values))  # type: ignore[misc]
    assert told[0.0]["optim/grad_norm"] == 0 < told[0.3]["optim/grad_norm"]
    assert told[0.6]["optim/grad_norm"] == pytest.approx(2 * told[0.3]["optim/grad_norm"], rel=1e-3)


def test_training_on_the_full_view_shows_it_and_nothing_else(tmp_path: Path) -> None:
    """The paper's baseline QwenRL."""
    how = setting(num_steps=1)
    baseline = replace(how, train=how.train.model_copy(update={"policy": "always_high"}))
    for case, (given, want) in {"loop": (how, 4), "baseline": (baseline, 16)}.items():
        _, told = trained(tmp_path / case, given)
        assert told[0][1]["policy/visual_tokens_mean"] == want
