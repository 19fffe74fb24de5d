"""From prompts to graded, rewarded groups of rollouts: everything of a step that needs no gradient.

Rule: the episodes are those of `engines.driver`, the rewards those of `core`; nothing is decided here.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from visionthink.core.advantage import Advantages, group_advantages
from visionthink.core.episode import EpisodeSpec, Finish, Outcome
from visionthink.core.format import FormatRule, format_ok
from visionthink.core.reward import Graded, RewardParts, RewardRule, asked_token_ratio, group_rewards
from visionthink.core.sample import Sample
from visionthink.engines import Engine, Sampling
from visionthink.episodes.driver import run_episodes
from visionthink.errors import EngineError, JudgeError
from visionthink.judges import GradeItem, Judge


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompt:
    """A sample made ready: picture decoded, episode specified."""

    sample: Sample
    picture: Image.Image
    spec: EpisodeSpec
    needed: bool | None
    """The label: whether the full view is needed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rollout:
    """One episode, what it earned, and how much better than its group that was."""

    prompt: Prompt
    finish: Finish
    graded: Graded
    reward: RewardParts
    advantage: float
    is_kept: bool
    """Whether its group gives a gradient."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rollouts:
    """All rollouts of a step, group after group."""

    rollouts: tuple[Rollout, ...]
    advantages: Advantages


async def collect(
    prompts: Sequence[Prompt],
    *,
    engine: Engine,
    judge: Judge,
    sampling: Sampling,
    group_size: int,
    rule: RewardRule,
    format_rule: FormatRule,
    advantage_eps: float = 1e-6,
) -> Rollouts:
    """`group_size` rollouts of every prompt, graded and compared within their group.

    Raises:
        EngineError: not one rollout came off.
    """
    episodes = [(prompt.spec, prompt.picture) for prompt in prompts for _ in range(group_size)]
    finishes = await run_episodes(engine, episodes, sampling)
    if finishes and all(finish.error for finish in finishes):
        raise EngineError(f"every rollout of a step failed, the first with: {finishes[0].error}", retryable=True)
    owners = [prompt for prompt in prompts for _ in range(group_size)]
    graded = await _grade(owners, finishes, judge, format_rule)
    groups = [graded[start : start + group_size] for start in range(0, len(graded), group_size)]
    rewards = [group_rewards(group, rule) for group in groups]
    advantages = group_advantages(
        [[parts.total for parts in group] for group in rewards],
        [any(item.judge_failed for item in group) for group in groups],
        eps=advantage_eps,
    )
    flat_rewards = [parts for group in rewards for parts in group]
    flat_values = [value for group in advantages.values for value in group]
    flat_kept = [kept for kept in advantages.kept for _ in range(group_size)]
    return Rollouts(
        rollouts=tuple(
            Rollout(prompt=prompt, finish=finish, graded=grade, reward=reward, advantage=value, is_kept=kept)
            for prompt, finish, grade, reward, value, kept in zip(
                owners, finishes, graded, flat_rewards, flat_values, flat_kept, strict=True
            )
        ),
        advantages=advantages,
    )


async def _grade(
    prompts: Sequence[Prompt], finishes: Sequence[Finish], judge: Judge, format_rule: FormatRule
) -> list[Graded]:
    items = [
        GradeItem(question=prompt.sample.question, answer=prompt.sample.answer, prediction=finish.answer)
        for prompt, finish in zip(prompts, finishes, strict=True)
    ]
    grades = await asyncio.gather(*map(judge.grade, items))
    if grades and all(grade.failed for grade in grades):
        raise JudgeError(f"the judge failed on all of {len(grades)} answers: {grades[0].error}", retryable=True)
    return [
        Graded(
            correct=grade.correct,
            format_ok=_keeps_format(prompt, finish, format_rule),
            num_tool_calls=finish.trace.num_tool_calls,
            asked_token_ratio=asked_token_ratio(finish.trace, prompt.spec.original, prompt.spec.rule),
            # An engine that failed says as little about the model as a judge that failed.
            judge_failed=grade.failed or finish.outcome is Outcome.FAILED,
        )
        for prompt, finish, grade in zip(prompts, finishes, grades, strict=True)
    ]


def _keeps_format(prompt: Prompt, finish: Finish, format_rule: FormatRule) -> bool:
    if finish.outcome is not Outcome.ANSWERED:
        return False
    return format_ok(finish.trace, format_rule, offers_tools=prompt.spec.protocol.offers_tools)
