import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from safetensors.torch import save
from tests.unit.engines.conversation import noise, user, view
from tests.unit.engines.tiny_model import saved_model, tiny_model, tiny_processor

from visionthink.core.episode import Event, ModelReply
from visionthink.core.pruning import Pruning
from visionthink.engines import Request, Sampling, open_engine
from visionthink.engines.local_pool import LocalPool
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.errors import ConfigError, EngineError

PICTURE = noise(112, 112)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("model") / "tiny")


def asked(number: int, max_tokens: int = 6) -> Request:
    sampling = Sampling(max_tokens=max_tokens, seed=number)
    return Request(messages=(user(view(56, 56), "what color ?"),), picture=PICTURE, sampling=sampling)


def holders() -> list[psutil.Process]:
    """Processes that were started for a pool: those below the server that starts them, which is below this process."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "forkserver" in " ".join(child.cmdline()) and child.parent() != psutil.Process()
    ]


async def texts(engine: LocalPool | TransformersEngine, requests: list[Request]) -> list[str]:
    events = await asyncio.gather(*map(engine.reply, requests))
    await engine.aclose()
    assert all(isinstance(event, ModelReply) for event in events)
    return [event.text for event in events if isinstance(event, ModelReply)]


async def test_replies_are_those_of_one_process(folder: Path) -> None:
    requests = [asked(number) for number in range(11)]
    one = await texts(TransformersEngine.load(folder, batch_size=4), requests)
    many = await texts(LocalPool(folder, num_processes=2, batch_size=4), requests)
    assert one == many and len(set(one)) > 5


async def test_dropping_tokens_takes_the_place_of_the_engine_in_all_processes(folder: Path) -> None:
    pruning = Pruning(method="fastv", retained_ratio=0.5, layers=(1,))
    requests = [asked(number) for number in range(4)]
    one = await texts(TransformersEngine.load(folder).pruned(pruning), requests)
    many = await texts(LocalPool(folder, num_processes=2).pruned(pruning), requests)
    assert one == many


async def test_weights_that_are_handed_over_are_those_of_the_next_replies(folder: Path) -> None:
    requests = [asked(number) for number in range(6)]
    model = tiny_model(seed=3)
    trained = await texts(TransformersEngine(model, tiny_processor(), batch_size=4), requests)
    pool = LocalPool(folder, num_processes=2, batch_size=4)
    before = [event.text for event in await asyncio.gather(*map(pool.reply, requests)) if isinstance(event, ModelReply)]
    pool.take_weights(save(dict(model.named_parameters())))
    assert await texts(pool, requests) == trained != before


async def test_a_process_that_is_killed_is_told_and_closing_still_works(folder: Path) -> None:
    before = set(holders())
    engine = LocalPool(folder, num_processes=1)
    assert engine.model == "tiny"
    (process,) = set(holders()) - before
    replies = asyncio.gather(*(engine.reply(asked(number, max_tokens=400)) for number in range(8)))
    await asyncio.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match=r"ended with -9; where memory is short, lower model\.processes") as caught:
        await asyncio.wait_for(replies, 30)
    assert not caught.value.retryable
    await engine.aclose()


async def test_closing_ends_the_processes_and_gives_up_what_they_are_at(folder: Path) -> None:
    before = set(holders())
    engine = LocalPool(folder, num_processes=2)
    assert engine.model == "tiny" and len(set(holders()) - before) == 2
    reply: asyncio.Task[Event] = asyncio.ensure_future(engine.reply(asked(1, max_tokens=400)))
    await asyncio.sleep(0.2)
    await engine.aclose()
    with pytest.raises(EngineError):
        await reply
    assert not set(holders()) - before


def damaged(folder: Path, tmp_path: Path) -> Iterator[Path]:
    copy = tmp_path / "damaged"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes()[: -1000 if file.suffix == ".safetensors" else None])
    yield copy


@pytest.mark.parametrize("kind", ["missing", "damaged"])
async def test_a_model_that_cannot_be_loaded_is_the_same_error_as_in_one_process(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "nothing" if kind == "missing" else next(damaged(folder, tmp_path))
    with pytest.raises(ConfigError) as wanted:
        TransformersEngine.load(path)
    engine = LocalPool(path, num_processes=2)
    with pytest.raises(ConfigError) as got:
        _ = engine.model
    assert str(got.value) == str(wanted.value)
    with pytest.raises(ConfigError):
        await asyncio.wait_for(engine.reply(asked(1)), 30)
    await engine.aclose()


def test_processes_and_a_device_exclude_each_other(folder: Path) -> None:
    with pytest.raises(ConfigError, match="2 processes would each want cuda"):
        open_engine(f"transformers:{folder}", processes=2, device="cuda")
    with pytest.raises(ConfigError, match="num_processes is 0"):
        LocalPool(folder, num_processes=0)


def test_one_process_is_this_one(folder: Path) -> None:
    assert isinstance(open_engine(f"transformers:{folder}"), TransformersEngine)
