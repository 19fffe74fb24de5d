"""Whatever is sent, the answer is a completion or an error that says what to change: never a 5xx, never a hang."""

import base64
import io
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.serving.mutation import KINDS, WHOLE, broken, mutated
from tests.contract.serving.served import app_of, question, twice
from tests.unit.engines.conversation import noise

from visionthink.engines import ScriptedEngine
from visionthink.serving.schema import ChatCompletion, ErrorBody

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")  # it says so of broken files


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = app_of(ScriptedEngine(twice))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app", timeout=20) as found,
    ):
        yield found


async def check(sending: httpx.AsyncClient, body: bytes) -> int:
    got = await sending.post("/v1/chat/completions", content=body)
    assert got.status_code < 500, (body[:2000], got.text)
    if got.status_code != 200:
        ErrorBody.model_validate_json(got.content)
        assert len(got.json()["error"]["message"]) < 600
    elif got.headers["content-type"] == "application/json":
        ChatCompletion.model_validate_json(got.content)
    return got.status_code


@given(seed=st.integers(0, 2**32))
async def test_a_mutated_request_is_answered_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    async with client() as sending:
        await check(sending, json.dumps(mutated(WHOLE, chance)).encode())
        await check(sending, broken(json.dumps(WHOLE).encode(), chance))


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(KINDS))
async def test_a_mutated_picture_is_answered_or_refused(seed: int, kind: str) -> None:
    chance = random.Random(seed)
    file = io.BytesIO()
    noise(30, 20).save(file, format=kind)
    url = "data:;base64," + base64.b64encode(broken(file.getvalue(), chance)).decode()
    async with client() as sending:
        await check(sending, json.dumps({"model": "tiny-v1", "messages": [question(url)]}).encode())


async def test_what_is_mutated_is_answered_when_it_is_left_as_it_is() -> None:
    async with client() as sending:
        assert await check(sending, json.dumps(WHOLE).encode()) == 200
