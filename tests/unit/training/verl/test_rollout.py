import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tests.fakes.rollout_server import ScriptedServer, Told
from tests.unit.engines.tiny_model import tiny_processor
from tests.unit.training.verl.written import CONFIG, holder, path_of, row_infos, world
from tests.unit.training.written import ASK, saying

from visionthink.errors import JudgeError
from visionthink.judges import Grade, GradeItem
from visionthink.training.verl.rollout import HeldRollout, facts_of, graded_from
from visionthink.training.verl.server_engine import Room

KEYS = facts_of(graded_from({"acc": 0, "format_ok": 0, "num_tool_calls": 0, "asked_token_ratio": 0, "failed": 0}), None)
IMAGE_ID = tiny_processor().tokenizer.convert_tokens_to_ids(tiny_processor().image_token)


@dataclass
class SaysOfAll:
    """Gives every answer one grade, or raises."""

    grade_: Grade | Exception

    async def grade(self, item: GradeItem) -> Grade:
        if isinstance(self.grade_, Exception):
            raise self.grade_
        return self.grade_

    async def aclose(self) -> None: ...


def held(
    folder: Path,
    server: ScriptedServer,
    *,
    grade: Grade | Exception | None = None,
    room: Room | None = None,
    policy: str = "auto",
) -> HeldRollout:
    info = row_infos(world(1), folder, policy=policy)[0]
    subject = holder(folder, judge=SaysOfAll(grade) if grade else None, room=room)
    return asyncio.run(subject.hold(server, info, temperature=0.7, top_p=0.9))


def test_a_rollout_that_asks_is_a_row_with_both_views(tmp_path: Path) -> None:
    answer = saying(world(1)[0].answer)
    server = ScriptedServer([ASK, answer])
    got = held(tmp_path, server)
    row = got.trajectory
    assert row.prompt_ids == tuple(server.requests[0]["ids"])
    assert tuple(server.requests[1]["ids"]) == (row.prompt_ids + row.response_ids)[: len(server.requests[1]["ids"])]
    written = [one for one, own in zip(row.response_ids, row.mask, strict=True) if own]
    texts = "".join(f"{text}<|im_end|>" for text in (ASK, answer))
    assert tiny_processor().tokenizer.decode(written) == texts
    assert sum(row.mask) == len([value for value in row.log_probs if value])
    pads = (row.prompt_ids + row.response_ids).count(IMAGE_ID)
    assert pads == got.facts["visual_tokens"] == sum(int(view.grid_thw.prod()) // 4 for view in got.views)
    assert len(server.requests[1]["images"]) == len(got.views) == 2
    assert (got.facts["acc"], got.facts["asked"], got.facts["turns"], got.facts["failed"]) == (1, 1, 2, 0)
    assert got.versions == (6, 7, 6, 7) and got.score == 1.5 and not got.error


def test_the_server_is_asked_as_the_trainer_says_and_on_the_replica_of_the_sample(tmp_path: Path) -> None:
    server = ScriptedServer([ASK, saying("A")])
    held(tmp_path, server)
    assert {one["session"] for one in server.requests} == {world(1)[0].id}
    params = server.requests[0]["params"]
    assert (params["temperature"], params["top_p"], params["max_tokens"]) == (0.7, 0.9, CONFIG.episode.max_reply_tokens)


def test_a_fixed_view_is_one_turn_without_a_tool(tmp_path: Path) -> None:
    server = ScriptedServer([saying("A")])
    got = held(tmp_path, server, policy="always_high")
    assert got.facts["turns"] == 1 and got.facts["asked"] == 0
    assert server.requests[0]["images"][0].size == (112, 112)


def test_a_reply_that_is_cut_is_learned_from_without_an_end(tmp_path: Path) -> None:
    got = held(tmp_path, ScriptedServer([saying("A")], max_tokens=5))
    assert got.facts["truncated"] == 1 and sum(got.trajectory.mask) == 5 and all(got.trajectory.mask)


BROKEN = {
    "an engine that raises": [RuntimeError("actor died")],
    "no token": [Told(token_ids=[], log_probs=[])],
    "an aborted reply": [Told(token_ids=[5], log_probs=[-1.0], stop_reason="aborted")],
    "no log-probabilities": [Told(token_ids=[5], log_probs=None)],
    "a second turn that fails": [ASK, RuntimeError("actor died")],
}


@pytest.mark.parametrize("lines", BROKEN.values(), ids=BROKEN)
def test_a_failed_engine_marks_the_row(lines: list[str | Exception | Told], tmp_path: Path) -> None:
    is_failed(held(tmp_path, ScriptedServer(lines)))


GRADES = {
    "cannot be reached": Grade(correct=1.0, failed=True, error="no route"),
    "cannot tell": Grade(correct=1.0, failed=True, error="who knows", retryable=False),
    "is refused": JudgeError("a wrong key", retryable=False),
}


@pytest.mark.parametrize("grade", GRADES.values(), ids=GRADES)
def test_a_failed_judge_marks_the_row(grade: Grade | Exception, tmp_path: Path) -> None:
    is_failed(held(tmp_path, ScriptedServer([saying("A")]), grade=grade))


def test_a_lost_picture_marks_the_row(tmp_path: Path) -> None:
    info = row_infos(world(1), tmp_path)[0]
    path_of(info).unlink()
    got = asyncio.run(holder(tmp_path).hold(ScriptedServer(["x"]), info, temperature=1.0, top_p=1.0))
    is_failed(got)
    assert not got.views


def test_a_question_that_does_not_fit_marks_the_row_and_asks_nobody(tmp_path: Path) -> None:
    server = ScriptedServer([saying("A")])
    got = held(tmp_path, server, room=Room(prompt=8, total=1024))
    is_failed(got)
    assert "data.max_prompt_length" in got.error and not server.requests


def test_a_view_that_does_not_fit_ends_the_rollout_before_it(tmp_path: Path) -> None:
    short = len(held(tmp_path, ScriptedServer([ASK])).trajectory.prompt_ids) + CONFIG.episode.max_reply_tokens
    got = held(tmp_path, ScriptedServer([ASK]), room=Room(prompt=512, total=short))
    assert got.facts["failed"] == 0 and got.facts["turns"] == 1 and len(got.views) == 1
    assert all(got.trajectory.mask) and got.facts["format_ok"] == 0


def test_a_failed_try_is_tried_again(tmp_path: Path) -> None:
    server = ScriptedServer([RuntimeError("actor died"), ASK, RuntimeError("again"), saying("A")])
    got = held(tmp_path, server)
    assert got.facts["failed"] == 0 and got.facts["turns"] == 1
    assert sum(got.trajectory.mask) == len(got.trajectory.log_probs)


def test_pixels_of_a_picture_are_made_once(tmp_path: Path) -> None:
    info, subject = row_infos(world(1), tmp_path)[0], holder(tmp_path)

    async def twice() -> list[HeldRollout]:
        servers = [ScriptedServer([ASK, saying("A")]) for _ in range(2)]
        return await asyncio.gather(*(subject.hold(one, info, temperature=1.0, top_p=1.0) for one in servers))

    one, other = asyncio.run(twice())
    assert all(mine.patches is yours.patches for mine, yours in zip(one.views, other.views, strict=True))


def is_failed(got: HeldRollout) -> None:
    assert got.facts["failed"] == 1 and got.facts["acc"] == 0 and got.score == 0 and got.error
    assert KEYS.keys() < got.facts.keys()
    row = got.trajectory
    assert row.mask == (False,) and len(row.response_ids) == len(row.log_probs) == 1 and row.prompt_ids
    assert row.prompt_ids.count(IMAGE_ID) == sum(int(view.grid_thw.prod()) // 4 for view in got.views)
    assert all(isinstance(value, float) for value in got.facts.values())
    assert all(isinstance(view.patches, torch.Tensor) for view in got.views)
