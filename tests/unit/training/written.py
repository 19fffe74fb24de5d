"""Rollouts of which every word is written here, and a small model to score them with."""

import random
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from PIL import Image
from tests.unit.engines.tiny_model import tiny_processor
from transformers import Qwen2_5_VLForConditionalGeneration

from visionthink.config import RunConfig
from visionthink.core.episode import BackendFailed, EpisodeSpec, Finish, FinishReason, ModelReply, advance, start
from visionthink.core.geometry import Size
from visionthink.core.reward import Graded, RewardParts
from visionthink.core.sample import Sample
from visionthink.datasets.world import draw_scene, paint
from visionthink.episodes.prompting import prompting_of
from visionthink.judges import Grade, GradeItem
from visionthink.model.architecture import build_config, build_model
from visionthink.model.speech import CALL
from visionthink.training.local.rollout import Prompt, Rollout

ASK = f"<think>i need more pixels .</think>{CALL}"
NO_REWARD = RewardParts(accuracy=0.0, format=0.0, penalty=0.0, total=0.0)


def small_model(seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    """0.4 M random parameters."""
    config = build_config(tiny_processor().tokenizer, width=64, layers=2, vision_width=64, depth=1)
    with torch.random.fork_rng():
        return build_model(config, seed=seed)


def saying(answer: str) -> str:
    return f"<think>i can see it .</think><answer>{answer}</answer>"


@lru_cache
def picture(seed: int = 0) -> Image.Image:
    return paint(draw_scene(random.Random(seed)))


def prompt(number: int = 0, *, needed: bool | None = True, answer: str = "A") -> Prompt:
    sample = Sample(
        id=f"sample-{number}",
        question="what letter is printed on the shape ?" if needed else "what color is the shape ?",
        answer=answer,
        family="mark" if needed else "color",
        needs_high_res=needed,
        source="test",
        picture=b"",
    )
    return Prompt(sample=sample, needed=needed)


def picture_of(sample: Sample) -> Image.Image:
    """Stands in for decoding: the picture of the number in the sample's id."""
    return picture(int(sample.id.removeprefix("sample-")))


def spec_of(asked: Prompt) -> EpisodeSpec:
    """The episode that a trainer holds."""
    shown = picture_of(asked.sample)
    return prompting_of(RunConfig()).spec(asked.sample.question, Size(width=shown.width, height=shown.height))


def finish(asked: Prompt, replies: Sequence[str], *, is_cut: bool = False, fails: bool = False) -> Finish:
    """The end of an episode in which the model writes `replies`, the last one cut off or followed by a failure."""
    step = start(spec_of(asked))
    for index, text in enumerate(replies):
        ids = tuple(tiny_processor().tokenizer(text, add_special_tokens=False)["input_ids"])
        ends = not (is_cut and index == len(replies) - 1)
        step = advance(
            step.state,
            ModelReply(
                text=text,
                finish_reason=FinishReason.STOP if ends else FinishReason.LENGTH,
                token_ids=ids,
                num_prompt_tokens=30 * (index + 1),
                num_reply_tokens=len(ids) + ends,
            ),
        )
    if fails:
        step = advance(step.state, BackendFailed(error="out of order"))
    assert isinstance(step.command, Finish), "the replies do not end the episode"
    return step.command


def rollout(
    asked: Prompt,
    replies: Sequence[str],
    advantage: float | tuple[float, ...],
    *,
    is_kept: bool = True,
    is_cut: bool = False,
    reward: RewardParts = NO_REWARD,
    correct: float = 0.0,
    has_failed: bool = False,
) -> Rollout:
    """One whose turns all have the one advantage, or each its own."""
    ended = finish(asked, replies, is_cut=is_cut)
    graded = Graded(correct=correct, format_ok=True, num_tool_calls=ended.trace.num_tool_calls, judge_failed=has_failed)
    return Rollout(
        prompt=asked,
        picture=picture_of(asked.sample),
        finish=ended,
        graded=graded,
        reward=reward,
        advantages=advantage if isinstance(advantage, tuple) else (advantage,) * len(replies),
        is_kept=is_kept,
    )


class ScriptedJudge:
    """Grades by a function of the item; None says that the judge cannot tell."""

    def __init__(self, grade: Callable[[GradeItem], float | None]) -> None:
        self._grade = grade
        self.items: list[GradeItem] = []

    async def grade(self, item: GradeItem) -> Grade:
        self.items.append(item)
        value = self._grade(item)
        return Grade(correct=value or 0.0, failed=value is None, retryable=False)

    async def aclose(self) -> None:
        """Nothing to give back."""
