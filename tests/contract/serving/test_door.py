"""What clients really send, at the door: each form is served or refused by name, to OpenAI's client and to raw HTTP."""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import httpx
import openai
import pytest
from tests.contract.serving.served import (
    ANSWER,
    CALL,
    PICTURE,
    Served,
    adaptive,
    ask,
    data_url,
    question,
    serving,
    twice,
)
from tests.fakes.streaming import FullEngine
from tests.unit.engines.conversation import noise

from visionthink.core.episode import FinishReason, ModelReply
from visionthink.core.message import Role
from visionthink.engines import ScriptedEngine
from visionthink.picture import encode_png
from visionthink.serving import ServingLimits

TEXT = base64.b64encode(encode_png(PICTURE)).decode()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(ScriptedEngine(twice)) as server:
        yield server


async def post(served: Served, body: object, **headers: str) -> httpx.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with httpx.AsyncClient(timeout=20) as client:
        return await client.post(f"{served.url}/v1/chat/completions", content=data, headers=headers)


def asking(content: object, **fields: object) -> dict[str, object]:
    return {"model": "tiny-v1", "messages": [{"role": "user", "content": content}], **fields}


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/jpeg;charset=utf-8;base64,{TEXT}",
        f"data:image/png;name=a.png;base64,{TEXT}",
        f'data:image/png;name="a,b.png";base64,{TEXT}',
        f"data:image/jpg;base64,{TEXT}",
        f"DATA:Image/PNG;Base64,{TEXT}",
        "data:image/png;base64," + "\n".join(TEXT[i : i + 76] for i in range(0, len(TEXT), 76)),
        "data:image/png;base64," + TEXT.rstrip("="),
        "data:image/png;base64," + TEXT.replace("+", "-").replace("/", "_"),
        "data:image/png;base64," + quote(TEXT, safe=""),
        f"data:image;base64,{TEXT}",
        f"data:;base64,{TEXT}",
    ],
)
async def test_f15_a_data_url_of_any_form_is_read(served: Served, url: str) -> None:
    got = await ask(served, messages=[question(url)])
    assert got.choices[0].message.content == ANSWER and adaptive(got)["visual_tokens"] == 10


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("data:image/png;base64,a$bc", "base64"),
        ("data:application/pdf;base64,JVBERi0=", "application/pdf"),
        ("data:image/png;base64," + TEXT[:400], "corrupt or truncated"),
        ("data:image/svg+xml;base64,PHN2Zy8+", "no picture"),
        (TEXT[:100], "not fetched"),
        ("http://example.org/cat.png", "not fetched"),
        ("https://127.0.0.1/cat.png", "not fetched"),
        ("file:///etc/passwd", "not fetched"),
    ],
)
async def test_f15_what_is_no_picture_is_a_400_that_names_it(served: Served, url: str, match: str) -> None:
    got = await post(served, asking([{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": url}}]))
    error = got.json()["error"]
    assert (got.status_code, error["param"]) == (400, "messages.0.content.1.image_url")
    assert match in error["message"] and len(error["message"]) < 300


@pytest.mark.parametrize(
    ("detail", "policy", "tokens"),
    [("low", "always_low", 2), ("high", "always_high", 8), ("auto", "auto", 10), (None, "auto", 10)],
)
async def test_f16_detail_says_how_to_look(served: Served, detail: str | None, policy: str, tokens: int) -> None:
    url = {"url": data_url(), "detail": detail}
    got = await post(served, asking([{"type": "image_url", "image_url": url}, {"type": "text", "text": "which ?"}]))
    assert got.status_code == 200
    assert (got.json()["adaptive"]["policy"], got.json()["adaptive"]["visual_tokens"]) == (policy, tokens)


@pytest.mark.parametrize("detail", ["ultra", "LOW", "", 1])
async def test_f16_another_detail_is_a_422_by_name(served: Served, detail: object) -> None:
    url = {"url": data_url(), "detail": detail}
    got = await post(served, asking([{"type": "image_url", "image_url": url}, {"type": "text", "text": "which ?"}]))
    assert (got.status_code, got.json()["error"]["param"]) == (422, "messages.0.content.0.image_url.detail")


@pytest.mark.parametrize("stream", [False, True])
async def test_f18_a_question_too_long_is_a_400_and_asked_once(stream: bool) -> None:
    engine = FullEngine([])
    with serving(engine) as served:
        client = openai.OpenAI(
            base_url=f"{served.url}/v1", api_key="none", timeout=20
        )  # it may try again, and must not
        with client, pytest.raises(openai.BadRequestError, match="5621 prompt tokens") as caught:
            client.chat.completions.create(model="tiny-v1", messages=[question(text="word " * 5000)], stream=stream)
        assert served.count("visionthink_serve_requests_total", outcome="rejected") == 1
        assert served.count("visionthink_serve_rejections_total", reason="context_length_exceeded") == 1
    assert caught.value.code == "context_length_exceeded" and "retry-after" not in caught.value.response.headers
    assert len(engine.requests) == 1


async def test_f18_a_context_that_fills_up_later_is_an_answer_without_one() -> None:
    with serving(FullEngine([CALL], num_turns=2)) as served:
        got = await ask(served)
    assert (got.choices[0].message.content, got.choices[0].finish_reason) == ("", "length")
    assert (adaptive(got)["outcome"], adaptive(got)["answer"], adaptive(got)["turns"]) == ("no_room", None, 1)
    assert "5621" in str(adaptive(got)["error"])


@pytest.mark.parametrize(
    ("content", "param"),
    [
        ([{"type": "image_url", "image_url": data_url()}], "messages.0.content.0.image_url"),
        ([{"type": "input_image", "image_url": data_url()}], "messages.0.content.0.type"),
        ([{"type": "text", "text": "x"}, {"type": "input_text", "text": "x"}], "messages.0.content.1.type"),
        ([{"type": "text", "text": ["x"]}], "messages.0.content.0.text"),
        ([{"type": "image_url", "url": data_url()}], "messages.0.content.0.image_url"),
        ({"type": "text", "text": "x"}, "messages.0.content"),
    ],
)
async def test_f19_a_wrong_part_is_named(served: Served, content: object, param: str) -> None:
    got = await post(served, asking(content))
    error = got.json()["error"]
    assert (got.status_code, error["param"], error["type"]) == (422, param, "invalid_request_error")
    assert error["message"].startswith(f"{param}: ") and len(error["message"]) < 200


@pytest.mark.parametrize(
    "fields",
    [
        {"extra_body": {"top_k": 5}},
        {"extra_body": {"repetition_penalty": 1.2}},
        {"extra_body": {"guided_choice": ["a"]}},
        {"logprobs": True},
        {"logit_bias": {"5": 1}},
        {"response_format": {"type": "json_object"}},
        {"tool_choice": "required"},
        {"presence_penalty": 0.5},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"extra_body": {"frobnicate": 1}},
    ],
)
async def test_a_field_without_a_place_is_refused_by_name(served: Served, fields: dict[str, object]) -> None:
    extra = fields.get("extra_body", fields)
    assert isinstance(extra, dict)
    (name,) = extra
    with pytest.raises(openai.BadRequestError, match=f"{name} is not supported") as caught:
        await ask(served, **fields)
    assert (caught.value.param, caught.value.code) == (name, "unsupported_parameter")


@pytest.mark.parametrize(
    ("temperature", "want"), [(1e-40, True), (5e-324, True), (9.9e-5, True), (0, True), (1e-4, False), (0.7, False)]
)
async def test_a_temperature_near_zero_is_greedy(temperature: float, want: bool) -> None:
    engine = ScriptedEngine(twice)
    with serving(engine) as served:
        await ask(served, temperature=temperature)
    assert {request.sampling.is_greedy for request in engine.requests} == {want}


def counted(text: str, tokens: int) -> ModelReply:
    return ModelReply(text=text, finish_reason=FinishReason.STOP, num_prompt_tokens=10, num_reply_tokens=tokens)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_max_tokens_bounds_the_whole_answer(name: str) -> None:
    engine = ScriptedEngine([counted(CALL, 12), counted(ANSWER, 5)])
    with serving(engine) as served:
        got = await ask(served, **{name: 20})
    assert [request.sampling.max_tokens for request in engine.requests] == [20, 8]
    assert got.usage is not None and got.usage.completion_tokens == 17


async def test_a_bound_that_is_used_up_ends_the_answer() -> None:
    engine = ScriptedEngine([counted(CALL, 20), counted(ANSWER, 5)])
    with serving(engine) as served:
        got = await ask(served, max_tokens=20)
    assert len(engine.requests) == 1
    assert (got.choices[0].message.content, got.choices[0].finish_reason) == ("", "length")


@pytest.mark.parametrize(("max_turns", "want"), [(1, 2), (2, 3), (4, 5), (None, 3)])
async def test_a_request_bounds_its_turns(max_turns: int | None, want: int) -> None:
    engine = ScriptedEngine(lambda request: CALL)
    with serving(engine) as served:
        got = await ask(served, extra_body={"adaptive": {"max_turns": max_turns}})
    assert adaptive(got)["turns"] == len(engine.requests) == want


async def test_what_was_said_before_is_kept() -> None:
    engine = ScriptedEngine(lambda request: CALL if len(request.messages) == 4 else ANSWER)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": data_url()}}]},
        {"role": "user", "content": "is it a cat ?"},
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": "which code ?"},
    ]
    with serving(engine) as served:
        got = await ask(served, messages=messages)
    first, second = (request.messages for request in engine.requests)
    assert [(message.role, message.text) for message in first[:3]] == [
        (Role.SYSTEM, "Be brief."),
        (Role.USER, "is it a cat ?"),
        (Role.ASSISTANT, "no"),
    ]
    assert "which code ?" in first[3].text and len(first[3].views) == 1
    assert second[: len(first)] == first, "an engine's prefix cache hits"
    assert adaptive(got)["resized"] is True


@pytest.mark.parametrize("reply", ["<answer>hi</answer>", "hello there", CALL, ""])
async def test_a_question_without_a_picture_is_one_plain_turn(reply: str) -> None:
    engine = ScriptedEngine(lambda request: reply)
    with serving(engine) as served:
        got = await ask(served, messages=[{"role": "user", "content": "hello"}])
        assert served.count("visionthink_serve_decisions_total", decision="no_picture") == 1
    assert got.choices[0].message.content == reply
    (request,) = engine.requests
    assert [message.text for message in request.messages] == ["hello"] and not request.messages[0].views
    assert (adaptive(got)["views"], adaptive(got)["visual_tokens"], adaptive(got)["resized"]) == ([], 0, False)
    assert adaptive(got)["answer"] == {"<answer>hi</answer>": "hi", "hello there": "hello there"}.get(reply)


@pytest.mark.parametrize("messages", [[question()], [{"role": "user", "content": "hello"}]])
async def test_a_reply_that_breaks_off_is_no_answer(messages: list[object]) -> None:
    broken = ModelReply(text="<answer>A", finish_reason=FinishReason.ABORTED)
    with (
        serving(ScriptedEngine(lambda request: broken)) as served,
        pytest.raises(openai.InternalServerError, match="mid-reply") as caught,
    ):
        await ask(served, messages=messages)
    assert caught.value.status_code == 503


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 400, "invalid_json"),
        (b"\xff\xfe", {}, 400, "invalid_json"),
        (b"[" * 100_000, {}, 400, "invalid_json"),
        (b"[]", {}, 422, "invalid_type"),
        (gzip.compress(b"{}"), {"content-encoding": "gzip"}, 415, "unsupported_encoding"),
        (b'{"model": "tiny-v1", "messages": [{"role": "user", "content": "\\ud800"}]}', {}, 400, "invalid_json"),
    ],
)
async def test_any_body_gets_an_openai_error(
    served: Served, body: bytes, headers: Mapping[str, str], status: int, code: str
) -> None:
    got = await post(served, body, **headers)
    assert got.status_code == status
    assert set(got.json()["error"]) == {"message", "type", "param", "code"} and got.json()["error"]["code"] == code


async def test_a_large_picture_is_refused_before_it_is_decoded() -> None:
    limits = ServingLimits(max_picture_pixels=64 * 64, max_tokens=64)
    picture = {"type": "image_url", "image_url": {"url": data_url(noise(65, 64))}}
    with serving(ScriptedEngine(twice), limits) as served:
        got = await post(served, asking([picture, {"type": "text", "text": "x"}]))
    assert (got.status_code, got.json()["error"]["code"]) == (413, "picture_too_large")
    assert got.json()["error"]["param"] == "messages.0.content.0.image_url"


async def test_the_servers_policy_holds_for_requests_that_name_none() -> None:
    with serving(ScriptedEngine(twice), policy="always_low") as served:
        assert adaptive(await ask(served))["policy"] == "always_low"
        assert adaptive(await ask(served, extra_body={"adaptive": {"policy": "auto"}}))["policy"] == "auto"
        high = {"type": "image_url", "image_url": {"url": data_url(), "detail": "high"}}
        got = await post(served, asking([high, {"type": "text", "text": "x"}]))
    assert got.json()["adaptive"]["policy"] == "always_high"
