"""An endpoint that holds whole episodes, as an engine: its loop is asked once, and its turns are told one by one.

Rule: the endpoint decides and this repeats. The question goes to it as a client's would, with the original picture, and
what its loop did turn by turn comes back in `adaptive`. The episode that is driven here is sent those replies, so
grading, figures and failures are those of every other evaluation. Should the two disagree about a view, the endpoint
has other settings than those it is judged by, and that is told and never averaged away.
"""

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

from visionthink.core.episode import BackendFailed, Event, FinishReason, ModelReply
from visionthink.core.json_value import Json
from visionthink.core.message import Role, view_to_dict
from visionthink.engines import Request
from visionthink.engines.chat_client import ChatClient, ChatError, ChatSampling
from visionthink.picture import encode_png


class ServedEngine:
    """The episodes of one endpoint."""

    def __init__(self, client: ChatClient, questions: Mapping[str, str], *, max_turns: int, max_tokens: int) -> None:
        """Ask through `client`; `questions` are the bare ones by session, `max_tokens` bounds all turns of one."""
        self._client = client
        self._questions = questions
        self._sampling = ChatSampling(
            temperature=0.0,
            top_p=1.0,
            max_tokens=max_tokens,
            seed=None,
            further={"adaptive": {"policy": "auto", "max_turns": max_turns, "first_look": "off"}},
        )
        self._held: dict[str, dict[str, Any]] = {}

    @property
    def model(self) -> str:
        """Name of the model as the endpoint knows it."""
        return self._client.model

    async def reply(self, request: Request) -> Event:
        """What the endpoint's model wrote in this turn of its own episode."""
        assert request.session is not None, "an evaluation names its sample"
        num_before = sum(message.role is Role.ASSISTANT for message in request.messages)
        if num_before == 0:
            try:
                await self._hold(request, request.session)
            except ChatError as error:
                return BackendFailed(error=str(error), retryable=error.retryable)
        return _turn(self._held[request.session], num_before, request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _hold(self, request: Request, session: str) -> None:
        """Have the endpoint hold the whole episode."""
        png = await asyncio.to_thread(encode_png, request.picture)
        url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        answer = await self._client.complete(
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": url}},
                        {"type": "text", "text": self._questions[session]},
                    ],
                }
            ],
            self._sampling,
            session=session,
        )
        told = (answer.model_extra or {}).get("adaptive")
        self._held[session] = told if isinstance(told, dict) else {}


def _turn(told: Mapping[str, Any], number: int, request: Request) -> Event:
    """The reply number `number` (from 0) of what an endpoint tells of its episode."""
    match told:
        case {"trace": list() as turns, "views": list() as views}:
            shown: list[Json] = [view_to_dict(view) for message in request.messages for view in message.views]
            if views[: len(shown)] != shown or number >= len(turns):
                return _differs(f"it shows {views} in {len(turns)} turns, and these settings {shown}")
        case _:
            return _differs("it does not tell how it came to its answer (`adaptive`)")
    match turns[number]:
        case {
            "reply": str(text),
            "finish_reason": str(reason),
            "latency_s": int() | float() as latency_s,
            "num_prompt_tokens": int(num_prompt_tokens),
            "num_reply_tokens": int(num_reply_tokens),
        }:
            return ModelReply(
                text=text,
                finish_reason=FinishReason(reason),
                num_prompt_tokens=num_prompt_tokens,
                num_reply_tokens=num_reply_tokens,
                latency_s=float(latency_s),
            )
        case other:
            return _differs(f"a turn of it is {str(other)[:200]}")


def _differs(what: str) -> BackendFailed:
    return BackendFailed(
        error=f"the endpoint cannot be judged: {what}; set episode and view as in the card of its model",
        retryable=False,
    )
