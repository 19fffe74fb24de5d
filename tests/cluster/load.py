"""Requests through the gateway, one after the other in a few hands, for as long as a block of code runs."""

import asyncio
import base64
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import openai

from visionthink.config import DataConfig
from visionthink.core.sample import Sample
from visionthink.datasets.world import TRAINED_FAMILIES, generate
from visionthink.picture import encode_png
from visionthink.samples import decoded

_TIMEOUT_S: Final = 90.0


def questions(count: int) -> list[Sample]:
    """Held-out questions."""
    return list(generate("test", count, seed=11, families=TRAINED_FAMILIES))


def messages(sample: Sample) -> list[Any]:
    """The request for a sample: its picture as a data URL, and its question."""
    picture = base64.b64encode(encode_png(decoded(sample, DataConfig()))).decode()
    content = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
        {"type": "text", "text": sample.question},
    ]
    return [{"role": "user", "content": content}]


def client(gateway: str, host: str) -> openai.AsyncOpenAI:
    """OpenAI's client before the gateway, which knows the endpoint by its name; it repeats nothing."""
    return openai.AsyncOpenAI(
        base_url=f"{gateway}/v1",
        api_key="none",
        max_retries=0,
        timeout=_TIMEOUT_S,
        default_headers={"Host": host},
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
    )


@dataclass(slots=True, eq=False)
class Tally:
    """How requests ended."""

    num_right: int = 0
    """Answered as wanted."""
    num_otherwise: int = 0
    """Answered with another text: a tie of two letters that broke the other way in another batch."""
    failures: Counter[str] = field(default_factory=Counter)
    """Not answered, by status or kind of error."""

    @property
    def num_failed(self) -> int:
        return sum(self.failures.values())

    @property
    def num_requests(self) -> int:
        return self.num_right + self.num_otherwise + self.num_failed

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"requests": self.num_requests, "failed": self.num_failed}
        return found | {"other_answers": self.num_otherwise, "failures": dict(self.failures)}


class Load:
    """Constant load in a thread of its own, from `with` to its end; nothing is asked twice."""

    def __init__(
        self, gateway: str, host: str, model: str, asked: Sequence[tuple[Sample, str]], hands: int = 2
    ) -> None:
        """Ask for each sample in `asked` in turn and expect its text."""
        self._gateway, self._host, self._model = gateway, host, model
        self._asked, self._hands = [(messages(sample), want) for sample, want in asked], hands
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.tally = Tally()

    def __enter__(self) -> Tally:
        self._thread.start()
        return self.tally

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(_TIMEOUT_S + 10)
        assert not self._thread.is_alive(), "a request hangs"

    async def _run(self) -> None:
        async with client(self._gateway, self._host) as api:
            await asyncio.gather(*(self._hand(api, number) for number in range(self._hands)))

    async def _hand(self, api: openai.AsyncOpenAI, number: int) -> None:
        at = number
        while not self._ended.is_set():
            sent, want = self._asked[at % len(self._asked)]
            at += self._hands
            try:
                got = await api.chat.completions.create(model=self._model, messages=sent, temperature=0)
            except openai.APIStatusError as error:
                self.tally.failures[str(error.status_code)] += 1
            except (openai.APIError, httpx.HTTPError) as error:
                self.tally.failures[type(error.__cause__ or error).__name__] += 1
            else:
                if got.choices[0].message.content == want:
                    self.tally.num_right += 1
                else:
                    self.tally.num_otherwise += 1


@dataclass
class Flow:
    """Constant requests through the gateway in two threads for as long as a block runs; none is sent twice."""

    gateway: str
    host: str
    num_requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    """Answers by when the loop that gave them was started."""

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(2)]

    def __enter__(self) -> "Flow":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    @property
    def num_failed(self) -> int:
        return self.failures.total()

    def facts(self) -> dict[str, Any]:
        return {"requests": self.num_requests, "failed": self.num_failed, "failures": dict(self.failures)}

    def _run(self) -> None:
        with httpx.Client(trust_env=False, timeout=30, headers={"Host": self.host}) as http:
            while not self._ended.wait(0.05):
                self.num_requests += 1
                try:
                    answer = http.get(f"{self.gateway}/v1/models")
                except httpx.HTTPError as error:
                    self.failures[type(error).__name__] += 1
                    continue
                if answer.status_code == 200:
                    self.versions[answer.json()["data"][0]["created"]] += 1
                else:
                    self.failures[str(answer.status_code)] += 1
