"""What a model was asked before it is not asked again; everything that changes a reply is another question."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.unit.engines.conversation import noise, reply, system, user, view

from visionthink.core.episode import BackendFailed, Event, FinishReason, ModelReply, NoRoom
from visionthink.core.geometry import Box, Size, View
from visionthink.core.json_value import Json
from visionthink.engines import AnswerForm, Request, Sampling, ScriptedEngine
from visionthink.engines.reply_cache import CachedEngine, identity_of
from visionthink.engines.scripted import ScriptLine
from visionthink.storage.cache_folder import CacheFolder

GREEDY = Sampling(temperature=0.0, max_tokens=20)
REQUEST = Request(messages=(system("look"), user(view(56, 56), "which colour ?")), picture=noise(), sampling=GREEDY)
SAID = ModelReply(
    text="<answer>red</answer>",
    finish_reason=FinishReason.STOP,
    token_ids=(7, 8, 9),
    num_prompt_tokens=11,
    num_reply_tokens=4,
    latency_s=0.25,
)


def engine(folder: Path, line: ScriptLine = SAID, **identity: Json) -> tuple[CachedEngine, ScriptedEngine]:
    behind = ScriptedEngine(lambda _: line)
    return CachedEngine(behind, folder, identity=identity), behind


def text_of(event: Event) -> str:
    assert isinstance(event, ModelReply)
    return event.text


def with_sampling(**changes: object) -> Request:
    return replace(REQUEST, sampling=replace(GREEDY, **changes))  # type: ignore[arg-type]


async def test_a_reply_is_the_same_from_the_folder_with_all_that_a_next_turn_needs(tmp_path: Path) -> None:
    first, behind = engine(tmp_path)
    assert await first.reply(REQUEST) == SAID
    later, unasked = engine(tmp_path, "something else")
    assert await later.reply(REQUEST) == SAID
    assert (len(behind.requests), len(unasked.requests)) == (1, 0)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(REQUEST, session="abc"), id="session"),
        pytest.param(with_sampling(seed=5), id="seed of a greedy reply"),
        pytest.param(with_sampling(temperature=1e-5, top_p=0.5), id="as good as greedy"),
        pytest.param(replace(REQUEST, picture=noise()), id="a second decoding of the picture"),
    ],
)
async def test_what_changes_no_reply_is_the_same_question(other: Request, tmp_path: Path) -> None:
    cached, behind = engine(tmp_path)
    await cached.reply(REQUEST)
    await cached.reply(other)
    assert len(behind.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(REQUEST, messages=(system("look"), user(view(56, 56), "which shape ?"))), id="text"),
        pytest.param(replace(REQUEST, messages=(user(view(56, 56), "which colour ?"),)), id="no system text"),
        pytest.param(replace(REQUEST, messages=(system("look"), user("which colour ?"))), id="no view"),
        pytest.param(
            replace(REQUEST, messages=(system("look"), user("which colour ?", view(56, 56)))), id="view behind the text"
        ),
        pytest.param(replace(REQUEST, further_pictures=(noise(seed=1),)), id="a second picture"),
        pytest.param(
            replace(REQUEST, messages=(system("look"), user(view(112, 112), "which colour ?"))), id="size of the view"
        ),
        pytest.param(
            replace(
                REQUEST,
                messages=(
                    system("look"),
                    user(
                        View(size=Size(width=56, height=56), box=Box(left=0, top=0, right=56, bottom=56)),
                        "which colour ?",
                    ),
                ),
            ),
            id="box of the view",
        ),
        pytest.param(
            replace(REQUEST, messages=(*REQUEST.messages, reply("red", (1, 2)), user("sure ?"))), id="further turns"
        ),
        pytest.param(replace(REQUEST, picture=noise(seed=1)), id="pixels"),
        pytest.param(replace(REQUEST, picture=noise(56, 224)), id="the same pixels in another shape"),
        pytest.param(with_sampling(max_tokens=21), id="max_tokens"),
        pytest.param(with_sampling(stop=("a",)), id="stop"),
        pytest.param(with_sampling(until=("a",)), id="until"),
        pytest.param(with_sampling(repetition_penalty=1.1), id="repetition_penalty"),
        pytest.param(with_sampling(form=AnswerForm(kind="regex", rule="a")), id="form"),
    ],
)
async def test_what_changes_a_reply_is_another_question(other: Request, tmp_path: Path) -> None:
    cached, behind = engine(tmp_path)
    await cached.reply(REQUEST)
    await cached.reply(other)
    assert len(behind.requests) == 2


async def test_the_ids_that_a_model_wrote_are_part_of_the_question(tmp_path: Path) -> None:
    cached, behind = engine(tmp_path)
    for ids in ((1, 2), (1, 3), None):
        await cached.reply(replace(REQUEST, messages=(*REQUEST.messages, reply("red", ids), user("sure ?"))))
    assert len(behind.requests) == 3


async def test_models_share_a_folder_and_no_reply(tmp_path: Path) -> None:
    one, _ = engine(tmp_path, "one", model="a")
    other, _ = engine(tmp_path, "two", model="b")
    texts = [
        event.text for event in [await one.reply(REQUEST), await other.reply(REQUEST)] if isinstance(event, ModelReply)
    ]
    assert texts == ["one", "two"]


async def test_a_question_without_a_view_does_not_depend_on_the_picture(tmp_path: Path) -> None:
    cached, behind = engine(tmp_path)
    for seed in (0, 1):
        await cached.reply(Request(messages=(user("hello ?"),), picture=noise(seed=seed), sampling=GREEDY))
    assert len(behind.requests) == 1


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(with_sampling(temperature=0.7, seed=1), id="drawn"),
        pytest.param(with_sampling(num_top_log_probs=0), id="log-probabilities wanted"),
    ],
)
async def test_what_cannot_repeat_or_is_not_kept_whole_goes_past_the_folder(request_: Request, tmp_path: Path) -> None:
    cached, behind = engine(tmp_path)
    await cached.reply(request_)
    await cached.reply(request_)
    assert len(behind.requests) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(BackendFailed(error="out of order"), id="failed"),
        pytest.param(NoRoom(error="too long"), id="no room"),
        pytest.param(replace(SAID, finish_reason=FinishReason.ABORTED), id="broken off"),
    ],
)
async def test_a_failure_is_not_kept(line: ScriptLine, tmp_path: Path) -> None:
    cached, _ = engine(tmp_path, line)
    assert await cached.reply(REQUEST) == line
    again, _ = engine(tmp_path)
    assert await again.reply(REQUEST) == SAID


async def test_a_damaged_entry_is_asked_again(tmp_path: Path) -> None:
    await engine(tmp_path)[0].reply(REQUEST)
    (path,) = tmp_path.glob("*/*.json")
    path.write_bytes(path.read_bytes()[:-3])
    again, behind = engine(tmp_path)
    assert await again.reply(REQUEST) == SAID
    assert len(behind.requests) == 1


async def test_an_entry_that_tells_less_than_is_known_of_a_reply_now_is_asked_again(tmp_path: Path) -> None:
    await engine(tmp_path)[0].reply(REQUEST)
    (path,) = tmp_path.glob("*/*.json")
    entries = CacheFolder(tmp_path)
    entry = entries.find(path.stem)
    assert isinstance(entry, dict)
    entries.keep(path.stem, {name: value for name, value in entry.items() if name != "num_reply_tokens"})
    again, behind = engine(tmp_path)
    assert await again.reply(REQUEST) == SAID
    assert len(behind.requests) == 1


async def test_a_large_picture_is_told_by_its_pixels_too(tmp_path: Path) -> None:
    cached, behind = engine(tmp_path)
    pictures = [Image.new("RGB", (1024, 600), colour) for colour in ("white", "white", "red")]
    for picture in pictures:
        await cached.reply(replace(REQUEST, picture=picture))
    assert len(behind.requests) == 2


async def test_a_picture_that_took_the_place_of_another_in_memory_is_another(tmp_path: Path) -> None:
    cached, behind = engine(tmp_path)
    for seed in range(20):  # each dies before the next one is made
        await cached.reply(replace(REQUEST, picture=noise(seed=seed)))
    assert len(behind.requests) == 20


LOCAL_PLACE = "transformers"
A, B = "openai:http://a/v1?model=m", "openai:http://b:8000/v1?model=m"


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        pytest.param((A, "1"), (B, "1"), True, id="a server that moved, of known files"),
        pytest.param((A, None), (B, None), False, id="another server, of unknown files"),
        pytest.param((A, None), (A, None), True, id="the same server"),
        pytest.param((A, "1"), (A, "2"), False, id="other files"),
        pytest.param((A, "1"), ("openai:http://a/v1?model=n", "1"), False, id="another name at a server"),
        pytest.param((A, "1"), (LOCAL_PLACE, "1"), False, id="the same files in this process"),
    ],
)
def test_models_are_told_apart(one: tuple[str, str | None], other: tuple[str, str | None], want: bool) -> None:
    assert (identity_of(*one) == identity_of(*other)) is want


async def test_closing_closes_the_engine_behind(tmp_path: Path) -> None:
    closed: list[bool] = []

    class Closing(ScriptedEngine):
        async def aclose(self) -> None:
            closed.append(True)

    await CachedEngine(Closing([]), tmp_path, identity={}).aclose()
    assert closed == [True]
