"""Keys and quotas as clients meet them."""

import asyncio
import hashlib
from pathlib import Path

import httpx
import openai
import pytest
from tests.contract.serving.held import Held, post, until
from tests.contract.serving.served import Served, question, serving, twice

from visionthink.engines import ScriptedEngine
from visionthink.serving import ServingLimits
from visionthink.serving.auth import KeyFile
from visionthink.serving.quota import QuotaRule

KEY = "sk-alice"


def entry(name: str, **fields: int) -> str:
    digest = hashlib.sha256(f"sk-{name}".encode()).hexdigest()
    return "\n".join([f"[{name}]", f'sha256 = ["{digest}"]', *(f"{field} = {fields[field]}" for field in fields), ""])


def keys_in(folder: Path, *entries: str) -> KeyFile:
    file = folder / "keys.toml"
    file.write_text("".join(entries))
    return KeyFile(file, QuotaRule())


def client_of(served: Served, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0, timeout=20)


def test_openais_client_is_let_in_with_its_key_and_refused_without(tmp_path: Path) -> None:
    with serving(ScriptedEngine(twice), keys=keys_in(tmp_path, entry("alice"))) as served:
        with client_of(served, KEY) as client:
            assert client.models.list().data[0].id == "tiny-v1"
            assert client.chat.completions.create(model="tiny-v1", messages=[question()]).choices
        with (
            client_of(served, "sk-mallory") as client,
            pytest.raises(openai.AuthenticationError, match="Authorization: Bearer") as caught,
        ):
            client.chat.completions.create(model="tiny-v1", messages=[question()])
        assert caught.value.code == "invalid_api_key"
        assert caught.value.response.headers["www-authenticate"] == "Bearer"
        assert "x-request-id" in caught.value.response.headers
        assert served.count("visionthink_serve_rejections_total", reason="invalid_api_key") == 1
        assert served.count("visionthink_serve_key_requests_total", key="alice") == 1


@pytest.mark.parametrize(
    ("path", "want"),
    [
        *(("/v1/models", 401), ("/v1/models/tiny-v1", 401), ("/v1/nothing", 401)),
        *(("/v2/health/live", 200), ("/v2/health/ready", 200), ("/v2/models/tiny-v1/ready", 200)),
        *(("/metrics", 200), ("/healthz", 200), ("/openapi.json", 200)),
    ],
)
async def test_a_key_is_needed_for_questions_and_not_for_probes(tmp_path: Path, path: str, want: int) -> None:
    with serving(ScriptedEngine(twice), keys=keys_in(tmp_path, entry("alice"))) as served:
        async with httpx.AsyncClient(base_url=served.url, timeout=20) as client:
            assert (await client.get(path)).status_code == want


async def test_a_body_is_not_read_before_the_key(tmp_path: Path) -> None:
    with serving(ScriptedEngine(twice), keys=keys_in(tmp_path, entry("alice"))) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(served.url).port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{")
        assert b" 401 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
        writer.close()


async def test_a_key_has_so_many_requests_in_flight_and_the_others_theirs(tmp_path: Path) -> None:
    engine = Held()
    keys = keys_in(tmp_path, entry("alice", max_in_flight=1), entry("bob"))
    with serving(engine, ServingLimits(), keys=keys) as served:
        async with httpx.AsyncClient(timeout=20) as client:
            first = asyncio.create_task(post(client, served, key=KEY))
            await until(lambda: len(engine.asked) == 1)
            refused = await post(client, served, key=KEY)
            other = asyncio.create_task(post(client, served, key="sk-bob"))
            await until(lambda: len(engine.asked) == 2)
            engine.let_go()
            engine.let_go()
            assert (await first).status_code == (await other).status_code == 200
            again = asyncio.create_task(post(client, served, key=KEY))
            await until(lambda: len(engine.asked) == 3)
            engine.let_go()
            assert (await again).status_code == 200, "what has ended no longer counts"
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["type"]) == (429, "too_many_in_flight", "rate_limit_error")
    assert refused.headers["retry-after"] == "1"


async def test_a_key_has_so_many_requests_a_minute(tmp_path: Path) -> None:
    keys = keys_in(tmp_path, entry("alice", requests_per_minute=2), entry("bob"))
    with serving(ScriptedEngine(lambda request: "hi"), keys=keys) as served:
        async with httpx.AsyncClient(timeout=20) as client:
            got = [await post(client, served, key=KEY, stream=number == 1) for number in range(3)]
            other = await post(client, served, key="sk-bob")
        assert served.count("visionthink_serve_rejections_total", reason="rate_limit_exceeded") == 1
    assert [response.status_code for response in got] == [200, 200, 429]
    assert [response.headers["x-ratelimit-remaining-requests"] for response in got] == ["1", "0", "0"]
    assert got[2].headers["x-ratelimit-limit-requests"] == "2" and 1 <= int(got[2].headers["retry-after"]) <= 30
    assert other.status_code == 200 and "x-ratelimit-limit-requests" not in other.headers


async def test_without_keys_a_quota_holds_for_all_together() -> None:
    with serving(ScriptedEngine(lambda request: "hi"), quota=QuotaRule(requests_per_minute=1)) as served:
        async with httpx.AsyncClient(timeout=20) as client:
            got = [await post(client, served) for _ in range(2)]
    assert [response.status_code for response in got] == [200, 429]


async def test_a_key_that_is_taken_out_no_longer_counts(tmp_path: Path) -> None:
    keys = keys_in(tmp_path, entry("alice"), entry("bob"))
    with serving(ScriptedEngine(lambda request: "hi"), keys=keys) as served:
        async with httpx.AsyncClient(timeout=20) as client:
            assert (await post(client, served, key=KEY)).status_code == 200
            (tmp_path / "keys.toml").write_text(entry("bob"))
            async with asyncio.timeout(20):
                while (await post(client, served, key=KEY)).status_code != 401:
                    await asyncio.sleep(0.05)
            assert (await post(client, served, key="sk-bob")).status_code == 200
