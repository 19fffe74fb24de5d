"""An OpenAI-compatible engine that costs next to nothing, for measuring what stands in front of one.

Rule: no framework, so that its own time stays out of the figures: one event loop reads a request, waits as long as it
was told, and writes an answer that was made beforehand. A request whose text holds `[look]` and no assistant message is
answered with a tool call, every other one with an answer. `/count` tells how many were answered.

    python benchmarks/serving/stub.py --port 9000 --latency-ms 20 --sigma 0.3
"""

import argparse
import asyncio
import json
import math
import random
from contextlib import suppress
from typing import Final

MODEL: Final = "stub"
ANSWER: Final = "<think> It can be read. </think><answer>42</answer>"
CALL: Final = '<tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'
_LIMIT: Final = 2**26


def _packed(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def completion(text: str) -> bytes:
    """The whole response that says `text`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    told = {"id": "chatcmpl-stub", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
    return _packed(json.dumps({**told, "usage": usage}).encode())


_ANSWER: Final = completion(ANSWER)
_CALL: Final = completion(CALL)
_MODELS: Final = _packed(json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode())


class Stub:
    """The engine."""

    def __init__(self, *, latency_ms: float, sigma: float, seed: int = 0) -> None:
        """Answer after log-normal times with this median; `sigma` 0 is always the median."""
        self._latency_s = latency_ms / 1000
        self._sigma = sigma
        self._random = random.Random(seed)
        self.num_answered = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes over one connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await _body(reader, head.lower())
                path = head.split(b" ", 2)[1]
                writer.write(await self._answered(path, body))
        writer.close()

    async def _answered(self, path: bytes, body: bytes) -> bytes:
        if path.endswith(b"/chat/completions"):
            if self._latency_s:
                await asyncio.sleep(self._latency_s * math.exp(self._random.gauss(0.0, self._sigma)))
            self.num_answered += 1
            asks = b"[look]" in body and b'"assistant"' not in body
            return _CALL if asks else _ANSWER
        if path.endswith(b"/models"):
            return _MODELS
        if path.endswith(b"/count"):
            return _packed(str(self.num_answered).encode())
        return _packed(b"{}")


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"transfer-encoding: chunked" in head:
        found = []
        while size := int(await reader.readline(), 16):
            found.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readline()
        return b"".join(found)
    _, _, rest = head.partition(b"content-length:")
    return await reader.readexactly(int(rest.split(b"\r\n", 1)[0])) if rest else b""


async def _run(stub: Stub, port: int) -> None:
    server = await asyncio.start_server(stub.serve, "127.0.0.1", port, limit=_LIMIT, backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--sigma", type=float, default=0.0)
    args = parser.parse_args()
    with suppress(ImportError):
        import uvloop

        uvloop.install()
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(Stub(latency_ms=args.latency_ms, sigma=args.sigma), args.port))


if __name__ == "__main__":
    main()
