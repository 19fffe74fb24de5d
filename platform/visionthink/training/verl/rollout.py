"""One rollout for veRL: an episode held and graded through the middle of the house, as a row to learn from.

Rule: nothing that goes wrong with one rollout is raised, and nothing of it is made up. An engine or judge that failed,
or a picture that cannot be read, marks the row as failed; the group hook drops its group and counts it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from PIL import Image

from visionthink.config import RunConfig
from visionthink.core.episode import AskModel, start
from visionthink.core.geometry import Size
from visionthink.core.reward import Graded, group_rewards
from visionthink.core.trace import FinishReason
from visionthink.engines import Sampling
from visionthink.engines.encoding import Encoder, Pixels
from visionthink.engines.view_cache import ViewCache
from visionthink.episodes.prompting import prompting_of
from visionthink.episodes.runner import Ask, Done, End, EpisodeRunner, Work
from visionthink.errors import BackendError, UserError
from visionthink.judges import Judge
from visionthink.picture import cut
from visionthink.training.grading import graded_of
from visionthink.training.verl.picture_cache import Original, Originals
from visionthink.training.verl.server_engine import RolloutServer, Room, ServerEngine
from visionthink.training.verl.trajectory import Trajectory, trajectory_of, unwritten

_MAX_CUT_BYTES: Final = 128 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldRollout:
    """A rollout as the agent loop hands it to veRL."""

    trajectory: Trajectory
    views: tuple[Pixels, ...]
    """Of the views that stand in the trajectory."""
    facts: Mapping[str, float]
    """What group hook and validation need to know; the same keys each time (`facts_of`)."""
    score: float
    """The reward before any penalty."""
    num_turns: int = 0
    versions: tuple[int, ...] = ()
    """Of the weights that its replies came from."""
    generate_s: float = 0.0
    error: str = ""
    """Why it failed; empty when it did not."""


class RolloutHolder:
    """Holds the rollouts of one process of veRL's agent workers."""

    def __init__(
        self,
        config: RunConfig,
        encoder: Encoder,
        judge: Judge,
        originals: Originals,
        *,
        room: Room,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Ask as the settings of the run say; `sleep` waits between two tries."""
        self._sleep = sleep
        self._config = config
        self._prompting = prompting_of(config)
        self._encoder = encoder
        self._judge = judge
        self._originals = originals
        self._room = room
        self._cuts: ViewCache[Image.Image] = ViewCache(cut, size_bytes=_num_bytes, max_bytes=_MAX_CUT_BYTES)

    async def hold(
        self, server: RolloutServer, info: Mapping[str, Any], *, temperature: float, top_p: float
    ) -> HeldRollout:
        """The rollout of a row's `extra_info`, drawn from `server` as it is now."""
        try:
            original = await self._originals.get(info)
        except (BackendError, UserError) as error:
            return self._failed(None, info, str(error))
        engine = ServerEngine(server, self._encoder, self._cuts, room=self._room)
        sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=self._config.episode.max_reply_tokens)
        ends: list[End] = []
        work = Work(
            key=None,
            sample=original.sample,
            asks=(Ask(policy=info["policy"], sampling=sampling),),
            picture=original.picture,
        )
        runner = EpisodeRunner(
            engine, self._judge, self._prompting, decode=lambda sample: original.picture, sleep=self._sleep
        )
        try:
            left = await runner.run([work], lambda work, end: ends.append(end))
        except (BackendError, UserError) as error:
            return self._failed(original, info, str(error))
        match ends:
            case [Done() as done] if not done.episodes[0].grade.failed:
                return self._row(original, done, engine)
            case [Done() as done]:
                return self._failed(original, info, str(done.episodes[0].grade.error))
            case _:
                errors = [error for _, error in left.open] + [end.error for end in ends if not isinstance(end, Done)]
                return self._failed(original, info, errors[0])

    def _row(self, original: Original, done: Done, engine: ServerEngine) -> HeldRollout:
        episode = done.episodes[0]
        trace = episode.finish.trace
        encoded = self._encoder.encode_trace(trace, original.picture)
        trajectory = trajectory_of(
            encoded.input_ids.tolist(),
            encoded.reply_mask.tolist(),
            engine.log_probs(len(trace.turns)),
            image_id=self._encoder.image_id,
            view_tokens=[view.visual_tokens for view in trace.views],
        )
        graded = graded_of(episode, done.size, self._prompting, self._config.reward.format_rule)
        return HeldRollout(
            trajectory=trajectory,
            views=encoded.views[: trajectory.num_views],
            facts={
                **facts_of(graded, original.sample.needs_high_res),
                "asked": float(trace.asked),
                "turns": float(len(trace.turns)),
                "reply_tokens": float(trace.num_reply_tokens),
                "visual_tokens": float(trace.visual_tokens),
                "truncated": float(trace.turns[-1].reply.finish_reason is FinishReason.LENGTH),
            },
            score=group_rewards([graded], replace(self._config.reward.rule(), rule="none"))[0].total,
            num_turns=len(trace.turns),
            versions=tuple(engine.versions),
            generate_s=engine.generate_s,
        )

    def _failed(self, original: Original | None, info: Mapping[str, Any], error: str) -> HeldRollout:
        ids, views = self._prompt(original, info)
        needed = None if int(info["needed"]) < 0 else bool(info["needed"])
        graded = Graded(correct=0.0, format_ok=False, num_tool_calls=0, judge_failed=True)
        none = dict.fromkeys(("asked", "turns", "reply_tokens", "visual_tokens", "truncated"), 0.0)
        return HeldRollout(
            trajectory=unwritten(ids, end_id=self._encoder.end_id, num_views=len(views)),
            views=views,
            facts={**facts_of(graded, needed), **none},
            score=0.0,
            error=error or "it failed without a word",
        )

    def _prompt(self, original: Original | None, info: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[Pixels, ...]]:
        """The first request, for a row that has nothing else; nothing where even that cannot be made."""
        if original is None:
            return (), ()
        size = Size(width=original.picture.width, height=original.picture.height)
        try:
            _, command = start(self._prompting.spec(original.sample.question, size, info["policy"]))
            assert isinstance(command, AskModel), "an episode begins with an ask"
            encoded = self._encoder.encode(command.messages, original.picture, add_generation_prompt=True)
        except UserError:
            return (), ()
        fits = len(encoded.input_ids) <= min(self._room.prompt, self._room.total - 1)
        return (tuple(encoded.input_ids.tolist()), encoded.views) if fits else ((), ())


def facts_of(graded: Graded, needed: bool | None) -> dict[str, float]:
    """A grade and a label as numbers, which is all that veRL carries from a rollout to its group."""
    return {
        "acc": graded.correct,  # the name that veRL's validation looks for
        "format_ok": float(graded.format_ok),
        "num_tool_calls": float(graded.num_tool_calls),
        "asked_token_ratio": graded.asked_token_ratio,
        "failed": float(graded.judge_failed),
        "needed": -1.0 if needed is None else float(needed),
    }


def graded_from(facts: Mapping[str, float]) -> Graded:
    """The grade that `facts_of` wrote."""
    return Graded(
        correct=facts["acc"],
        format_ok=facts["format_ok"] > 0,
        num_tool_calls=int(facts["num_tool_calls"]),
        asked_token_ratio=facts["asked_token_ratio"],
        judge_failed=facts["failed"] > 0,
    )


def _num_bytes(view: Image.Image) -> int:
    return view.width * view.height * len(view.getbands())
