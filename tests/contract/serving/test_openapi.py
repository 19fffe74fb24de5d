"""The OpenAPI document is whole, and what is sent has the shapes that it promises."""

import json
from collections.abc import Iterator

import httpx
import pytest
from pydantic import BaseModel
from tests.contract.serving.served import CALL, Served, question, serving, twice
from tests.fakes.streaming import FullEngine, StreamingEngine

from visionthink.core.episode import BackendFailed
from visionthink.engines import Engine, ScriptedEngine
from visionthink.serving.schema import ChatCompletion, ChatCompletionChunk, ErrorBody


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(found := node.get("$ref"), str):
            yield found
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


async def fetched(served: Served, path: str, **body: object) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20, base_url=served.url) as client:
        if not body:
            return await client.get(path)
        return await client.post(path, json={"model": "tiny-v1", "messages": [question()], **body})


async def test_the_document_is_whole() -> None:
    with serving(ScriptedEngine(twice)) as served:
        document = (await fetched(served, "/openapi.json")).json()
    shapes = document["components"]["schemas"]
    for reference in references(document):
        assert reference.rpartition("/")[2] in shapes, reference
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ChatRequest")
    assert set(chat["responses"]) == {
        *("200", "400", "401", "404", "408", "413", "415", "422", "429", "500", "502", "503", "504")
    }
    assert set(chat["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert {"adaptive", "max_completion_tokens", "messages", "seed"} <= set(shapes["ChatRequest"]["properties"])
    assert shapes["ImageUrl"]["properties"]["detail"]["description"].startswith("`low`")
    assert "as text" not in json.dumps(document), "our own marks stay with us"


@pytest.mark.parametrize(
    ("engine", "body", "shape"),
    [
        (ScriptedEngine(twice), {"seed": 1}, ChatCompletion),
        (ScriptedEngine(lambda request: "word " * 90), {"seed": 1}, ChatCompletion),
        (ScriptedEngine(lambda request: "<tool_call>{"), {"seed": 1}, ChatCompletion),
        (FullEngine([CALL], num_turns=2), {"seed": 1}, ChatCompletion),
        (ScriptedEngine(twice), {"messages": [{"role": "user", "content": "hello"}]}, ChatCompletion),
        (FullEngine([]), {"seed": 1}, ErrorBody),
        (ScriptedEngine(lambda request: BackendFailed(error="no power")), {"seed": 1}, ErrorBody),
        (ScriptedEngine(twice), {"model": "gpt-4"}, ErrorBody),
        (ScriptedEngine(twice), {"top_k": 3}, ErrorBody),
        (ScriptedEngine(twice), {"messages": 3}, ErrorBody),
    ],
)
async def test_a_response_has_its_shape(engine: Engine, body: dict[str, object], shape: type[BaseModel]) -> None:
    with serving(engine) as served:
        shape.model_validate_json((await fetched(served, "/v1/chat/completions", **body)).content)


@pytest.mark.parametrize("engine", [ScriptedEngine(twice), StreamingEngine(twice)])
async def test_every_event_of_a_stream_has_its_shape(engine: Engine) -> None:
    with serving(engine) as served:
        got = await fetched(served, "/v1/chat/completions", stream=True, stream_options={"include_usage": True})
    events = [line.removeprefix("data: ") for line in got.text.splitlines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]" and len(events) > 4
    for event in events:
        ChatCompletionChunk.model_validate_json(event)
