"""Rollouts are played, graded, rewarded and compared group by group; what cannot be graded is dropped and counted."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.fakes.asked import runner_over
from tests.unit.training.written import ASK, ScriptedJudge, picture_of, prompt, saying

from visionthink.config import RunConfig, override_config
from visionthink.core.advantage import AdvantageRule
from visionthink.core.episode import BackendFailed
from visionthink.core.reward import RewardRule
from visionthink.core.sample import Sample
from visionthink.datasets.parquet import write_samples
from visionthink.engines import Sampling, ScriptedEngine, ScriptLine
from visionthink.episodes.prompting import ViewPolicy
from visionthink.errors import EngineError
from visionthink.judges import GradeItem, RuleJudge
from visionthink.training.local.rollout import Prompt, Rollouts, collect
from visionthink.training.local.stage import read_prompts

RULE = RewardRule(rule="none")


async def collected(
    lines: Sequence[ScriptLine],
    prompts: Sequence[Prompt] = (),
    *,
    judge: RuleJudge | ScriptedJudge | None = None,
    rule: RewardRule = RULE,
    group_size: int = 2,
    advantage_eps: float = 1e-6,
    advantage_rule: AdvantageRule = "episode",
    config: RunConfig | None = None,
    policy: ViewPolicy = "auto",
) -> Rollouts:
    """Rollouts whose replies are `lines`: episode after episode, each with its turns."""
    return await collect(
        prompts or [prompt(0)],
        runner=runner_over(ScriptedEngine(lines), judge, config=config),
        decode=picture_of,
        sampling=Sampling(max_tokens=40, seed=0),
        group_size=group_size,
        rule=rule,
        format_rule="paper",
        advantage_eps=advantage_eps,
        advantage_rule=advantage_rule,
        tool_weight=0.3,
        policy=policy,
    )


def values(found: Rollouts) -> list[tuple[float, ...]]:
    return list(found.advantages.values)


async def test_rollouts_come_group_after_group() -> None:
    asked = [prompt(0, answer="A"), prompt(1, answer="C")]
    found = await collected([saying(letter) for letter in "AXCC"], asked)
    assert [item.prompt.sample.id for item in found.rollouts] == ["sample-0", "sample-0", "sample-1", "sample-1"]
    assert [item.graded.correct for item in found.rollouts] == [1, 0, 1, 1]
    assert [item.reward.total for item in found.rollouts] == [1.5, 0.5, 1.5, 1.5]
    assert [item.is_kept for item in found.rollouts] == [True, True, False, False]
    assert found.advantages.num_zero_variance == 1 and found.advantages.num_kept == 1
    assert [item.advantages for item in found.rollouts] == [(value,) for group in values(found) for value in group]
    assert found.rollouts[0].advantages[0] == pytest.approx(-found.rollouts[1].advantages[0], abs=1e-9)


async def test_a_second_turn_belongs_to_its_rollout() -> None:
    found = await collected([ASK, saying("A"), saying("X")])
    first, second = found.rollouts
    assert (first.graded.num_tool_calls, second.graded.num_tool_calls) == (1, 0)
    assert first.finish.answer == "A" and second.finish.answer == "X"


async def test_the_penalty_looks_at_the_whole_group() -> None:
    found = await collected([ASK, saying("A"), saying("A"), saying("A")], rule=RewardRule(), group_size=3)
    assert [item.reward.penalty for item in found.rollouts] == [0.1, 0.0, 0.0]


@pytest.mark.parametrize(
    ("reply", "keeps"),
    [
        (saying("A"), True),
        ("A", False),
        ("<answer>A</answer>", False),
        ("", False),
        ("<think>x</think><tool_call>{}</tool_call>", False),
    ],
    ids=["as agreed", "no tags", "no thought", "nothing", "calls that fail"],
)
async def test_the_format_is_rewarded_only_where_it_is_kept(reply: str, keeps: bool) -> None:
    found = await collected([reply] * 6)
    assert [item.graded.format_ok for item in found.rollouts] == [keeps, keeps]
    assert found.rollouts[0].reward.format == 0.5 * keeps


async def test_the_format_is_that_of_the_protocol_whatever_tools_there_are() -> None:
    loose = "<think>a</think> well, <answer>A</answer>"
    for protocol, keeps in (("compact-efficient-v1", True), ("compact-general-v1", False)):
        config = override_config(RunConfig(), {"episode.protocol": protocol})
        found = await collected([loose] * 2, config=config)
        assert [item.graded.format_ok for item in found.rollouts] == [keeps, keeps]


async def test_what_was_looked_at_is_charged_in_full_views() -> None:
    found = await collected([ASK, saying("A"), saying("A")], rule=RewardRule(rule="tokens", penalty=0.2))
    assert [item.graded.asked_token_ratio for item in found.rollouts] == [1.0, 0.0]
    assert [item.reward.penalty for item in found.rollouts] == [0.2, 0.0]


async def test_a_larger_eps_quietens_a_small_spread() -> None:
    lines, rule = [ASK, saying("A"), saying("A")], RewardRule(rule="tokens")
    plain, quiet = await collected(lines, rule=rule), await collected(lines, rule=rule, advantage_eps=0.1)
    assert 0 < quiet.rollouts[1].advantages[0] < 0.5 * plain.rollouts[1].advantages[0]


async def test_by_episode_both_turns_have_the_advantage_of_the_whole_reward() -> None:
    found = await collected([ASK, saying("A"), saying("X")], rule=RewardRule())
    (first, second), (asked, direct) = values(found)[0], found.rollouts
    assert (asked.advantages, direct.advantages) == ((first, first), (second,))


async def test_by_turn_what_was_asked_for_is_charged_to_the_turn_that_asked() -> None:
    """Right after a look, right at once, wrong at once: the reading of what came is worth as much as the answer."""
    lines, rule = [ASK, saying("A"), saying("A"), saying("X")], RewardRule(rule="tokens")
    found = await collected(lines, rule=rule, group_size=3, advantage_rule="turn")
    (asking, reading), (right,), (wrong,) = [item.advantages for item in found.rollouts]
    outcome, cost = 1 / 3**0.5, 2 / 3**0.5  # of 1.5 1.5 .5, and of -.1 0 0, each in its own deviations
    assert reading == pytest.approx(outcome, abs=1e-4)
    assert asking == pytest.approx(outcome - 0.3 * cost, abs=1e-4)
    assert right == pytest.approx(outcome + 0.15 * cost, abs=1e-4)
    assert wrong == pytest.approx(-2 * outcome + 0.15 * cost, abs=1e-4)


async def test_by_turn_a_group_of_right_answers_teaches_not_to_ask_and_nothing_else() -> None:
    lines, rule = [ASK, saying("A"), saying("A")], RewardRule(rule="tokens")
    found = await collected(lines, rule=rule, advantage_rule="turn")
    assert found.advantages.num_kept == 1
    (asking, reading), (direct,) = [item.advantages for item in found.rollouts]
    assert asking < 0 == reading < direct


async def test_the_judge_sees_the_clean_question_and_the_extracted_answer() -> None:
    judge = ScriptedJudge(lambda item: 1.0)
    await collected([saying("A"), ""], judge=judge)
    question = "what letter is printed on the shape ?"
    assert judge.items == [
        GradeItem(question=question, answer="A", prediction=prediction, family="mark") for prediction in ("A", None)
    ]


async def test_a_group_with_a_failed_grade_is_dropped_and_counted() -> None:
    grades: Iterator[float | None] = iter([1.0, None, 1.0, 0.0])
    judge = ScriptedJudge(lambda item: next(grades))
    found = await collected([saying("A")] * 4, [prompt(0), prompt(1)], judge=judge)
    assert found.advantages.num_judge_failed == 1 and found.advantages.num_kept == 1
    assert [item.is_kept for item in found.rollouts] == [False, False, True, True]
    assert [item.advantages for item in found.rollouts[:2]] == [(0.0,), (0.0,)]


async def test_a_group_of_which_a_rollout_could_not_be_had_is_lost_and_counted() -> None:
    refused = BackendFailed(error="a content filter", retryable=False)
    found = await collected([saying("A"), refused, saying("A"), saying("X")], [prompt(0), prompt(1)])
    assert [item.prompt.sample.id for item in found.rollouts] == ["sample-1", "sample-1"]
    assert (found.num_lost, found.advantages.num_kept) == (1, 1)


async def test_a_step_without_a_single_group_is_an_error() -> None:
    refused = BackendFailed(error="a content filter", retryable=False)
    with pytest.raises(EngineError, match=r"no group of a step could be had.*a content filter"):
        await collected([refused, refused])


async def test_pictures_stay_encoded_until_they_are_drawn(tmp_path: Path) -> None:
    """20,000 decoded photographs are 92 GiB."""
    samples = [replace(prompt(number).sample, picture=b"not decoded by anybody") for number in range(8)]
    write_samples(tmp_path / "set.parquet", samples)
    prompts = read_prompts(tmp_path / "set.parquet")
    assert [item.sample.picture for item in prompts] == [b"not decoded by anybody"] * 8
    decoded: list[str] = []

    def decode(sample: Sample) -> Image.Image:
        decoded.append(sample.id)
        return picture_of(sample)

    await collect(
        prompts[2:4],
        runner=runner_over(ScriptedEngine(lambda request: saying("A"))),
        decode=decode,
        sampling=Sampling(max_tokens=40, seed=0),
        group_size=3,
        rule=RULE,
        format_rule="paper",
    )
    assert decoded == ["sample-2", "sample-3"], "once for a whole group, and no other"


@pytest.mark.parametrize(("policy", "want"), [("always_high", 16), ("always_low", 4)])
async def test_under_a_fixed_view_a_rollout_is_one_turn_without_tools(policy: ViewPolicy, want: int) -> None:
    found = await collected([saying("A"), saying("B")], policy=policy)
    assert [item.finish.trace.visual_tokens for item in found.rollouts] == [want, want]
    assert [len(item.finish.trace.turns) for item in found.rollouts] == [1, 1]
    assert not any(item.finish.trace.asked for item in found.rollouts)
    assert "resize_image" not in found.rollouts[0].finish.trace.messages[0].text
