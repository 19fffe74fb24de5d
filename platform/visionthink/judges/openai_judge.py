"""The judge that asks a language model: any OpenAI-compatible server, in the cluster or outside.

Rule: strict reading, bounded tries, and a failure that is called a failure. An unclear reply is asked for again at a
higher temperature; when the tries run out the grade is `failed` and the caller drops the sample.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from openai.types.chat import ChatCompletionMessageParam

from visionthink.engines.chat_client import ChatClient, ChatError, ChatSampling
from visionthink.errors import JudgeError
from visionthink.judges.judge import Grade, GradeItem
from visionthink.judges.verdict import SYSTEM, judge_question, parse_verdict, without_thought

_NUM_TRIES: Final = 3  # as released
_TEMPERATURE_STEP: Final = 0.2  # as released: tries at 0, 0.2 and 0.4
_NO_ANSWER: Final = Grade(correct=0.0)


@dataclass(slots=True)
class _Call:
    """A question to the language model that is under way, and how many callers wait for it."""

    task: asyncio.Task[Grade]
    num_waiting: int = 0


class OpenAIJudge:
    """Grades through chat completions, concurrently up to the client's connection limit.

    Verdicts are remembered (`cache_size` of them). Equal items that come in at once share one call and whatever comes
    of it, a failure as well: eight equal rollouts cost one. The call goes on while any of them still waits.
    """

    def __init__(self, client: ChatClient, *, max_tokens: int = 1024, cache_size: int = 65536) -> None:
        """Ask through `client`; `max_tokens` must leave a thinking model room to think."""
        self._client = client
        self._max_tokens = max_tokens
        self._cache_size = cache_size
        self._verdicts: OrderedDict[GradeItem, Grade] = OrderedDict()
        self._calls: dict[GradeItem, _Call] = {}

    async def grade(self, item: GradeItem) -> Grade:
        """The verdict; failed when the server cannot be had, or gives no clear one."""
        if item.prediction is None or not item.prediction.strip():
            return _NO_ANSWER
        if item in self._verdicts:
            self._verdicts.move_to_end(item)
            return self._verdicts[item]
        call = self._calls.get(item) or self._call(item)
        call.num_waiting += 1
        try:
            return await asyncio.shield(call.task)
        finally:
            call.num_waiting -= 1
            if call.num_waiting == 0:
                self._leave(item, call)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _call(self, item: GradeItem) -> _Call:
        self._calls[item] = _Call(asyncio.create_task(self._graded(item)))
        return self._calls[item]

    def _leave(self, item: GradeItem, call: _Call) -> None:
        """Nobody waits any more: a call that is not done is given up."""
        if self._calls.get(item) is call:
            del self._calls[item]
        if not call.task.done():
            call.task.cancel()

    async def _graded(self, item: GradeItem) -> Grade:
        grade = await self._asked(item)
        if not grade.failed:
            self._verdicts[item] = grade
            while len(self._verdicts) > self._cache_size:
                self._verdicts.popitem(last=False)
        return grade

    async def _asked(self, item: GradeItem) -> Grade:
        reply = ""
        for attempt in range(_NUM_TRIES):
            try:
                reply = await self._reply(item, temperature=_TEMPERATURE_STEP * attempt)
            except ChatError as error:
                if error.is_of_service:
                    raise JudgeError(f"{error}; check judge.uri and OPENAI_API_KEY", retryable=False) from error
                return Grade(correct=0.0, failed=True, error=str(error), retryable=error.retryable)
            verdict = parse_verdict(reply) if item.inquiry is None else item.inquiry.read(without_thought(reply))
            if verdict is not None:
                return Grade(correct=verdict)
        error_text = f"the judge gave no clear score in {_NUM_TRIES} tries, the last reply was {reply[:200]!r}"
        return Grade(correct=0.0, failed=True, error=error_text, retryable=False)

    async def _reply(self, item: GradeItem, *, temperature: float) -> str:
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": judge_question(item)}]
        if item.inquiry is None:
            messages.insert(0, {"role": "system", "content": SYSTEM})
        sampling = ChatSampling(temperature=temperature, top_p=1.0, max_tokens=self._max_tokens, seed=None)
        completion = await self._client.complete(messages, sampling)
        return (completion.choices[0].message.content or "") if completion.choices else ""
