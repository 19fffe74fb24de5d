"""One recorded transcript through every driver: same texts, same views, same masks, same token counts (law 1).

A transcript is what a model wrote, turn after turn. Labelling, training, evaluation and serving each play it back with
their own code around the episode. What the model was shown before each of its turns must be the same to the pixel, and
what a trainer would make of the whole must be the same to the token. The golden files say what that is.
"""

import asyncio
import base64
import io
import json
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import openai
import pytest
from PIL import Image
from tests.conftest import Golden
from tests.contract.engines.chat_server import chat_server
from tests.fakes.asked import runner_over
from tests.fakes.streaming import StreamingEngine
from tests.unit.engines.tiny_model import tiny_processor

from visionthink.config import RunConfig, override_config
from visionthink.core.episode import Finish
from visionthink.core.geometry import Size
from visionthink.core.json_value import Json
from visionthink.core.message import Message, Role, TextPart, message_to_dict
from visionthink.core.reply import render_call
from visionthink.core.sample import Sample
from visionthink.datasets.world import draw_scene, paint
from visionthink.engines import Engine, Request, Sampling, ScriptedEngine, ScriptLine, open_engine
from visionthink.engines.encoding import Encoder
from visionthink.episodes.asking import ask_open
from visionthink.episodes.driver import run_episode
from visionthink.episodes.prompting import ViewPolicy, prompting_of
from visionthink.episodes.runner import End, Work
from visionthink.evaluation.asking import series_of
from visionthink.evaluation.benchmarks import benchmark_of
from visionthink.evaluation.contender import usual_contenders
from visionthink.labeling.rollout import LabelSetting
from visionthink.picture import cut, decode
from visionthink.samples import decoded
from visionthink.serving import ServingLimits, background_server, create_app
from visionthink.training.local.rollout import Prompt, collect

CONFIG: Final = RunConfig()
CALL: Final = '<tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'
ANSWER: Final = "<think>now i can see it .</think><answer>H</answer>"
SEED: Final = 3


def crop(*box: int, view: int | None = None) -> str:
    """A call for a region, in the pixels of the last view or of the one named."""
    arguments: dict[str, Json] = {"bbox_2d": [*box]} if view is None else {"bbox_2d": [*box], "view": view}
    return f"<think>i need to look there .</think>{render_call('crop_image', arguments)}"


FIVE_TURNS: Final = "looks around in five turns"
SEVERAL_TOOLS: Final = override_config(
    CONFIG,
    {
        "episode.tools": ["resize_image", "crop_image", "zoom_image"],
        "episode.protocol": "compact-tools-v1",
        "episode.max_turns": 5,
    },
)

TRANSCRIPTS: Final[dict[str, tuple[ViewPolicy, tuple[str, ...]]]] = {
    "answers at once": ("auto", (ANSWER,)),
    "asks, then answers": ("auto", (f"<think>the mark . this is too small .</think>{CALL}", ANSWER)),
    "asks with broken json": ("auto", ('<tool_call>{"name": "resize_image",</tool_call>', ANSWER)),
    "asks for an unknown tool": ("auto", (CALL.replace("resize_image", "zoom"), ANSWER)),
    "asks until the answer is demanded": ("auto", (CALL, CALL, ANSWER)),
    "never answers": ("auto", (CALL, CALL, CALL)),
    "writes nothing": ("auto", ("",)),
    FIVE_TURNS: (
        "auto",
        (crop(0, 0, 28, 42), crop(0, 0, 60, 84), crop(28, 42, 56, 84, view=1), CALL, crop(0, 0, 70, 70), ANSWER),
    ),
    "quarter view only": ("always_low", (ANSWER,)),
    "full view only": ("always_high", (ANSWER,)),
}


def turned_photograph() -> bytes:
    """A picture that is not square, whose EXIF tag says that it lies on its side."""
    picture = paint(draw_scene(random.Random(SEED))).resize((150, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, format="PNG", exif=exif)
    return file.getvalue()


SAMPLE: Final = Sample(
    id="parity",
    question="what letter is printed on the shape ?",
    answer="H",
    family="mark",
    needs_high_res=True,
    source="test",
    picture=turned_photograph(),
)


def config_of(title: str) -> RunConfig:
    """The settings of a transcript."""
    return SEVERAL_TOOLS if title == FIVE_TURNS else CONFIG


@dataclass(frozen=True)
class Played:
    """What a driver showed the model before each turn, and the whole as a trainer takes it."""

    asked: tuple[tuple[Message, ...], ...]
    pixels: tuple[bytes, ...]
    """Of every view in the last request, in order."""
    ids: tuple[int, ...]
    mask: tuple[bool, ...]


Result = TypeVar("Result")
Driver = Callable[[RunConfig, ScriptedEngine, ViewPolicy, Path], None]


def by_label(config: RunConfig, engine: ScriptedEngine, policy: ViewPolicy, folder: Path) -> None:
    del policy, folder  # it always asks under both fixed policies; `play` takes the requests of the one it wants
    setting = LabelSetting(rule=config.label.rule(), max_reply_tokens=40, seed=config.seed)
    work = Work(key=0, sample=SAMPLE, asks=setting.asks(SAMPLE))
    ends: list[End] = []
    _run(runner_over(engine, config=config).run([work], lambda work, end: ends.append(end)))
    assert len(ends) == 1


def by_train(config: RunConfig, engine: ScriptedEngine, policy: ViewPolicy, folder: Path) -> None:
    del folder
    assert policy == "auto"
    found = _run(
        collect(
            [Prompt(sample=SAMPLE, needed=True)],
            runner=runner_over(engine, config=config),
            decode=lambda sample: decoded(sample, config.data),
            sampling=Sampling(max_tokens=40),
            group_size=1,
            rule=config.reward.rule(),
            format_rule="paper",
        )
    )
    assert len(found.rollouts) == 1


def by_evaluate(config: RunConfig, engine: ScriptedEngine, policy: ViewPolicy, folder: Path) -> None:
    contenders = usual_contenders(Path("base"), Path("trained"), config)
    contender = next(one for one in contenders if one.policy == policy)
    series = series_of(contender, benchmark_of(config), "test", [SAMPLE], folder=folder, shard_size=8)
    _run(ask_open(runner_over(engine, config=config), [series], total=1, max_lost_ratio=0.0, on_record=lambda: None))
    assert len(series.book.finished()) == 1


def by_serve(config: RunConfig, engine: ScriptedEngine, policy: ViewPolicy, folder: Path) -> None:
    del folder
    _served(config, engine, policy, is_streamed=False)


def by_stream(config: RunConfig, engine: ScriptedEngine, policy: ViewPolicy, folder: Path) -> None:
    del folder
    _served(config, engine, policy, is_streamed=True)


def by_server(config: RunConfig, engine: ScriptedEngine, policy: ViewPolicy, folder: Path) -> None:
    """The app before a server that has the engine."""
    del folder
    with background_server(chat_server(engine), ready_path=None) as address:
        behind = open_engine(f"openai:{address}/v1?model={engine.model}")
        _served(config, behind, policy, is_streamed=True)


def _served(config: RunConfig, engine: Engine, policy: ViewPolicy, *, is_streamed: bool) -> None:
    prompting = prompting_of(config)
    app = create_app(
        engine,
        model_name="parity",
        protocol=prompting.protocol,
        direct_protocol=prompting.direct_protocol,
        rule=prompting.rule,
        toolbox=prompting.toolbox,
        max_turns=prompting.max_turns,
        limits=ServingLimits(max_tokens=40),
    )
    url = f"data:image/png;base64,{base64.b64encode(SAMPLE.picture).decode()}"
    asked: dict[str, Any] = {
        "model": "parity",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": url}},
                    {"type": "text", "text": SAMPLE.question},
                ],
            }
        ],
        "extra_body": {"adaptive": {"policy": policy}},
    }
    with (
        background_server(app) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", timeout=30, max_retries=0) as client,
    ):
        if is_streamed:
            chunks = list(client.chat.completions.create(**asked, stream=True))
            assert chunks[-1].choices[0].finish_reason
        else:
            client.chat.completions.create(**asked)


DRIVERS: Final[dict[str, Driver]] = {
    "label": by_label,
    "train": by_train,
    "evaluate": by_evaluate,
    "serve": by_serve,
    "stream": by_stream,
}
SERVER: Final = "server"


def drivers_of(policy: ViewPolicy) -> list[str]:
    """Labelling never lets the model decide, training always does."""
    return [name for name in DRIVERS if name != ("label" if policy == "auto" else "train")]


def play(name: str, title: str, folder: Path) -> Played:
    """A transcript, played back by the driver `name`."""
    config, (policy, lines) = config_of(title), TRANSCRIPTS[title]
    first_view = prompting_of(config).spec(SAMPLE.question, _size(decode(SAMPLE.picture)), policy).first_view

    def says(request: Request) -> ScriptLine:
        return lines[sum(message.role is Role.ASSISTANT for message in request.messages)]

    engine = StreamingEngine(says)
    (by_server if name == SERVER else DRIVERS[name])(config, engine, policy, folder)
    requests = engine.requests
    if name == "label":  # eight rollouts at each size, the quarter view first
        num = config.label.num_rollouts
        ours = requests[:num] if first_view == "quarter" else requests[num:]
        assert len(requests) == 2 * num and all(request.messages == ours[0].messages for request in ours)
        requests = ours[:1]
    last = requests[-1]
    whole = (*last.messages, Message(role=Role.ASSISTANT, parts=(TextPart(text=lines[len(requests) - 1]),)))
    encoded = Encoder(tiny_processor()).encode(whole, last.picture, further_pictures=last.further_pictures)
    return Played(
        asked=tuple(request.messages for request in requests),
        pixels=tuple(
            cut(last.pictures[view.picture], view).tobytes() for message in last.messages for view in message.views
        ),
        ids=tuple(encoded.input_ids.tolist()),
        mask=tuple(encoded.reply_mask.tolist()),
    )


@pytest.mark.parametrize("title", TRANSCRIPTS)
def test_every_driver_plays_a_transcript_alike(title: str, tmp_path: Path, golden: Golden) -> None:
    played = {name: play(name, title, tmp_path / name) for name in drivers_of(TRANSCRIPTS[title][0])}
    assert len(played) == 4
    first, *others = played.values()
    for other in others:
        assert other == first
    golden(f"parity/{title.replace(',', '').replace(' ', '-')}.json", json.dumps(described(first), indent=2) + "\n")


@pytest.mark.parametrize("title", TRANSCRIPTS)
def test_a_server_behind_the_app_is_shown_the_same(title: str, tmp_path: Path) -> None:
    """Over two hops of HTTP: each view is a picture to it, so it knows the pixels and not the box."""
    ours, theirs = (play(name, title, tmp_path / name) for name in ("serve", SERVER))
    assert [sized(messages) for messages in theirs.asked] == [sized(messages) for messages in ours.asked]
    assert (theirs.ids, theirs.mask, theirs.pixels) == (ours.ids, ours.mask, ours.pixels)


def sized(messages: tuple[Message, ...]) -> list[tuple[Role, str, list[Size]]]:
    return [(message.role, message.text, [view.size for view in message.views]) for message in messages]


@pytest.mark.parametrize("title", TRANSCRIPTS)
def test_a_trainer_learns_from_what_the_model_was_shown(title: str, tmp_path: Path) -> None:
    """The trace that a trainer encodes is the conversation of the last request and the reply to it."""
    policy, lines = TRANSCRIPTS[title]
    picture = decode(SAMPLE.picture)
    spec = prompting_of(config_of(title)).spec(SAMPLE.question, _size(picture), policy)
    engine: Engine = ScriptedEngine(list(lines))
    finish = _run(run_episode(engine, spec, picture, Sampling(max_tokens=40)))
    assert isinstance(finish, Finish)
    encoded = Encoder(tiny_processor()).encode_trace(finish.trace, picture)
    want = play("evaluate", title, tmp_path)
    assert tuple(encoded.input_ids.tolist()) == want.ids and tuple(encoded.reply_mask.tolist()) == want.mask
    image_pads = want.ids.count(Encoder(tiny_processor()).image_id)
    assert image_pads == finish.trace.visual_tokens == sum(view.visual_tokens for view in finish.trace.views)


def described(played: Played) -> dict[str, Json]:
    """A transcript as a reviewer reads it."""
    last = played.asked[-1]
    return {
        "messages": [message_to_dict(message) for message in last],
        "messages_per_request": [len(messages) for messages in played.asked],
        "visual_tokens": sum(view.visual_tokens for message in last for view in message.views),
        "tokens": len(played.ids),
        "tokens_written": sum(played.mask),
    }


def _size(picture: Image.Image) -> Size:
    return Size(width=picture.width, height=picture.height)


def _run(work: Coroutine[object, object, Result]) -> Result:
    with asyncio.Runner() as runner:
        return runner.run(work)
