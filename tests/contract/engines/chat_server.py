"""An OpenAI-compatible server over any engine: what a chat engine talks to when no vLLM is at hand."""

import base64
import io
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from PIL import Image

from visionthink.core.episode import BackendFailed, Event, ModelReply, NoRoom
from visionthink.core.geometry import Size, View
from visionthink.core.message import ImagePart, Message, Role, TextPart
from visionthink.engines import Engine, HasStreaming, Sampling
from visionthink.engines import Request as EngineRequest
from visionthink.serving.connection import unless_gone


def chat_server(engine: Engine) -> FastAPI:
    """Serves `engine` under its own name. A failure of the engine is a 503, or a 400 where the request is at fault."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await request.json()
        if body.get("stream") and isinstance(engine, HasStreaming):
            pieces = engine.stream(_request(body))
            return StreamingResponse(_chunks(pieces, engine.model), media_type="text/event-stream")
        event = await unless_gone(request, engine.reply(_request(body)))  # as vLLM does
        if isinstance(event, NoRoom):  # in the words of vLLM
            told = f"This model's maximum context length is 4096 tokens. However, you requested more ({event.error})."
            return JSONResponse({"error": {"message": told, "type": "BadRequestError", "code": 400}}, status_code=400)
        if event is None:
            return Response(status_code=499)
        if not isinstance(event, ModelReply):
            status = 503 if event.retryable else 400
            return JSONResponse({"error": {"message": event.error}}, status_code=status)
        if body.get("stream"):
            return StreamingResponse(_chunks(_pieces(event), engine.model), media_type="text/event-stream")
        message = {"role": "assistant", "content": event.text}
        choice = {"index": 0, "message": message, "finish_reason": event.finish_reason.value}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": engine.model}
        return JSONResponse({**head, "choices": [choice], "usage": _usage(event)})

    @app.get("/v1/models")
    async def models() -> dict[str, object]:
        return {"object": "list", "data": [{"id": engine.model, "object": "model", "created": 1, "owned_by": "us"}]}

    return app


def _usage(event: ModelReply) -> dict[str, int]:
    return {
        "prompt_tokens": event.num_prompt_tokens,
        "completion_tokens": event.num_reply_tokens,
        "total_tokens": event.num_prompt_tokens + event.num_reply_tokens,
    }


async def _pieces(event: ModelReply) -> AsyncIterator[str | Event]:
    for piece in re.findall(r"(?s).{1,5}", event.text):
        yield piece
    yield event


async def _chunks(pieces: AsyncIterator[str | Event], model: str) -> AsyncIterator[str]:
    """The reply in vLLM's chunks: the role, the pieces, the end, the usage."""
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta: Mapping[str, str], reason: str | None = None) -> str:
        return _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

    yield chunk({"role": "assistant", "content": ""})
    async for piece in pieces:
        match piece:
            case str():
                yield chunk({"content": piece})
            case ModelReply():
                yield chunk({}, piece.finish_reason.value)
                yield _data({**head, "choices": [], "usage": _usage(piece)})
            case _:
                code = 503 if isinstance(piece, BackendFailed) and piece.retryable else 400
                yield _data({"error": {"message": piece.error, "code": code}})
    yield "data: [DONE]\n\n"


def _data(body: Mapping[str, object]) -> str:
    return f"data: {json.dumps(body)}\n\n"


def _request(body: Mapping[str, object]) -> EngineRequest:
    messages, pictures = [], list[Image.Image]()
    raw = body["messages"]
    assert isinstance(raw, list)
    for message in raw:
        parts = [_part(part, pictures) for part in _parts(message["content"])]
        messages.append(Message(role=Role(message["role"]), parts=tuple(parts)))
    sampling = Sampling(
        **{name: body[name] for name in ("temperature", "top_p", "max_tokens", "seed") if name in body}  # type: ignore[arg-type]
    )
    first, *further = pictures or [Image.new("RGB", (28, 28))]
    return EngineRequest(messages=tuple(messages), picture=first, further_pictures=tuple(further), sampling=sampling)


def _parts(content: str | list[dict[str, object]]) -> Sequence[Mapping[str, object]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _part(part: Mapping[str, object], pictures: list[Image.Image]) -> TextPart | ImagePart:
    if part["type"] == "text":
        return TextPart(text=str(part["text"]))
    image_url = part["image_url"]
    assert isinstance(image_url, dict)
    head, _, data = image_url["url"].partition(",")
    assert head == "data:image/png;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    picture.load()
    pictures.append(picture)
    return ImagePart(view=View(size=Size(width=picture.width, height=picture.height), picture=len(pictures) - 1))
