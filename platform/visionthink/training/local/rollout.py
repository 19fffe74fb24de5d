"""From prompts to graded, rewarded groups of rollouts: everything of a step that needs no gradient.

Rule: the episodes are those of `visionthink.episodes`, the rewards those of `core`; nothing is decided here. A group
that could not be had or not be graded as a whole gives no gradient, and is counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from PIL import Image

from visionthink.core.advantage import AdvantageRule, Advantages, by_turn, group_advantages, turn_advantages
from visionthink.core.episode import Finish
from visionthink.core.format import FormatRule
from visionthink.core.reward import Graded, RewardParts, RewardRule, group_rewards
from visionthink.core.sample import Sample
from visionthink.engines import Sampling
from visionthink.episodes.prompting import ViewPolicy
from visionthink.episodes.runner import Ask, Done, End, EpisodeRunner, Work
from visionthink.errors import EngineError
from visionthink.training.grading import graded_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompt:
    """A sample to train on. Its picture is decoded when it is drawn."""

    sample: Sample
    needed: bool | None
    """The label: whether the full view is needed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rollout:
    """One episode, what it earned, and how much better than its group that was."""

    prompt: Prompt
    picture: Image.Image
    finish: Finish
    graded: Graded
    reward: RewardParts
    advantages: tuple[float, ...]
    """`[turn]`, for the tokens of each."""
    is_kept: bool
    """Whether its group gives a gradient."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rollouts:
    """All rollouts of a step, group after group."""

    rollouts: tuple[Rollout, ...]
    advantages: Advantages
    num_lost: int = 0
    """Groups of which a rollout could not be had; they have none here."""


async def collect(
    prompts: Sequence[Prompt],
    *,
    runner: EpisodeRunner,
    decode: Callable[[Sample], Image.Image],
    sampling: Sampling,
    group_size: int,
    rule: RewardRule,
    format_rule: FormatRule,
    advantage_eps: float = 1e-6,
    advantage_rule: AdvantageRule = "episode",
    tool_weight: float = 0.3,
    policy: ViewPolicy = "auto",
) -> Rollouts:
    """`group_size` rollouts of every prompt under `policy`, graded and compared within their group.

    Raises:
        EngineError, JudgeError: there is an outage, or no group could be had.
        DataError: a picture cannot be decoded.
    """
    ends: dict[int, End] = {}
    # Decoded here and not as they are asked for: then what shares a batch does not depend on how fast that was.
    pictures = [decode(prompt.sample) for prompt in prompts]
    left = await runner.run(
        [
            Work(
                key=index,
                sample=prompt.sample,
                asks=_asks(index, sampling, group_size, policy),
                picture=pictures[index],
            )
            for index, prompt in enumerate(prompts)
        ],
        lambda work, end: ends.__setitem__(work.key, end),
    )
    whole = {index: end for index, end in sorted(ends.items()) if isinstance(end, Done)}
    if not whole:
        text = f"no group of a step could be had, the first because of: {_why(left.open, ends)}"
        raise EngineError(text, retryable=True)
    groups = [
        [graded_of(episode, end.size, runner.prompting, format_rule) for episode in end.episodes]
        for end in whole.values()
    ]
    rewards = [group_rewards(group, rule) for group in groups]
    failed = [any(item.judge_failed for item in group) for group in groups]
    advantages = _compared(rewards, failed, rule=advantage_rule, eps=advantage_eps, tool_weight=tool_weight)
    return Rollouts(
        rollouts=tuple(
            Rollout(
                prompt=prompts[index],
                picture=pictures[index],
                finish=episode.finish,
                graded=graded,
                reward=reward,
                advantages=by_turn(episode.finish.trace, value, answer),
                is_kept=kept,
            )
            for (index, end), group, parts, values, answers, kept in zip(
                whole.items(), groups, rewards, advantages.values, advantages.answers, advantages.kept, strict=True
            )
            for episode, graded, reward, value, answer in zip(end.episodes, group, parts, values, answers, strict=True)
        ),
        advantages=advantages,
        num_lost=len(prompts) - len(whole),
    )


def _compared(
    rewards: Sequence[Sequence[RewardParts]],
    failed: Sequence[bool],
    *,
    rule: AdvantageRule,
    eps: float,
    tool_weight: float,
) -> Advantages:
    match rule:
        case "episode":
            return group_advantages([[parts.total for parts in group] for group in rewards], failed, eps=eps)
        case "turn":
            outcomes = [[parts.outcome for parts in group] for group in rewards]
            tools = [[-parts.penalty for parts in group] for group in rewards]
            return turn_advantages(outcomes, tools, failed, tool_weight=tool_weight, eps=eps)
        case _:
            assert_never(rule)


def _asks(index: int, sampling: Sampling, group_size: int, policy: ViewPolicy) -> tuple[Ask, ...]:
    """The rollouts of prompt number `index`, each with a place of its own among all of the step."""
    return tuple(
        Ask(policy=policy, sampling=sampling, place=(index * group_size + rollout,)) for rollout in range(group_size)
    )


def _why(left: Sequence[tuple[object, str]], ends: dict[int, End]) -> str:
    errors = [error for _, error in left] + [end.error for end in ends.values() if not isinstance(end, Done)]
    return errors[0] if errors else "there was no prompt"
