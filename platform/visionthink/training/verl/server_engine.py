"""veRL's rollout server as an engine: ids and views in, ids and log-probabilities out.

Rule: as every engine, one request in, one event out. It is asked by one episode, because a row of the trainer needs
what no reply carries: the log-probability of the end of each turn, and the weights' version.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from PIL import Image

from visionthink.core.episode import BackendFailed, Event, NoRoom
from visionthink.core.geometry import View
from visionthink.core.message import Role
from visionthink.core.trace import FinishReason, ModelReply
from visionthink.engines import Request
from visionthink.engines.encoding import Encoder
from visionthink.engines.view_cache import ViewCache
from visionthink.errors import UserError

_ABORTED: Final = "aborted"


class RolloutServer(Protocol):
    """What is used of veRL's client."""

    async def generate(
        self,
        request_id: str,
        *,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        image_data: list[Image.Image],
    ) -> Any:
        """The new ids and what is known of them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many ids a conversation may have."""

    prompt: int
    """In its first request; veRL's max_prompt_length."""
    total: int
    """With all replies."""


class ServerEngine:
    """Replies for one episode."""

    def __init__(
        self,
        server: RolloutServer,
        encoder: Encoder,
        cuts: ViewCache[Image.Image],
        *,
        room: Room,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Ask `server` in ids of `encoder`, with views that `cuts` keeps."""
        self._server = server
        self._encoder = encoder
        self._cuts = cuts
        self._room = room
        self._clock = clock
        self._log_probs: dict[int, tuple[float, ...]] = {}
        self.versions: list[int] = []
        """Of the weights that replies came from."""
        self.generate_s = 0.0
        """Seconds of waiting for replies."""

    @property
    def model(self) -> str:
        """Name of the model that answers."""
        return "policy"

    def log_probs(self, num_turns: int) -> tuple[float, ...]:
        """Of all ids of the first `num_turns` replies, ends of turn included."""
        return tuple(value for turn in range(num_turns) for value in self._log_probs.get(turn, ()))

    async def reply(self, request: Request) -> Event:
        """The reply, or what kept it away."""
        try:
            ids = self._encoder.encode(request.messages, request.picture, add_generation_prompt=True).input_ids
        except UserError as error:
            return BackendFailed(error=str(error), retryable=False)
        turn = sum(message.role is Role.ASSISTANT for message in request.messages)
        limit = self._room.total - request.sampling.max_tokens
        longest = limit if turn else min(limit, self._room.prompt)
        if len(ids) > longest:
            return NoRoom(
                error=f"{len(ids)} tokens before reply {turn + 1} are more than the {longest} that fit; raise "
                "data.max_prompt_length or data.max_response_length, or lower view.max_pixels"
            )
        return await self._generated(request, ids.tolist(), turn)

    async def aclose(self) -> None:
        """Nothing to give back: the server is veRL's."""

    async def _generated(self, request: Request, ids: list[int], turn: int) -> Event:
        start_s = self._clock()
        try:
            out = await self._server.generate(
                request.session or "",
                prompt_ids=ids,
                sampling_params=_params(request),
                image_data=[self._cut(request.picture, view) for one in request.messages for view in one.views],
            )
        except asyncio.CancelledError:
            raise
        except Exception as error:  # Ray and the server raise what they like; none of it may end the training
            return BackendFailed(error=f"{type(error).__name__}: {error}")
        finally:
            latency_s = self._clock() - start_s
            self.generate_s += latency_s
        return self._read(out, num_prompt_tokens=len(ids), turn=turn, latency_s=latency_s)

    def _read(self, out: Any, *, num_prompt_tokens: int, turn: int, latency_s: float) -> Event:
        ids, log_probs = tuple(out.token_ids), tuple(out.log_probs or ())
        if not ids or out.stop_reason == _ABORTED:
            return BackendFailed(error=f"the rollout server gave {len(ids)} tokens and stopped: {out.stop_reason}")
        if len(log_probs) != len(ids):
            return BackendFailed(
                error=f"the rollout server told {len(log_probs)} log-probabilities of {len(ids)} tokens; set "
                "actor_rollout_ref.rollout.calculate_log_probs",
                retryable=False,
            )
        self._log_probs[turn] = log_probs
        self._keep_versions(out.extra_fields)
        ended = ids[-1] == self._encoder.end_id
        kept = ids[:-1] if ended else ids
        text = self._encoder.processor.tokenizer.decode(
            kept, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return ModelReply(
            text=text,
            finish_reason=FinishReason.STOP if ended else FinishReason.LENGTH,
            token_ids=kept,
            log_probs=log_probs[: len(kept)],
            num_prompt_tokens=num_prompt_tokens,
            num_reply_tokens=len(ids),
            latency_s=latency_s,
        )

    def _keep_versions(self, told: Mapping[str, Any]) -> None:
        versions = (told.get("min_global_steps"), told.get("max_global_steps"))
        self.versions += [int(version) for version in versions if version is not None]

    def _cut(self, picture: Image.Image, view: View) -> Image.Image:
        return self._cuts.get(picture, view)


def _params(request: Request) -> dict[str, Any]:
    """In vLLM's words."""
    sampling = request.sampling
    return {
        "temperature": 0.0 if sampling.is_greedy else sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": -1,
        "repetition_penalty": 1.0,
        "max_tokens": sampling.max_tokens,
        "logprobs": True,
    }
