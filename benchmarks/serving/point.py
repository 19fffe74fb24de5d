"""The points of the GPU experiment, and the requests that each of them sends.

Rule: what goes straight to vLLM is what our engine would send, made by the core's own episode.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import scene
from forced import CROP, LOOK, MODEL_NAME, resize_call
from load import Connection, Job, Server
from shown import RULE, size_name, view_kind
from vllm_server import SERVED, Place, Process

from visionthink.core.closer_look import get_tool
from visionthink.core.episode import AskModel, FinishReason, ModelReply, advance, start
from visionthink.core.geometry import Size, View
from visionthink.core.message import Message
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ToolBox
from visionthink.episodes.prompting import Prompting, ViewPolicy

PROMPTING: Final = Prompting(
    protocol=get_protocol("efficient-v1"),
    direct_protocol=get_protocol("general-v1"),
    rule=RULE,
    toolbox=ToolBox([get_tool("resize_image")]),
)
QUESTION: Final = "What is written on the third sign from the left, and in which colour is it painted?"
CROP_RATES: Final = (0.3, 1.0)
_GOLDEN: Final = 0.6180339887
SHORT_RATES: Final = (0.3, 0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement."""

    size: Size
    kind: str
    rate: float = 0.0
    short: bool = False
    """Whether replies are short."""

    @property
    def key(self) -> str:
        """Its name in the file."""
        at = f"/{self.rate:g}" if self.kind in ("loop", "crop") else ""
        return f"{size_name(self.size)}{', short' if self.short else ''}/{self.kind}{at}"


@dataclass(slots=True, kw_only=True)
class Setup:
    """What the points are measured with."""

    args: argparse.Namespace
    home: Path
    vllm: Place
    apps: list[Process]
    app_servers: list[Server]
    crop_servers: list[Server]
    num_used: int = 0
    """Pictures that were shown already."""

    @property
    def vllm_server(self) -> Server:
        """Where direct requests go."""
        return Server.at(self.vllm.url)


def points(sizes: Sequence[Size], rates: Sequence[float]) -> Iterator[Point]:
    """Every measurement, in order; with short replies, and with crops, for the first size alone."""
    for size in sizes:
        for kind in ("always_high", "always_low", "one_turn", "two_turn"):
            yield Point(size=size, kind=kind)
        for rate in rates:
            yield Point(size=size, kind="loop", rate=rate)
        yield Point(size=size, kind="app_high")
    for kind in ("always_high", "one_turn", "two_turn", "app_high"):
        yield Point(size=sizes[0], kind=kind, short=True)
    for rate in SHORT_RATES:
        yield Point(size=sizes[0], kind="loop", rate=rate, short=True)
    for rate in CROP_RATES:
        yield Point(size=sizes[0], kind="crop", rate=rate)


class Template:
    """A body with places for pictures and for the number of tokens."""

    def __init__(self, body: dict[str, Any], kinds: Sequence[str]) -> None:
        """`body` holds `@kind@` where the picture of this kind goes, and `@tokens@` (in quotes or out of them)."""
        self._text = json.dumps(body).replace('"@tokens@"', "@tokens@").encode()
        self._kinds = kinds

    def filled(self, folder: Path, size: Size, number: int, num_tokens: int) -> bytes:
        """The body with picture `number`."""
        text = self._text.replace(b"@tokens@", str(num_tokens).encode())
        for kind in self._kinds:
            text = text.replace(f"@{kind}@".encode(), scene.stored(folder, kind, size, number).read_bytes())
        return text


def to_vllm(messages: Sequence[Message], kind_of: Callable[[View], str]) -> Template:
    """A turn as our engine asks for it."""
    kinds = [kind_of(view) for message in messages for view in message.views]
    told = scene.written(messages, lambda view: f"@{kind_of(view)}@")
    body = {"model": SERVED, "messages": told, "temperature": 0.0, "max_tokens": "@tokens@"}
    return Template(body, kinds)


def num_tokens_of(mean: int, number: int) -> int:
    """Tokens of the answer to job `number`: evenly spread from half to one and a half of the mean.

    Answers of one length would make an engine answer all its clients in step, which real ones never are.
    """
    return round(mean * (0.5 + number * _GOLDEN % 1))


def first_turn(size: Size, policy: ViewPolicy) -> tuple[Message, ...]:
    """What the model is asked first."""
    command = start(PROMPTING.spec(QUESTION, size, policy)).command
    assert isinstance(command, AskModel)
    return command.messages


def second_turn(size: Size) -> tuple[Message, ...]:
    """What it is asked after it asked for the full view."""
    step = start(PROMPTING.spec(QUESTION, size, "auto"))
    command = advance(step.state, ModelReply(text=resize_call(), finish_reason=FinishReason.STOP)).command
    assert isinstance(command, AskModel)
    return command.messages


def asks(number: int, rate: float) -> bool:
    """Whether job `number` asks; spread evenly."""
    return int((number + 1) * rate + 1e-9) > int(number * rate + 1e-9)


def job_of(point: Point, setup: Setup) -> tuple[Job, list[Server], int]:
    """The job of a point, the servers it goes to, and how many pictures there are for it."""
    args, size, folder = setup.args, point.size, setup.home / "pictures"
    num_pictures = args.pairs if point.kind == "two_turn" else args.pictures
    first = setup.num_used

    def number_of(number: int) -> int:
        return (first + number) % num_pictures

    answer, call = (args.short_tokens,) * 2 if point.short else (args.answer_tokens, args.call_tokens)
    if point.kind in ("loop", "app_high", "crop"):
        servers = setup.crop_servers if point.kind == "crop" else setup.app_servers
        return _through_app(point, folder, number_of, answer, call), servers, num_pictures
    match point.kind:
        case "always_high":
            turns = [to_vllm(first_turn(size, "always_high"), lambda view: "photo")]
        case "always_low":
            turns = [to_vllm(first_turn(size, "always_low"), lambda view: "small")]
        case "one_turn":
            turns = [to_vllm(first_turn(size, "auto"), view_kind)]
        case _:
            turns = [to_vllm(first_turn(size, "auto"), view_kind), to_vllm(second_turn(size), view_kind)]

    async def direct(connection: Connection, number: int) -> tuple[bytes, ...]:
        lengths = [call] * (len(turns) - 1) + [num_tokens_of(answer, number)]
        bodies = (turn.filled(folder, size, number_of(number), n) for turn, n in zip(turns, lengths, strict=True))
        return tuple([await connection.post(body) for body in bodies])

    return direct, [setup.vllm_server], num_pictures


def _through_app(point: Point, folder: Path, number_of: Callable[[int], int], answer: int, call: int) -> Job:
    policy = "always_high" if point.kind == "app_high" else "auto"

    def template(prefix: str) -> Template:
        question = f"{prefix}{QUESTION} [call {call}] [answer @tokens@]"
        body = scene.asked("@photo@", question, MODEL_NAME, temperature=0, adaptive={"policy": policy})
        return Template(json.loads(body), ["photo"])

    plain, asking = template(""), template(CROP if point.kind == "crop" else LOOK)

    async def through_app(connection: Connection, number: int) -> tuple[bytes, ...]:
        chosen = asking if asks(number, point.rate) else plain
        body = chosen.filled(folder, point.size, number_of(number), num_tokens_of(answer, number))
        return (await connection.post(body),)

    return through_app
