"""What a chat request may hold, and how each refusal reads."""

import io
import json
from collections.abc import Mapping

import pytest
from tests.unit.engines.conversation import noise

from visionthink.serving.api_error import ApiError
from visionthink.serving.chat_request import ChatRequest, parse_chat_request
from visionthink.serving.question import decoded, picture_bytes, question_text

TEXT = {"type": "text", "text": "what color ?"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}


def body(*content: object, **fields: object) -> bytes:
    messages = [{"role": "user", "content": list(content) or [PICTURE, TEXT]}]
    return json.dumps({"model": "m", "messages": messages, **fields}).encode()


def parsed(*content: object, **fields: object) -> ChatRequest:
    return parse_chat_request(body(*content, **fields))


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    noise(width, height).save(file, format="PNG")
    return file.getvalue()


def test_a_request_is_read() -> None:
    request = parsed(
        temperature=0.5, top_p=0.9, max_tokens=7, seed=3, stream=True, stream_options={"include_usage": True}
    )
    assert (request.temperature, request.top_p, request.max_reply_tokens, request.seed) == (0.5, 0.9, 7, 3)
    assert request.stream and request.wants_usage_chunk and request.adaptive.policy == "auto"
    assert parsed(max_tokens=7, max_completion_tokens=9).max_reply_tokens == 9
    assert parsed(adaptive={"policy": "always_low"}).adaptive.policy == "always_low"


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1},
        {"stop": None},
        {"tools": []},
        {"tool_choice": "none"},
        {"response_format": {"type": "text"}},
        {"presence_penalty": 0.0},
        {"user": "me", "metadata": {"a": "b"}, "store": True},
    ],
)
def test_fields_that_change_nothing_are_let_pass(fields: Mapping[str, object]) -> None:
    assert parsed(**fields).model == "m"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"stop": "END"}, "stop"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ],
)
def test_fields_that_cannot_be_honoured_are_refused(fields: Mapping[str, object], param: str) -> None:
    with pytest.raises(ApiError, match=f"{param} is not supported") as caught:
        parsed(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": None}, "model"),
        ({"adaptive": {"policy": "sometimes"}}, "adaptive.policy"),
        ({"adaptive": {"policyy": "auto"}}, "adaptive.policyy"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages.0.content"),
    ],
)
def test_a_wrong_shape_is_a_422_that_names_the_place(fields: Mapping[str, object], where: str) -> None:
    with pytest.raises(ApiError) as caught:
        parsed(**fields)
    assert caught.value.status == 422 and str(caught.value.param).startswith(where)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"no"])
def test_bytes_that_are_no_json_are_a_400(data: bytes) -> None:
    with pytest.raises(ApiError, match="no JSON") as caught:
        parse_chat_request(data)
    assert caught.value.status == 400


def test_the_question_is_all_the_text() -> None:
    assert question_text(parsed(TEXT, PICTURE, {"type": "text", "text": "say it "})) == "what color ?\nsay it"
    assert picture_bytes(parsed(TEXT, PICTURE)) == b"hello"


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        ([{"role": "user", "content": "hello"}], "0 pictures"),
        ([{"role": "user", "content": [TEXT]}], "0 pictures"),
        ([{"role": "user", "content": [TEXT, PICTURE, PICTURE]}], "2 pictures"),
        ([{"role": "system", "content": "x"}, {"role": "user", "content": [TEXT, PICTURE]}], "'system', 'user'"),
        ([{"role": "assistant", "content": "x"}], "'assistant'"),
        ([{"role": "user", "content": [PICTURE]}], "no question"),
        ([{"role": "user", "content": None}], "no question"),
        ([{"role": "user", "content": [PICTURE, {"type": "text", "text": "<|im_end|>"}]}], r"<\|im_end\|>"),
        ([{"role": "user", "content": [TEXT, {**PICTURE, "image_url": {"url": "http://a/b.png"}}]}], "not fetched"),
        ([{"role": "user", "content": [TEXT, {**PICTURE, "image_url": {"url": "file:///etc/x"}}]}], "not fetched"),
        (
            [{"role": "user", "content": [TEXT, {**PICTURE, "image_url": {"url": "data:image/png;base64,a$"}}]}],
            "base64 is broken",
        ),
        (
            [{"role": "user", "content": [TEXT, {**PICTURE, "image_url": {"url": "data:image/png;base64,é"}}]}],
            "base64 is broken",
        ),
    ],
)
def test_a_request_that_is_no_question_about_one_picture_is_a_400(messages: object, match: str) -> None:
    request = parsed(messages=messages)
    with pytest.raises(ApiError, match=match) as caught:
        question_text(request), picture_bytes(request)
    assert (caught.value.status, caught.value.param) == (400, "messages")


def test_a_picture_is_decoded_up_to_the_limit() -> None:
    assert decoded(png(30, 20), max_pixels=600).size == (30, 20)
    with pytest.raises(ApiError, match="30 x 20 pixels, more than 599") as caught:
        decoded(png(30, 20), max_pixels=599)
    assert caught.value.status == 413


@pytest.mark.parametrize("data", [b"", b"hello", png(30, 20)[:900]], ids=["empty", "no picture", "cut off"])
def test_a_broken_picture_is_a_400(data: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        decoded(data, max_pixels=10**6)
    assert (caught.value.status, caught.value.code) == (400, "invalid_image")
