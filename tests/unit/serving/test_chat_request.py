"""What a chat request may hold, and how each refusal reads."""

import json
from collections.abc import Mapping

import pytest

from visionthink.engines import AnswerForm
from visionthink.serving.api_error import ApiError
from visionthink.serving.chat_request import ChatRequest, ImageUrl, asked_policy, parse_chat_request

TEXT = {"type": "text", "text": "what color ?"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}


def body(*content: object, **fields: object) -> bytes:
    messages = [{"role": "user", "content": list(content) or [PICTURE, TEXT]}]
    return json.dumps({"model": "m", "messages": messages, **fields}).encode()


def parsed(*content: object, **fields: object) -> ChatRequest:
    return parse_chat_request(body(*content, **fields))


def test_a_request_is_read() -> None:
    request = parsed(
        temperature=0.5, top_p=0.9, max_tokens=7, seed=3, stream=True, stream_options={"include_usage": True}
    )
    assert (request.temperature, request.top_p, request.max_answer_tokens, request.seed) == (0.5, 0.9, 7, 3)
    assert request.stream and request.wants_usage_chunk and request.options.policy is None
    assert parsed(adaptive={"policy": "always_low", "max_turns": 3}).options.max_turns == 3


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        ({}, None),
        ({"max_tokens": None, "max_completion_tokens": 9}, 9),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 7),
        ({"max_tokens": 9, "max_completion_tokens": 7}, 7),
    ],
)
def test_both_bounds_of_the_answer_bind(fields: Mapping[str, object], want: int | None) -> None:
    assert parsed(**fields).max_answer_tokens == want


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1},
        {"n": None},
        {"stop": None},
        {"tools": []},
        {"tool_choice": "none"},
        {"parallel_tool_calls": False},
        {"response_format": {"type": "text"}},
        {"presence_penalty": 0.0, "frequency_penalty": 0, "repetition_penalty": 1.0},
        {"top_k": -1, "min_p": 0.0, "logit_bias": {}, "logprobs": False},
        {"user": "me", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "safety_identifier": "x"},
        {"guided_json": None, "never_heard_of": None},
        {"stream_options": {"include_usage": True, "include_obfuscation": False, "continuous_usage_stats": False}},
        {"adaptive": None},
    ],
)
def test_fields_that_change_nothing_are_let_pass(fields: Mapping[str, object]) -> None:
    assert parsed(**fields).model == "m"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"best_of": 3}, "best_of"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"logit_bias": {"5": -100}}, "logit_bias"),
        ({"min_tokens": 3}, "min_tokens"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "chat_template_kwargs"),
        ({"mm_processor_kwargs": {"max_pixels": 1}}, "mm_processor_kwargs"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"never_heard_of": 0}, "never_heard_of"),
        ({"Temperature": 1}, "Temperature"),
        ({"stream_options": {"chunk_size": 3}}, "stream_options.chunk_size"),
        ({"messages": [{"role": "user", "name": "Ann", "content": "x"}]}, "messages.0.name"),
        ({"messages": [{"role": "user", "content": [{**TEXT, "max_pixels": 9}]}]}, "messages.0.content.0.max_pixels"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{}]}, {"role": "user", "content": "x"}]},
            "messages.0.tool_calls",
        ),
        (
            {"messages": [{"role": "user", "content": [{**PICTURE, "image_url": {"url": "x", "size": 4}}]}]},
            "messages.0.content.0.image_url.size",
        ),
    ],
)
def test_fields_that_cannot_be_honoured_are_refused_by_name(fields: Mapping[str, object], param: str) -> None:
    with pytest.raises(ApiError, match=f"{param} is not supported") as caught:
        parsed(**fields)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, "unsupported_parameter")


@pytest.mark.parametrize(
    ("fields", "field", "want"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format", AnswerForm(kind="json_object")),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array"}}}},
            "response_format",
            AnswerForm(kind="json", rule='{"type": "array"}'),
        ),
        (
            {"structured_outputs": {"json": {"type": "array"}}},
            "structured_outputs",
            AnswerForm(kind="json", rule='{"type": "array"}'),
        ),
        ({"guided_json": '{"type": "array"}'}, "guided_json", AnswerForm(kind="json", rule='{"type": "array"}')),
        ({"guided_choice": ["a", "b"]}, "guided_choice", AnswerForm(kind="choice", rule='["a", "b"]')),
        ({"structured_outputs": {"regex": ".*"}}, "structured_outputs", AnswerForm(kind="regex", rule=".*")),
        ({"guided_grammar": "root ::= x"}, "guided_grammar", AnswerForm(kind="grammar", rule="root ::= x")),
    ],
)
def test_every_way_to_say_what_an_answer_looks_like_is_read(
    fields: Mapping[str, object], field: str, want: AnswerForm
) -> None:
    assert parsed(**fields).form() == (field, want)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"guided_regex": "a", "response_format": {"type": "json_object"}}, "guided_regex"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"guided_json": "{"}, "guided_json"),
        ({"guided_json": "3"}, "guided_json"),
    ],
)
def test_a_form_that_is_none_is_a_400(fields: Mapping[str, object], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        parsed(**fields).form()
    assert (caught.value.status, caught.value.param) == (400, param)


def test_alternatives_without_log_probabilities_are_refused() -> None:
    with pytest.raises(ApiError, match="send logprobs: true"):
        parsed(top_logprobs=3)
    assert parsed(top_logprobs=3, logprobs=True).num_top_log_probs == 3
    assert parsed(top_logprobs=0).num_top_log_probs is None


@pytest.mark.parametrize(("stop", "want"), [(None, ()), ([], ()), ("END", ("END",)), (["END", "\n"], ("END", "\n"))])
def test_stops_are_a_text_or_a_list(stop: object, want: tuple[str, ...]) -> None:
    assert parsed(stop=stop).stops == want


def test_a_message_as_clients_hand_it_back_is_let_pass() -> None:
    back: dict[str, object] = {
        "role": "assistant",
        "content": "a",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "tool_calls": None,
    }
    assert len(parsed(messages=[{"role": "user", "content": "x"}, back]).messages) == 2
    assert parsed({**TEXT, "cache_control": {"type": "ephemeral"}}).messages


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages.0"),
        ({"messages": [{"content": "hello"}]}, "messages.0.role"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "0.5"}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"stop": 3}, "stop"),
        ({"stop": ["a", 3]}, "stop.1"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"n": 99}, "n"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"structured_outputs": {"xml": 1}}, "structured_outputs.xml"),
        ({"temperature": -1e-9}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 7.5}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"seed": "7"}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"model": None}, "model"),
        ({"adaptive": {"policy": "sometimes"}}, "adaptive.policy"),
        ({"adaptive": {"policyy": "auto"}}, "adaptive.policyy"),
        ({"adaptive": {"max_turns": 0}}, "adaptive.max_turns"),
        ({"adaptive": "auto"}, "adaptive"),
    ],
)
def test_a_wrong_shape_is_a_422_that_names_the_place(fields: Mapping[str, object], where: str) -> None:
    with pytest.raises(ApiError) as caught:
        parsed(**fields)
    assert (caught.value.status, caught.value.param, caught.value.code) == (422, where, "invalid_type")


@pytest.mark.parametrize(
    ("content", "where", "match"),
    [
        ([{"type": "image_url", "image_url": "data:image/png;base64,aGk="}, TEXT], "0.image_url", '"url"'),
        ([{"type": "input_image", "image_url": "data:image/png;base64,aGk="}], "0.type", "'input_image'"),
        ([TEXT, {"type": "input_text", "text": "x"}], "1.type", "'input_text'"),
        ([TEXT, {"type": "image", "image": "x"}], "1.type", "'image'"),
        ([{"type": "audio"}], "0.type", "'audio'"),
        ([{"type": ["text"], "text": "x"}], "0.type", "text"),
        ([{"text": "x"}], "0.type", "None"),
        ([{"type": "x" * 10_000}], "0.type", "xxx"),
        (["hello"], "0", "a part is an object"),
        ([TEXT, None], "1", "a part is an object"),
        ([{"type": "text"}], "0.text", "required"),
        ([{"type": "text", "text": 5}], "0.text", "string"),
        ([{"type": "image_url"}], "0.image_url", "required"),
        ([{"type": "image_url", "image_url": None}], "0.image_url", '"url"'),
        ([{"type": "image_url", "image_url": {}}], "0.image_url.url", "required"),
        ([{"type": "image_url", "image_url": {"url": 5}}], "0.image_url.url", "string"),
        ([{"type": "image_url", "image_url": {"url": "x", "detail": "ultra"}}], "0.image_url.detail", "'high'"),
        ([{"type": "image_url", "image_url": {"url": "x", "detail": "LOW"}}], "0.image_url.detail", "'low'"),
        (5, None, "a text or a list of parts"),
        ({"type": "text", "text": "x"}, None, "a text or a list of parts"),
    ],
)
def test_a_wrong_part_is_named(content: object, where: str | None, match: str) -> None:
    with pytest.raises(ApiError, match=match) as caught:
        parsed(messages=[{"role": "user", "content": content}])
    want = "messages.0.content" if where is None else f"messages.0.content.{where}"
    assert (caught.value.status, caught.value.param) == (422, want)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"no", b"[" * 100_000, b'{"model": "\\ud800"}'])
def test_bytes_that_are_no_json_are_a_400(data: bytes) -> None:
    with pytest.raises(ApiError, match="no JSON") as caught:
        parse_chat_request(data)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("detail", "policy", "want"),
    [
        (None, None, None),
        ("low", None, "always_low"),
        ("high", None, "always_high"),
        ("auto", None, "auto"),
        (None, "always_low", "always_low"),
        ("auto", "always_high", "always_high"),
        ("low", "always_low", "always_low"),
    ],
)
def test_detail_says_how_to_look(detail: str | None, policy: str | None, want: str | None) -> None:
    picture = ImageUrl.model_validate({"url": "x", "detail": detail})
    assert asked_policy(parsed(adaptive={"policy": policy}), [picture]) == want


@pytest.mark.parametrize(
    ("details", "want"),
    [
        (("low", "low"), "always_low"),
        (("high", "high", "high"), "always_high"),
        ((None, "auto"), "auto"),
        ((None, None), None),
    ],
)
def test_pictures_of_one_detail_are_looked_at_so(details: tuple[str | None, ...], want: str | None) -> None:
    pictures = [ImageUrl.model_validate({"url": "x", "detail": detail}) for detail in details]
    assert asked_policy(parsed(), pictures) == want


@pytest.mark.parametrize("details", [("low", "high"), ("low", None), ("auto", "auto", "high")])
def test_pictures_that_differ_in_their_detail_are_refused(details: tuple[str | None, ...]) -> None:
    pictures = [ImageUrl.model_validate({"url": "x", "detail": detail}) for detail in details]
    with pytest.raises(ApiError, match="same detail") as caught:
        asked_policy(parsed(), pictures)
    assert (caught.value.status, caught.value.param) == (400, "messages")


@pytest.mark.parametrize(("detail", "policy"), [("low", "auto"), ("high", "always_low"), ("low", "always_high")])
def test_detail_and_policy_that_contradict_each_other_are_refused(detail: str, policy: str) -> None:
    picture = ImageUrl.model_validate({"url": "x", "detail": detail})
    with pytest.raises(ApiError, match="one of the two") as caught:
        asked_policy(parsed(adaptive={"policy": policy}), [picture])
    assert (caught.value.status, caught.value.param) == (400, "adaptive.policy")
