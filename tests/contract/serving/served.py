"""A running app and OpenAI's client before it."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import openai
from fastapi import FastAPI
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionUserMessageParam
from PIL import Image
from prometheus_client import CollectorRegistry
from tests.unit.engines.conversation import RULE, noise

from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ResizeImage, ToolBox
from visionthink.engines import Engine, Request, ScriptLine
from visionthink.episodes.prompting import ViewPolicy
from visionthink.serving import ServingLimits, background_server, create_app
from visionthink.serving.auth import KeyFile
from visionthink.serving.quota import QuotaRule
from visionthink.serving.remote import RemotePictures
from visionthink.serving.server import READY_PATH
from visionthink.serving.tracing import Tracing

CALL = '<think>too small</think><tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'
ANSWER = "<think>I see.</think><answer>A7</answer>"
PICTURE = noise(112, 56)


@dataclass
class Served:
    """A running app, its address and what it counts."""

    url: str
    registry: CollectorRegistry
    app: FastAPI

    def client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=20.0)

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def app_of(
    engine: Engine,
    limits: ServingLimits | None = None,
    policy: ViewPolicy = "auto",
    remote: RemotePictures | None = None,
    registry: CollectorRegistry | None = None,
    keys: KeyFile | None = None,
    quota: QuotaRule | None = None,
    tracing: Tracing | None = None,
) -> FastAPI:
    return create_app(
        engine,
        model_name="tiny-v1",
        protocol=get_protocol("compact-efficient-v1"),
        direct_protocol=get_protocol("compact-general-v1"),
        rule=RULE,
        toolbox=ToolBox([ResizeImage()]),
        policy=policy,
        remote=remote,
        limits=limits or ServingLimits(max_tokens=64),
        keys=keys,
        quota=quota,
        tracing=tracing,
        registry=registry,
        clock=lambda: 1700000000.5,
    )


@contextmanager
def serving(
    engine: Engine,
    limits: ServingLimits | None = None,
    policy: ViewPolicy = "auto",
    remote: RemotePictures | None = None,
    ready_path: str | None = READY_PATH,
    keys: KeyFile | None = None,
    quota: QuotaRule | None = None,
    tracing: Tracing | None = None,
) -> Iterator[Served]:
    registry = CollectorRegistry()
    app = app_of(engine, limits, policy, remote, registry, keys, quota, tracing)
    with background_server(app, ready_path=ready_path) as url:
        yield Served(url, registry, app)


def twice(request: Request) -> ScriptLine:
    """Looks closer first, if it may."""
    may_ask = "more pixels" in request.messages[0].text
    return CALL if may_ask and len(request.messages) == 1 else ANSWER


def data_url(picture: Image.Image = PICTURE, **options: object) -> str:
    file = io.BytesIO()
    picture.save(file, format="PNG", **options)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def question(url: str = "", text: str = "which code is printed ?") -> ChatCompletionUserMessageParam:
    return {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": url or data_url()}},
            {"type": "text", "text": text},
        ],
    }


async def ask(served: Served, **options: object) -> ChatCompletion:
    async with served.client() as client:
        return await client.chat.completions.create(  # type: ignore[call-overload, no-any-return]
            **{"model": "tiny-v1", "messages": [question()], **options}
        )


async def chunks(served: Served, **options: object) -> list[ChatCompletionChunk]:
    async with served.client() as client:
        stream = await client.chat.completions.create(  # type: ignore[call-overload]
            **{"model": "tiny-v1", "messages": [question()], "stream": True, **options}
        )
        return [chunk async for chunk in stream]


def adaptive(answer: ChatCompletion | ChatCompletionChunk) -> dict[str, object]:
    found = (answer.model_extra or {})["adaptive"]
    assert isinstance(found, dict)
    return found
