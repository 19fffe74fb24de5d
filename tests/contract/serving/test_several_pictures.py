"""Requests with several pictures, through OpenAI's own client: each picture has its views."""

from collections.abc import Sequence
from typing import Any

import openai
import pytest
from tests.contract.serving.served import (
    ANSWER,
    CALL,
    PICTURE,
    adaptive,
    ask,
    chunks,
    data_url,
    question,
    serving,
)
from tests.unit.engines.conversation import RULE, noise
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.core.episode import EpisodeSpec
from visionthink.core.geometry import Size
from visionthink.core.message import Message, Role, TextPart
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ResizeImage, ToolBox
from visionthink.engines import Request, Sampling, ScriptedEngine, ScriptLine
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.driver import run_episode
from visionthink.serving import ServingLimits

OTHER = noise(84, 112, seed=1)
QUARTERS, FULLS = [(56, 28, 0), (56, 56, 1)], [(112, 56, 0), (84, 112, 1)]


def image(picture: Any = PICTURE, **detail: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": data_url(picture), **detail}}


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def said(*parts: dict[str, object], role: str = "user") -> dict[str, object]:
    return {"role": role, "content": list(parts)}


TWO = [said(image(), image(OTHER), text("which is larger ?"))]


def closer(request: Request) -> ScriptLine:
    """Looks closer once, if it may."""
    has_asked = any(message.role is Role.ASSISTANT for message in request.messages)
    return CALL if "more pixels" in request.messages[0].text and not has_asked else ANSWER


def shown(views: object) -> list[tuple[int, int, int]]:
    assert isinstance(views, list)
    return [(view["width"], view["height"], view.get("picture", 0)) for view in views]


def read(message: Message) -> str:
    return "".join(part.text if isinstance(part, TextPart) else f"[{part.view.picture}]" for part in message.parts)


@pytest.mark.parametrize(
    ("policy", "want"),
    [("auto", [*QUARTERS, *FULLS]), ("always_low", QUARTERS), ("always_high", FULLS)],
)
async def test_each_picture_has_its_views(policy: str, want: list[tuple[int, int, int]]) -> None:
    engine = ScriptedEngine(closer)
    with serving(engine) as served:
        got = await ask(served, messages=TWO, extra_body={"adaptive": {"policy": policy}})
        full = served.count("visionthink_serve_full_visual_tokens_total")
    told = adaptive(got)
    assert got.choices[0].message.content == ANSWER
    assert shown(told["views"]) == want
    assert told["visual_tokens"] == sum(width * height // 28**2 for width, height, _ in want)
    assert full == sum(width * height // 28**2 for width, height, _ in FULLS)
    assert [picture.tobytes() for picture in engine.requests[-1].pictures] == [PICTURE.tobytes(), OTHER.tobytes()]


async def test_the_trace_and_a_stream_tell_what_a_call_was_granted() -> None:
    with serving(ScriptedEngine(closer)) as served:
        first, last = adaptive(await ask(served, messages=TWO))["trace"]  # type: ignore[misc]
        streamed = await chunks(served, messages=TWO)
    assert shown(first["views"]) == FULLS and shown([first["view"]]) == FULLS[:1]  # type: ignore[has-type]
    assert "views" not in last  # type: ignore[has-type]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == ANSWER
    assert shown(adaptive(streamed[-1])["views"]) == [*QUARTERS, *FULLS]


async def test_usage_is_that_of_all_views_in_all_turns() -> None:
    engine = ScriptedEngine(closer)
    with serving(engine) as served:
        usage = (await ask(served, messages=TWO)).usage
    tokens = [sum(view.visual_tokens for one in request.messages for view in one.views) for request in engine.requests]
    words = [sum(len(one.text.split()) for one in request.messages) for request in engine.requests]
    assert usage is not None and usage.prompt_tokens == sum(tokens) + sum(words)


async def test_what_is_served_is_the_drivers_own_episode() -> None:
    engine, driven = ScriptedEngine(closer), ScriptedEngine(closer)
    with serving(engine) as served:
        await ask(served, messages=TWO, temperature=0.7, seed=3)
    spec = EpisodeSpec(
        question="which is larger ?",
        original=Size(width=112, height=56),
        further_originals=(Size(width=84, height=112),),
        protocol=get_protocol("compact-efficient-v1"),
        toolbox=ToolBox([ResizeImage()]),
        rule=RULE,
    )
    sampling = Sampling(seed=3, temperature=0.7, max_tokens=64)
    await run_episode(driven, spec, PICTURE, sampling, further_pictures=(OTHER,))
    assert [(r.messages, r.sampling) for r in engine.requests] == [(r.messages, r.sampling) for r in driven.requests]


@pytest.mark.parametrize(
    ("messages", "want"),
    [
        pytest.param([said(text("is"), image(), text("like"), image(OTHER))], ["[0][1]is\n\nlike"], id="one message"),
        pytest.param(
            [said(image(), text("what ?")), said(text("red"), role="assistant"), said(image(OTHER), text("and now ?"))],
            ["what ?", "red", "[0][1]and now ?"],
            id="over turns",
        ),
    ],
)
async def test_all_pictures_are_shown_with_the_question(messages: Sequence[object], want: list[str]) -> None:
    engine = ScriptedEngine([ANSWER])
    with serving(engine) as served:
        await ask(served, messages=messages, extra_body={"adaptive": {"policy": "always_low"}})
    assert [read(message) for message in engine.requests[0].messages] == want


@pytest.mark.parametrize(
    ("messages", "match", "param"),
    [
        ([said(*[image()] * 5, text("?"))], "holds 5 pictures, and 4 at most", "messages.0.content.4.image_url"),
        ([said(image(detail="low"), image(detail="high"), text("?"))], "same detail with each", "messages"),
        ([said(image(), image(), text("is <image> red ?"))], "1 <image> markers, but is about 2", "messages"),
        ([said(image(), image(noise(1500, 4)), text("?"))], "longer than 200 times", "messages"),
    ],
)
async def test_what_cannot_be_looked_at_is_refused(messages: Sequence[object], match: str, param: str) -> None:
    with serving(ScriptedEngine([])) as served:
        with pytest.raises(openai.BadRequestError, match=match) as caught:
            await ask(served, messages=messages)
        assert served.count("visionthink_serve_held_bytes") == 0
    assert caught.value.param == param


async def test_the_picture_that_is_none_is_named() -> None:
    none: dict[str, object] = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with serving(ScriptedEngine([])) as served, pytest.raises(openai.BadRequestError) as caught:
        await ask(served, messages=[said(image(), none, text("?"))])
    assert caught.value.param == "messages.0.content.1.image_url"


async def test_pictures_together_are_held_against_the_bound() -> None:
    limits = ServingLimits(max_held_bytes=2**16 + 112 * 56 * 4 + 1000)
    with serving(ScriptedEngine(lambda _: ANSWER), limits) as served:
        assert (await ask(served)).choices[0].message.content == ANSWER
        with pytest.raises(openai.APIStatusError) as caught:
            await ask(served, messages=[said(image(), image(), image(), text("?"))])
    assert caught.value.status_code == 429


async def test_a_real_model_looks_at_each_of_them() -> None:
    engine = TransformersEngine(tiny_model(), tiny_processor())
    with serving(engine, ServingLimits(max_tokens=12)) as served:
        got = await ask(served, messages=TWO)
        one = await ask(served, messages=[question(text="which is larger ?")])
    told = adaptive(got)
    assert shown(told["views"])[:2] == QUARTERS
    assert got.usage is not None and one.usage is not None
    assert got.usage.prompt_tokens > one.usage.prompt_tokens
