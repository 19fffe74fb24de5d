"""What KServe's and Kubernetes' probes, and Prometheus, are told."""

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.contract.serving.held import post
from tests.contract.serving.served import ask, chunks, serving, twice
from tests.fakes.streaming import StreamingEngine

from visionthink import metrics
from visionthink.engines import ScriptedEngine
from visionthink.errors import EngineError
from visionthink.serving.drain import Drain
from visionthink.serving.readiness import Readiness


class Counting(ScriptedEngine):
    """Counts how often it is asked whether it is ready."""

    def __init__(self, is_up: bool = True) -> None:
        super().__init__(twice)
        self.is_up = is_up
        self.num_asked = 0
        self.breaks = False

    async def is_ready(self) -> bool:
        self.num_asked += 1
        await asyncio.sleep(0)
        if self.breaks:
            raise EngineError("gone", retryable=True)
        return self.is_up


@pytest.mark.parametrize(
    ("path", "status", "want"),
    [
        ("/v2", 200, {"name": "visionthink", "extensions": []}),
        ("/v2/models/tiny-v1", 200, {"name": "tiny-v1", "platform": "visionthink", "inputs": [], "outputs": []}),
        ("/v2/models/tiny-v1/ready", 200, {"name": "tiny-v1", "ready": True}),
        ("/v2/health/ready", 200, {"ready": True}),
        ("/v2/health/live", 200, {"live": True}),
    ],
)
async def test_the_open_inference_protocols_probes_are_answered(
    path: str, status: int, want: dict[str, object]
) -> None:
    with serving(ScriptedEngine(twice)) as served:
        async with httpx.AsyncClient(base_url=served.url, timeout=20) as client:
            got = await client.get(path)
    assert got.status_code == status and want.items() <= got.json().items()


@pytest.mark.parametrize("path", ["/v2/models/other", "/v2/models/other/ready", "/v2/models/a/b/ready"])
async def test_another_model_is_a_404(path: str) -> None:
    with serving(ScriptedEngine(twice)) as served:
        async with httpx.AsyncClient(base_url=served.url, timeout=20) as client:
            got = await client.get(path)
    assert got.status_code == 404 and got.json()["error"]["code"] == "model_not_found"


async def test_probes_at_once_cost_one_question() -> None:
    engine = Counting()
    now_s = 0.0
    readiness = Readiness(engine, Drain(), max_age_s=1.5, clock=lambda: now_s)
    assert all(await asyncio.gather(*(readiness.is_ready() for _ in range(50))))
    assert engine.num_asked == 1
    engine.is_up = False
    now_s = 1.0
    assert await readiness.is_ready() and engine.num_asked == 1, "told from memory"
    now_s = 2.0
    assert not await readiness.is_ready() and engine.num_asked == 2


async def test_an_engine_that_fails_is_not_ready() -> None:
    engine = Counting()
    engine.breaks = True
    assert not await Readiness(engine, Drain()).is_ready()


async def test_a_server_that_ends_is_not_ready_whatever_was_remembered() -> None:
    drain = Drain()
    readiness = Readiness(Counting(), drain)
    assert await readiness.is_ready()
    drain.begin()
    assert not await readiness.is_ready()


async def test_every_number_of_a_scrape_is_in_the_list_of_names() -> None:
    with serving(StreamingEngine(twice)) as served:
        await ask(served)
        await chunks(served)
        async with httpx.AsyncClient(timeout=20) as client:
            assert (await post(client, served, n=0)).status_code >= 400
            text = (await client.get(f"{served.url}/metrics")).text
    told = {
        family.name: {label for sample in family.samples for label in sample.labels}
        for family in text_string_to_metric_families(text)
        if not family.name.endswith("_created")  # prometheus_client's own, beside each counter and histogram
    }
    known = {m.prometheus.removesuffix("_total"): set(m.labels) for m in metrics.METRICS}
    assert told.keys() == {name for name in known if name.startswith("visionthink_serve")}
    for name, labels in told.items():
        assert labels <= known[name] | {"le"}, name


async def test_the_first_byte_and_the_first_word_are_timed() -> None:
    with serving(StreamingEngine(twice)) as served:
        await ask(served)
        await chunks(served)
        assert served.count("visionthink_serve_first_byte_seconds_count") == 2
        assert served.count("visionthink_serve_first_word_seconds_count") == 1


async def test_the_event_loops_tasks_are_counted_where_they_run() -> None:
    with serving(ScriptedEngine(twice)) as served:
        async with httpx.AsyncClient(timeout=20) as client:
            text = (await client.get(f"{served.url}/metrics")).text
    (line,) = (line for line in text.splitlines() if line.startswith("visionthink_serve_num_tasks"))
    assert 1 <= float(line.split()[1]) < 20
