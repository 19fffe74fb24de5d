import asyncio
import io
import json
import logging
import logging.config
from collections.abc import Iterator

import pytest
from starlette.types import Message, Receive, Scope, Send

from visionthink.serving.access import AccessMiddleware
from visionthink.serving.json_log import LogFormat, log_config


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    form: LogFormat = getattr(request, "param", "json")
    file = io.StringIO()
    config = log_config(form)
    config["handlers"]["stderr"]["stream"] = file
    loggers = [logging.getLogger(name) for name in config["loggers"]]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    logging.config.dictConfig(config)
    yield file
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


async def served(path: str, status: int = 200, *, breaks: bool = False, state: dict[str, object] | None = None) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["caller"] = "alice"
        logging.getLogger("visionthink.somewhere").warning("half way\nthere")
        if breaks:
            raise LookupError("a bug")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"12345"})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        await asyncio.sleep(0)

    middleware = AccessMiddleware(app, spared=lambda path: path == "/probe", on_first_byte=lambda path, seconds: None)
    scope = {"type": "http", "method": "POST", "path": path, "state": {"request_id": "r1"} if state is None else state}
    await asyncio.create_task(middleware(scope, receive, send))


async def test_a_line_of_json_has_request_key_and_times(log: io.StringIO) -> None:
    await served("/v1/x")
    inside, end = map(json.loads, log.getvalue().splitlines())
    assert inside["message"] == "half way\nthere" and inside["level"] == "warning"
    assert (inside["request_id"], inside["key"]) == (end["request_id"], end["key"]) == ("r1", "alice")
    assert (end["method"], end["path"], end["status"], end["size_bytes"]) == ("POST", "/v1/x", 200, 5)
    assert 0 <= end["first_byte_s"] <= end["seconds"] < 10 and end["time"].endswith("+00:00")


async def test_a_bug_is_one_line_with_its_trace(log: io.StringIO) -> None:
    with pytest.raises(LookupError):
        await served("/v1/x", breaks=True)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("failed")
    _, end, bug = map(json.loads, log.getvalue().splitlines())
    assert end["status"] == 500 and "two\nlines" in bug["exception"] and "request_id" not in bug


@pytest.mark.parametrize(("path", "status", "want"), [("/probe", 200, 0), ("/probe", 503, 1), ("/v1/x", 200, 1)])
async def test_probes_that_come_off_leave_no_line(log: io.StringIO, path: str, status: int, want: int) -> None:
    await served(path, status)
    assert log.getvalue().count('"status"') == want


@pytest.mark.parametrize("log", ["text"], indirect=True)
async def test_a_line_for_people_names_the_request_too(log: io.StringIO) -> None:
    await served("/v1/x")
    last = log.getvalue().splitlines()[-1]
    assert last.startswith("INFO: POST /v1/x 200 in ") and last.endswith("[request_id=r1 key=alice]")


async def test_what_follows_a_request_does_not_bear_its_id(log: io.StringIO) -> None:
    await served("/v1/x")
    logging.getLogger("visionthink").info("later")
    assert "request_id" not in json.loads(log.getvalue().splitlines()[-1])
