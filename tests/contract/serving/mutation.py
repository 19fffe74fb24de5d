"""Requests that no client means: each is made from its number and a seed alone, so that a red one can be sent again."""

import base64
import io
import json
import random
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from tests.contract.serving.served import question
from tests.unit.engines.conversation import noise

PATHS: Final = (
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "stream",
    "adaptive",
    "stop",
    "n",
    "frob",
)
LEAVES: Final[tuple[object, ...]] = (
    *(None, True, False, 0, -1, 1, 1e-40, 1e308, 2**70, "", "a", "\x00", "<image>", "<|im_end|>", "\U0001d518"),
    *([], {}, [[]]),
)
WHOLE: Final = {"model": "tiny-v1", "messages": [question()]}
SEVERAL: Final = {"model": "tiny-v1", "messages": [question(), {"role": "assistant", "content": "A7"}, question()]}
"""About several pictures."""
KINDS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

_DEEP: Final = 20_000
_VALUES: Final = (
    *("NaN", "-Infinity", "1e999", "-1e999", "1e-999", "-0", "1" * 5000, "0." + "1" * 5000, "0x10", "01", "1.", "'a'"),
    *("[" * _DEEP, "[" * _DEEP + "]" * _DEEP, '{"a":' * _DEEP + "1" + "}" * _DEEP, "[[[[1]]]]", "nul", "null", "true"),
    *(
        r'"\ud800"',
        r'"\udfff\ud800"',
        r'"\u0000"',
        r'"\x"',
        '"\t"',
        '"a',
        '"' + "a" * 100_000 + '"',
        '"' + "é" * 9999 + '"',
    ),
    *(
        "[" + "1," * 9999 + "1]",
        "{" + ",".join(f'"k{i}":1' for i in range(3000)) + "}",
        '{"a":1,"a":2}',
        "",
        "/**/1",
        "1,",
    ),
)
"""JSON, and what only looks like it, as a text."""
_FIELDS: Final = (
    *("model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stream", "adaptive"),
    *(
        "stream_options",
        "stop",
        "n",
        "logprobs",
        "tools",
        "response_format",
        "metadata",
        "user",
        "",
        "frob",
        "__class__",
    ),
)
_TEMPLATES: Final = (
    '{"model":"tiny-v1","messages":@}',
    '{"model":"tiny-v1","messages":[@]}',
    '{"model":"tiny-v1","messages":[{"role":@,"content":"what is it ?"}]}',
    '{"model":"tiny-v1","messages":[{"role":"user","content":@}]}',
    '{"model":"tiny-v1","messages":[{"role":"user","content":[@]}]}',
    '{"model":"tiny-v1","messages":[{"role":"user","content":[{"type":"text","text":@}]}]}',
    '{"model":"tiny-v1","messages":[{"role":"user","content":[{"type":"image_url","image_url":@},{"type":"text","text":"a"}]}]}',
    '{"model":"tiny-v1","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":@}},{"type":"text","text":"a"}]}]}',
    '{"model":"tiny-v1","messages":[{"role":"user","content":"a"}],"adaptive":{"policy":@}}',
    '{"model":"tiny-v1","messages":[{"role":"user","content":"a"}],"adaptive":{"max_turns":@}}',
    '{"model":"tiny-v1","messages":[{"role":"user","content":"a"}],"stream":true,"stream_options":{"include_usage":@}}',
    "@",
)
_URLS: Final = (
    "data:",
    "DATA:image/png",
    ";base64",
    ",",
    "%",
    "%2c",
    "=",
    "\n",
    "é",
    '"',
    ";",
    "#",
    "iVBORw0KGgo",
    "image/",
)
_ROUTES: Final = (
    *("/v1/chat/completions", "/v1/chat/completions/", "/v1/models", "/v1/models/", "/v1/models/..%2f..%2fetc", "//"),
    *(
        "/v1/models/%00",
        "/v1/models/tiny-v1",
        "/v2/health/ready",
        "/metrics",
        "/healthz",
        "/%ff",
        "/v1/completions",
        "/a?b=%zz",
    ),
)
_HEADERS: Final[tuple[Mapping[str, str], ...]] = (
    *({"content-encoding": coding} for coding in ("gzip", "br", "identity", "", "x" * 3000)),
    *({"content-type": kind} for kind in ("text/plain", "application/json; charset=utf-16", "multipart/form-data", "")),
    *({"x-request-id": name} for name in ("a b", "x" * 300, "../../etc", "")),
    *({"accept": "text/event-stream"}, {"authorization": "Bearer " + "k" * 3000}, {"expect": "nothing"}),
)


class Sent(NamedTuple):
    """A request as it goes out."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def hostile(seed: int, number: int) -> Sent:
    """The request of this number."""
    chance = random.Random(f"{seed}:{number}")
    return chance.choice(_MAKERS)(chance)


def mutated(node: object, chance: random.Random) -> object:
    """`node` with a few of its leaves and branches changed."""
    if chance.random() < 0.06:
        return chance.choice(LEAVES)
    if isinstance(node, dict):
        changed = {key: mutated(value, chance) for key, value in node.items() if chance.random() > 0.03}
        if chance.random() < 0.2:
            changed[chance.choice((*PATHS, "type", "text", "url", "detail", "role", "name"))] = chance.choice(LEAVES)
        return changed
    if isinstance(node, list):
        changed_items = [mutated(item, chance) for item in node if chance.random() > 0.03]
        return changed_items + changed_items[:1] if chance.random() < 0.1 else changed_items
    return node


def broken(data: bytes, chance: random.Random) -> bytes:
    """`data` cut, or with a few of its bytes changed."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed[: chance.randrange(1, len(changed))] if chance.random() < 0.3 else changed)


def picture_file(kind: str, chance: random.Random) -> bytes:
    """A picture of 30x20 pixels in a mode that the kind of file can hold."""
    file = io.BytesIO()
    mode = chance.choice({"JPEG": ("RGB", "L", "CMYK"), "TIFF": ("RGB", "CMYK", "1")}.get(kind, ("RGB", "L", "RGBA")))
    options: dict[str, object] = {"progressive": True} if kind == "JPEG" and chance.random() < 0.5 else {}
    if kind in ("GIF", "WEBP", "PNG") and chance.random() < 0.3:
        options |= {"save_all": True, "append_images": [noise(30, 20, 1)]}
    if kind == "TIFF":
        options["compression"] = chance.choice(("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"))
    noise(30, 20).convert(mode).save(file, format=kind, **options)
    return file.getvalue()


def _chat(body: bytes, chance: random.Random) -> Sent:
    headers = dict(chance.choice(_HEADERS)) if chance.random() < 0.02 else {"content-type": "application/json"}
    return Sent("POST", "/v1/chat/completions", headers, body)


def _asked(url: str) -> bytes:
    return json.dumps({"model": "tiny-v1", "messages": [question(url)]}).encode()


def _shape(chance: random.Random) -> Sent:
    return _chat(json.dumps(mutated(chance.choice((WHOLE, SEVERAL)), chance)).encode(), chance)


def _bytes(chance: random.Random) -> Sent:
    return _chat(broken(json.dumps(WHOLE).encode(), chance), chance)


def _picture(chance: random.Random) -> Sent:
    data = broken(picture_file(chance.choice(KINDS), chance), chance)
    return _chat(_asked("data:;base64," + base64.b64encode(data).decode()), chance)


def _url(chance: random.Random) -> Sent:
    pieces = [chance.choice(_URLS) for _ in range(chance.randrange(1, 9))]
    return _chat(_asked(chance.choice(("", "data:", "data:image/png;base64,", "https://")) + "".join(pieces)), chance)


def _value(chance: random.Random) -> Sent:
    return _chat(chance.choice(_TEMPLATES).replace("@", chance.choice(_VALUES)).encode(), chance)


def _field(chance: random.Random) -> Sent:
    whole = json.dumps(WHOLE)[:-1]
    extra = ",".join(f'"{chance.choice(_FIELDS)}":{chance.choice(_VALUES)}' for _ in range(chance.randrange(1, 4)))
    return _chat(f"{whole},{extra}}}".encode(), chance)


def _encoding(chance: random.Random) -> Sent:
    text = json.dumps(WHOLE)
    coding = chance.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7", "cp037"))
    junk = chance.choice((b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\0"))
    at = chance.randrange(len(text))
    raw = text.encode()
    return _chat(chance.choice((text.encode(coding), raw[:at] + junk + raw[at:], b"", b"\0" * 9999)), chance)


def _route(chance: random.Random) -> Sent:
    method = chance.choice(("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "PROPFIND"))
    return Sent(method, chance.choice(_ROUTES), chance.choice(_HEADERS), chance.choice((b"", b"{}", b"\xff")))


_MAKERS: Final[tuple[Callable[[random.Random], Sent], ...]] = (
    *(_shape, _bytes, _picture, _picture, _picture, _url, _value, _value, _field, _encoding, _route),
)
