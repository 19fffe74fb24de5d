"""The judge that asks a language model: any OpenAI-compatible server, in the cluster or outside.

Rule: strict reading, bounded tries, and a failure that is called a failure. An unclear reply is asked for again at a
higher temperature; when the tries run out the grade is `failed` and the caller drops the sample.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from openai.types.chat import ChatCompletionMessageParam

from visionthink.engines.chat_client import ChatClient, ChatSampling
from visionthink.errors import BackendError
from visionthink.judges.judge import Grade, GradeItem
from visionthink.judges.verdict import SYSTEM, judge_question, parse_verdict

_log = logging.getLogger(__name__)

_NUM_TRIES: Final = 3  # as released
_TEMPERATURE_STEP: Final = 0.2  # as released: tries at 0, 0.2 and 0.4
_NO_ANSWER: Final = Grade(correct=0.0)


class OpenAIJudge:
    """Grades through chat completions; items run concurrently, up to the client's connection limit.

    Verdicts are remembered (`cache_size` of them), so that eight equal rollouts cost one call.
    """

    def __init__(self, client: ChatClient, *, max_tokens: int = 1024, cache_size: int = 65536) -> None:
        """Ask through `client`; `max_tokens` must leave a thinking model room to think."""
        self._client = client
        self._max_tokens = max_tokens
        self._cache_size = cache_size
        self._verdicts: OrderedDict[GradeItem, Grade] = OrderedDict()

    async def grade(self, items: Sequence[GradeItem]) -> list[Grade]:
        """One grade per item, in order; equal items are asked about once."""
        distinct = list(dict.fromkeys(items))
        grades = dict(zip(distinct, await asyncio.gather(*map(self._graded, distinct)), strict=True))
        return [grades[item] for item in items]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _graded(self, item: GradeItem) -> Grade:
        if item.prediction is None or not item.prediction.strip():
            return _NO_ANSWER
        if item in self._verdicts:
            self._verdicts.move_to_end(item)
            return self._verdicts[item]
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
            except BackendError as error:
                _log.warning("judge failed, the sample will be dropped: %s", error)
                return Grade(correct=0.0, failed=True)
            verdict = parse_verdict(reply)
            if verdict is not None:
                return Grade(correct=verdict)
        _log.warning("judge gave no clear score in %d tries, the sample will be dropped: %.200r", _NUM_TRIES, reply)
        return Grade(correct=0.0, failed=True)

    async def _reply(self, item: GradeItem, *, temperature: float) -> str:
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": judge_question(item)},
        ]
        sampling = ChatSampling(temperature=temperature, top_p=1.0, max_tokens=self._max_tokens, seed=None)
        completion = await self._client.complete(messages, sampling)
        return (completion.choices[0].message.content or "") if completion.choices else ""
