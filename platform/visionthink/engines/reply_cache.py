"""An engine that remembers: what a model was asked before, in a run of any process, it is not asked again.

Rule: only what repeats is kept. A greedy reply belongs to the model, the conversation, the pixels that its views are
cut from, and the wishes that change it; all of that is in the key, so there is nothing to clear. A drawn reply, a
failure and a reply whose tokens' log-probabilities are wanted go past the cache.

What is measured must be measured: whoever wants to know how long the model takes asks the engine behind this one.
"""

import asyncio
import hashlib
import json
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from PIL import Image

from visionthink.core.episode import Event, FinishReason, ModelReply
from visionthink.core.json_value import Json
from visionthink.core.message import message_to_dict
from visionthink.engines.endpoint import parse_place
from visionthink.engines.engine import Engine, Request, Sampling, SamplingField, known_fields
from visionthink.storage.cache_folder import CacheFolder

_FORM: Final = 1
"""Of key and entry; another number is another cache."""
_DRAWING: Final = ("temperature", "top_p", "top_k", "min_p", "seed", "num_top_log_probs")
"""The wishes that change no greedy reply."""
_NOT_KEPT: Final = frozenset({"log_probs", "drawn"})
"""What is told of a reply beyond what an episode needs."""
_SMALL_PIXELS: Final = 2**18
"""Pixels that are hashed faster than handed to another thread."""


def identity_of(uri: str, digest: str | None) -> dict[str, Json]:
    """What tells models apart that are asked at `uri`; `digest` is of the model's files, None where nobody knows them.

    A server may move: with the files known it goes by its model's name, without them by its address.
    """
    kind, _, place = uri.partition(":")
    server = parse_place(place).model if kind == "openai" and digest is not None else place
    return {"kind": kind, "place": server, "model": digest}


class CachedEngine:
    """The engine behind it, where a folder does not know the reply."""

    def __init__(self, engine: Engine, folder: Path, *, identity: Mapping[str, Json]) -> None:
        """Keep replies of `engine` in `folder`; engines of one `identity` reply alike to equal requests."""
        self._engine = engine
        self._entries = CacheFolder(folder)
        self._identity = dict(identity)
        self._digests = _PictureDigests()

    @property
    def model(self) -> str:
        """Name of the model behind it."""
        return self._engine.model

    @property
    def sampling_fields(self) -> frozenset[SamplingField]:
        """Those that the engine behind it knows."""
        return known_fields(self._engine)

    async def reply(self, request: Request) -> Event:
        """The reply that is kept, else the engine's own, which is kept then.

        Raises:
            EngineError: no request can get a reply before somebody mends something.
            StorageError: the folder cannot be used.
        """
        if not request.sampling.is_greedy or request.sampling.num_top_log_probs is not None:
            return await self._engine.reply(request)
        key = self._key(request, [await self._digests.of(picture) for picture in request.pictures])
        found = _read(self._entries.find(key))
        if found is not None:
            return found
        event = await self._engine.reply(request)
        if isinstance(event, ModelReply) and event.finish_reason is not FinishReason.ABORTED:
            self._entries.keep(key, _written(event))
        return event

    async def aclose(self) -> None:
        """Close the engine behind it."""
        await self._engine.aclose()

    def _key(self, request: Request, pictures: Sequence[str]) -> str:
        shown = any(message.views for message in request.messages)
        first, *further = pictures
        asked = {
            "form": _FORM,
            "engine": self._identity,
            "messages": [message_to_dict(message) for message in request.messages],
            "picture": first if shown else None,
            "sampling": _wishes(request.sampling),
            **({"further_pictures": further} if further else {}),
        }
        return hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=20).hexdigest()


class _PictureDigests:
    """Digests of pixels, each made once for as long as its picture lives."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Image.Image], str]] = {}

    async def of(self, picture: Image.Image) -> str:
        known = self._known.get(id(picture))
        if known is not None and known[0]() is picture:
            return known[1]
        is_small = picture.width * picture.height <= _SMALL_PIXELS
        digest = _digest(picture) if is_small else await asyncio.to_thread(_digest, picture)
        place = id(picture)
        self._known[place] = (weakref.ref(picture, lambda _: self._known.pop(place, None)), digest)
        return digest


def _digest(picture: Image.Image) -> str:
    head = f"{picture.mode} {picture.width} {picture.height} ".encode()
    return hashlib.blake2b(head + picture.tobytes(), digest_size=20).hexdigest()


def _wishes(sampling: Sampling) -> dict[str, object]:
    return {name: value for name, value in asdict(sampling).items() if name not in _DRAWING}


def _written(reply: ModelReply) -> dict[str, Json]:
    kept = {field.name: getattr(reply, field.name) for field in fields(reply) if field.name not in _NOT_KEPT}
    return kept | {"token_ids": None if reply.token_ids is None else [*reply.token_ids]}


def _read(entry: Json) -> ModelReply | None:
    """The reply in an entry; None where there is none, or one of a version that told other things of a reply."""
    if not isinstance(entry, dict) or entry.keys() | _NOT_KEPT != {field.name for field in fields(ModelReply)}:
        return None
    told: dict[str, Any] = entry
    ids = told["token_ids"]
    return ModelReply(
        **{
            **told,
            "finish_reason": FinishReason(told["finish_reason"]),
            "token_ids": None if ids is None else tuple(ids),
        }
    )
