"""The first-look shortcut as a client sees it: asked for by the server's settings or by the request."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from prometheus_client import CollectorRegistry
from tests.contract.serving.served import ANSWER, Served, adaptive, ask, chunks, question, twice
from tests.unit.engines.conversation import RULE

from visionthink.config import RunConfig, override_config
from visionthink.core import CallForecast, FirstLookRule
from visionthink.core.first_look import FirstLookMode
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ResizeImage, ToolBox
from visionthink.engines import ScriptedEngine
from visionthink.errors import DataError
from visionthink.serving import ServingLimits, background_server, create_app
from visionthink.serving.opening import open_app

READS = FirstLookRule(forecast=CallForecast(bias=0.0, weights={"code": 20.0, "color": -20.0}))
COLOR = [question(text="which color is it ?")]


@contextmanager
def serving(
    mode: FirstLookMode = "off", rule: FirstLookRule = READS, engine: ScriptedEngine | None = None
) -> Iterator[Served]:
    registry = CollectorRegistry()
    app = create_app(
        engine or ScriptedEngine(twice),
        model_name="tiny-v1",
        protocol=get_protocol("compact-efficient-v1"),
        direct_protocol=get_protocol("compact-general-v1"),
        rule=RULE,
        toolbox=ToolBox([ResizeImage()]),
        first_look=rule,
        first_look_mode=mode,
        limits=ServingLimits(max_tokens=64),
        registry=registry,
    )
    with background_server(app) as url:
        yield Served(url, registry, app)


async def test_a_likely_call_is_saved_and_told() -> None:
    with serving("auto") as served:
        got = await ask(served)
    told = adaptive(got)
    assert got.choices[0].message.content == ANSWER
    assert (told["policy"], told["turns"], told["resized"], told["visual_tokens"]) == ("auto", 1, False, 8)
    first_look = told["first_look"]
    assert isinstance(first_look, dict)
    assert first_look["shortcut"] is True and first_look["threshold"] == pytest.approx(0.75)
    assert served.count("visionthink_serve_decisions_total", decision="shortcut") == 1
    assert served.count("visionthink_serve_look_seconds_count", look="full") == 1


async def test_an_unlikely_call_is_left_to_the_model() -> None:
    with serving("auto") as served:
        told = adaptive(await ask(served, messages=COLOR))
    assert told["turns"] == 2
    assert isinstance(told["first_look"], dict) and told["first_look"]["shortcut"] is False
    assert served.count("visionthink_serve_decisions_total", decision="closer") == 1
    assert served.count("visionthink_serve_look_seconds_count", look="first") == 1
    assert served.count("visionthink_serve_look_seconds_count", look="further") == 1


@pytest.mark.parametrize(
    ("mode", "asked", "shortcut"),
    [("off", "auto", True), ("off", "full", True), ("auto", "off", False), ("full", None, True), ("off", None, False)],
)
async def test_a_request_has_the_last_word(mode: FirstLookMode, asked: str | None, shortcut: bool) -> None:
    body = {} if asked is None else {"extra_body": {"adaptive": {"first_look": asked}}}
    with serving(mode) as served:
        told = adaptive(await ask(served, **body))
    assert told["turns"] == (1 if shortcut else 2)
    assert (told["first_look"] is not None) is shortcut


async def test_a_model_without_a_forecast_is_served_as_before() -> None:
    with serving("auto", FirstLookRule()) as served:
        told = adaptive(await ask(served))
    assert (told["turns"], told["first_look"]) == (2, None)


async def test_a_shortcut_is_the_full_view_of_always_high() -> None:
    short, fixed = ScriptedEngine(twice), ScriptedEngine(twice)
    with serving("auto", engine=short) as served:
        await ask(served)
    with serving(engine=fixed) as served:
        await ask(served, extra_body={"adaptive": {"policy": "always_high"}})
    assert [request.messages for request in short.requests] == [request.messages for request in fixed.requests]


async def test_a_stream_tells_the_shortcut_too() -> None:
    with serving("auto") as served:
        got = await chunks(served)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in got) == ANSWER
    first_look = adaptive(got[-1])["first_look"]
    assert isinstance(first_look, dict) and first_look["shortcut"] is True


@pytest.mark.parametrize("asked", ["auto", "full"])
async def test_a_fixed_view_leaves_no_first_look_open(asked: str) -> None:
    with serving() as served:
        with pytest.raises(openai.BadRequestError, match="the policy 'always_low' fixes the view") as caught:
            await ask(served, extra_body={"adaptive": {"policy": "always_low", "first_look": asked}})
        await ask(served, extra_body={"adaptive": {"policy": "always_low", "first_look": "off"}})
    assert caught.value.param == "adaptive.first_look"


async def test_a_model_brings_its_forecast_along(tmp_path: Path) -> None:
    assert READS.forecast is not None
    (tmp_path / "first_look.json").write_text(json.dumps(READS.forecast.to_dict()))
    config = override_config(RunConfig(), {"first_look.mode": "auto", "serve.model_name": "tiny-v1"})
    app = open_app(tmp_path, config, lambda uri, folder: ScriptedEngine(twice))
    with background_server(app) as url:
        told = adaptive(await ask(Served(url, CollectorRegistry(), app)))
    assert isinstance(told["first_look"], dict) and told["first_look"]["shortcut"] is True
    (tmp_path / "first_look.json").write_text("{")
    with pytest.raises(DataError, match="take a whole copy of the model"):
        open_app(tmp_path, config, lambda uri, folder: ScriptedEngine(twice))
