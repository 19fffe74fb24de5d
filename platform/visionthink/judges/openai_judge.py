"""The judge that asks a language model: any OpenAI-compatible server, in the cluster or outside.

Rule: strict reading, bounded tries, bounded time, bounded spending, and a failure that is called a failure. An unclear
reply is asked for again at a higher temperature; when the tries or the time run out the grade is `failed`, and never a
wrong answer. What was said once is never asked again.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from visionthink.engines.chat_client import ChatClient, ChatError, ChatSampling
from visionthink.errors import JudgeError
from visionthink.judges.call_log import CallLog, JudgeCall, call_key
from visionthink.judges.judge import Grade, GradeItem
from visionthink.judges.limits import JudgeLimits
from visionthink.judges.prompt import STRICT, JudgePrompt, prompt_of
from visionthink.judges.tally import JudgeTally

_NUM_TRIES: Final = 3  # as released
_TEMPERATURE_STEP: Final = 0.2  # as released: tries at 0, 0.2 and 0.4
_CHARS_PER_TOKEN: Final = 4
"""Of a server that does not tell what it counted; rough, for English text."""
_NO_ANSWER: Final = Grade(correct=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What a language model is asked about an item."""

    prompt: JudgePrompt
    text: str
    call: JudgeCall
    """The call, of which nothing has come yet."""


@dataclass(slots=True)
class _Shared:
    """A grade that is being asked for, and how many callers wait for it."""

    task: asyncio.Task[Grade]
    num_waiting: int = 0


class OpenAIJudge:
    """Grades through chat completions, concurrently up to the client's connection limit.

    Equal items that come in at once share one grade and whatever comes of it, a failure as well: eight equal rollouts
    cost one. It is asked for as long as any of them still waits.
    """

    def __init__(
        self,
        client: ChatClient,
        *,
        prompt: JudgePrompt = STRICT,
        limits: JudgeLimits | None = None,
        log: CallLog | None = None,
        tally: JudgeTally | None = None,
        max_reply_tokens: int = 1024,
    ) -> None:
        """Ask through `client`; `max_reply_tokens` must leave a thinking model room to think.

        `log` remembers verdicts and what the run has spent; None remembers them as long as the judge lives.
        """
        self._client = client
        self._prompt = prompt
        self._limits = limits or JudgeLimits()
        self._log = log or CallLog()
        self._tally = tally or JudgeTally()
        self._max_reply_tokens = max_reply_tokens
        self._shared: dict[str, _Shared] = {}
        self._num_under_way = 0

    async def grade(self, item: GradeItem) -> Grade:
        """The verdict; failed when the server cannot be had in time, or gives no clear one.

        Raises:
            JudgeError: no item can be graded before the user mends something: a wrong key, or a limit that is reached.
            StorageError: the verdict cannot be kept.
        """
        if item.prediction is None or not item.prediction.strip():
            return _NO_ANSWER
        question = self._question(item)
        key = question.call.key
        known = self._log.verdict(key)
        if known is not None:
            self._tally.num_remembered += 1
            return Grade(correct=known)
        shared = self._shared.get(key) or self._share(question)
        shared.num_waiting += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.num_waiting -= 1
            if shared.num_waiting == 0:
                self._leave(key, shared)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _question(self, item: GradeItem) -> _Question:
        """The judge's own question, or the one that a benchmark asks in its place."""
        prompt = self._prompt if item.inquiry is None else prompt_of(item.inquiry)
        text = prompt.ask(item)
        # What a benchmark reads in a reply may depend on the answers, which its text need not name.
        call = JudgeCall(
            key=call_key(self._client.model, prompt.system, text, *item.answers),
            run=self._log.run,
            model=self._client.model,
            prompt=prompt.name,
            question=item.question,
            answers=item.answers,
            prediction=item.prediction or "",
            family=item.family,
            error="given up",
        )
        return _Question(prompt=prompt, text=text, call=call)

    def _share(self, question: _Question) -> _Shared:
        shared = self._shared[question.call.key] = _Shared(asyncio.create_task(self._graded(question)))
        return shared

    def _leave(self, key: str, shared: _Shared) -> None:
        """Nobody waits any more: a grade that is not there is given up."""
        if self._shared.get(key) is shared:
            del self._shared[key]
        if not shared.task.done():
            shared.task.cancel()

    async def _graded(self, question: _Question) -> Grade:
        try:
            async with asyncio.timeout(self._limits.grade_timeout_s):
                grade = await self._asked(question)
        except TimeoutError:
            error = (
                f"the judge {self._client.model!r} gave no verdict within {self._limits.grade_timeout_s:g} s "
                "(judge.grade_timeout_s): it is stuck, or has too much to do (judge.max_connections)"
            )
            grade = Grade(correct=0.0, failed=True, error=error)
        self._tally.num_failed += grade.failed
        return grade

    async def _asked(self, question: _Question) -> Grade:
        reply = ""
        for attempt in range(_NUM_TRIES):
            try:
                call = await self._call(question, temperature=_TEMPERATURE_STEP * attempt)
            except ChatError as error:
                if error.is_of_service:
                    raise JudgeError(f"{error}; check judge.uri and OPENAI_API_KEY", retryable=False) from error
                return Grade(correct=0.0, failed=True, error=str(error), retryable=error.retryable)
            if call.correct is not None:
                return Grade(correct=call.correct)
            self._tally.num_unclear += 1
            reply = call.reply
        error_text = f"the judge gave no clear score in {_NUM_TRIES} tries, the last reply was {reply[:200]!r}"
        return Grade(correct=0.0, failed=True, error=error_text, retryable=False)

    async def _call(self, question: _Question, *, temperature: float) -> JudgeCall:
        """One call, which is kept whatever comes of it: one that failed or was given up may have cost as much."""
        self._check_limits()
        call = question.call
        self._num_under_way += 1
        try:
            call = _answered(question, await self._completion(question, temperature))
        except ChatError as failure:
            call = replace(call, error=str(failure))
            raise
        finally:
            self._num_under_way -= 1
            self._tally.num_calls += 1
            self._tally.num_tokens += call.num_tokens
            self._log.append(call)
        return call

    def _check_limits(self) -> None:
        """Refuse a further call when the run has spent what it may."""
        self._log.refresh()
        num_calls, limits, spent = self._log.num_calls + self._num_under_way, self._limits, []
        if limits.max_calls is not None and num_calls >= limits.max_calls:
            spent.append(f"{num_calls:,} calls (judge.max_calls)")
        if limits.max_tokens is not None and self._log.num_tokens >= limits.max_tokens:
            spent.append(f"{self._log.num_tokens:,} tokens (judge.max_tokens)")
        if spent:
            raise JudgeError(
                f"the run has spent what its judge may: {' and '.join(spent)}. Nothing was scored that was "
                "not judged; allow more, or ask only for what the rule cannot tell (judge.uri=rule+openai:...)",
                retryable=False,
            )

    async def _completion(self, question: _Question, temperature: float) -> ChatCompletion:
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": question.text}]
        if question.prompt.system:
            messages.insert(0, {"role": "system", "content": question.prompt.system})
        sampling = ChatSampling(temperature=temperature, top_p=1.0, max_tokens=self._max_reply_tokens, seed=None)
        return await self._client.complete(messages, sampling)


def _answered(question: _Question, completion: ChatCompletion) -> JudgeCall:
    reply = _text(completion)
    return replace(
        question.call,
        reply=reply,
        correct=question.prompt.read(reply),
        error=None,
        num_tokens=_num_tokens(completion, question.prompt.system + question.text),
    )


def _text(completion: ChatCompletion) -> str:
    return (completion.choices[0].message.content or "") if completion.choices else ""


def _num_tokens(completion: ChatCompletion, asked: str) -> int:
    """What a call cost, as the server counts."""
    if completion.usage is not None:
        return completion.usage.prompt_tokens + completion.usage.completion_tokens
    return (len(asked) + len(_text(completion))) // _CHARS_PER_TOKEN
