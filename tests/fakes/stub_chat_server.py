"""A chat server that a test can slow down and let answer rubbish: `python -m tests.fakes.stub_chat_server PORT`.

It holds the model `stub`, which looks closer once at every picture and then answers. A POST to `/control` says how it
behaves from then on, a GET of `/stats` what it saw. Bare asyncio: it has to be faster than what is tested in front of
it, and a test kills it without a word.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final

CALL: Final = (
    '<think>too small</think><tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'
)
ANSWER: Final = "<think>I see.</think><answer>A7</answer>"
RUBBISH: Final[Mapping[str, tuple[str, bytes]]] = {
    "html": ("text/html", b"<html><body><h1>It works!</h1></body></html>"),
    "half_json": ("application/json", b'{"id": "1", "choices": [{"index": 0, "mess'),
    "wrong_types": (
        "application/json",
        b'{"id": 1, "usage": 7, "choices": [{"index": "a", "finish_reason": "stop", "message": {"content": 5}}]}',
    ),
    "no_choice": ("application/json", b'{"id": "1", "object": "chat.completion", "choices": null}'),
    "a_list": ("application/json", b"[1, 2, 3]"),
    "not_utf8": ("application/json", b'{"id": "\xff\xfe"}'),
    "empty": ("application/json", b""),
}
STREAM_RUBBISH: Final[Mapping[str, bytes]] = {
    "html": b"<html><body><h1>It works!</h1></body></html>",
    "half_json": b'data: {"id": "1", "choices": [{"index": 0, "del',
    "wrong_types": b'data: {"id": 1, "choices": [{"index": 0, "delta": {"content": 5}}]}\n\ndata: [DONE]\n\n',
    "no_choice": b'data: {"id": "1", "choices": null}\n\ndata: [DONE]\n\n',
    "a_list": b"data: [1, 2, 3]\n\ndata: [DONE]\n\n",
    "not_utf8": b'data: {"id": "\xff\xfe"}\n\n',
    "empty": b"",
}


@dataclass
class Stats:
    """What came in."""

    num_asked: int = 0
    num_left: int = 0
    """Questions whose client went away before the end of its answer."""
    num_connections: int = 0
    """Open now."""


@dataclass
class Manner:
    """How the server behaves."""

    delay_s: float = 0.0
    """Before an answer, or until it is told to behave otherwise."""
    between_s: float = 0.0
    """Between the pieces of a stream."""
    rubbish: bool = False
    """Each kind of it in turn is sent in an answer's place."""
    statuses: Sequence[int] = ()
    """Each of these in turn."""


class Stub:
    """One server."""

    def __init__(self) -> None:
        self.stats = Stats()
        self.manner = Manner()
        self._changed = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, with any number of requests."""
        self.stats.num_connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._one(reader, writer)
        finally:
            self.stats.num_connections -= 1
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ", 2)[1]
        length = next((int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0)
        body = json.loads(await reader.readexactly(length)) if length else {}
        match path.partition("?")[0]:
            case "/v1/models":
                found = {"object": "list", "data": [{"id": "stub", "object": "model", "created": 1, "owned_by": "us"}]}
                await _send(writer, json.dumps(found).encode())
            case "/stats":
                await _send(writer, json.dumps(asdict(self.stats)).encode())
            case "/control":
                self.manner = Manner(**body)
                self._changed.set()
                self._changed = asyncio.Event()
                await _send(writer, b"{}")
            case _:
                await self._chat(body, reader, writer)

    async def _chat(self, body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.stats.num_asked += 1
        work = asyncio.ensure_future(self._answered(body, writer))
        gone = asyncio.ensure_future(reader.read(1))  # nobody sends a second request before the answer to the first
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            self.stats.num_left += 1
            work.cancel()
            raise ConnectionError("the client has left")
        gone.cancel()
        await asyncio.wait({gone})  # or the next request finds a reader before it
        work.result()

    async def _answered(self, body: dict[str, object], writer: asyncio.StreamWriter) -> None:
        manner = self.manner
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), manner.delay_s)
        is_stream = bool(body.get("stream"))
        if manner.rubbish:
            name = [*RUBBISH][self.stats.num_asked % len(RUBBISH)]
            kind, text = ("text/event-stream", STREAM_RUBBISH[name]) if is_stream else RUBBISH[name]
            await _send(writer, text, kind=kind)
        elif manner.statuses:
            status = manner.statuses[self.stats.num_asked % len(manner.statuses)]
            await _send(writer, b'{"error": {"message": "told to fail"}}', status=status)
        elif is_stream:
            await _stream(writer, _reply(body), manner.between_s)
        else:
            await _send(writer, json.dumps(_completion(_reply(body))).encode())


def _reply(body: dict[str, object]) -> str:
    num_pictures = json.dumps(body["messages"]).count('"image_url":')
    return CALL if num_pictures == 2 else ANSWER  # the type and the URL of one picture


def _completion(text: str) -> dict[str, object]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "stub", "choices": [choice], "usage": usage}


async def _stream(writer: asyncio.StreamWriter, text: str, between_s: float) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    async for event in _events(text, between_s):
        data = f"data: {event}\n\n".encode()
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _events(text: str, between_s: float) -> AsyncIterator[str]:
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "stub"}
    for start in range(0, len(text), 8):
        await asyncio.sleep(between_s)
        choice = {"index": 0, "delta": {"content": text[start : start + 8]}, "finish_reason": None}
        yield json.dumps({**head, "choices": [choice]})
    yield json.dumps({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    yield json.dumps({**head, "choices": [], "usage": usage})
    yield "[DONE]"


async def _send(
    writer: asyncio.StreamWriter, body: bytes, *, kind: str = "application/json", status: int = 200
) -> None:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def _main(port: int) -> None:
    server = await asyncio.start_server(Stub().handle, "127.0.0.1", port, limit=2**26, backlog=512)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1])))
