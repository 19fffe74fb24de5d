"""Calls of a judge outlive the process that made them, whatever becomes of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from visionthink.errors import StorageError
from visionthink.judges.call_log import CallLog, JudgeCall, call_key, read_calls

_WRITER = """
import sys
from pathlib import Path
from visionthink.judges.call_log import CallLog
from tests.unit.judges.test_call_log import call
log = CallLog(Path(sys.argv[1]), run=sys.argv[2])
for number in range(int(sys.argv[3])):
    log.append(call(f"{sys.argv[2]}-{number}", run=sys.argv[2]))
    print(number, flush=True)
"""


def call(key: str, *, run: str = "one", correct: float | None = 1.0, num_tokens: int = 7) -> JudgeCall:
    return JudgeCall(
        key=key,
        run=run,
        model="m",
        prompt="strict",
        question="what color ?",
        answers=("red", "rot"),
        prediction="Red\n",
        reply="x" * 5000 + "Score: 1",
        correct=correct,
        num_tokens=num_tokens,
    )


def writer(path: Path, run: str, count: int) -> "subprocess.Popen[str]":
    root = Path(__file__).parents[3]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(root / "platform")))}
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), run, str(count)], stdout=subprocess.PIPE, text=True, env=env
    )


def test_a_verdict_is_known_to_whoever_opens_the_file_later(tmp_path: Path) -> None:
    path = tmp_path / "judge" / "calls.jsonl"
    log = CallLog(path, run="one")
    assert log.verdict("a") is None
    log.append(call("a"))
    log.append(call("b", correct=0.0))
    log.append(call("c", correct=None))
    assert [CallLog(path).verdict(key) for key in "abc"] == [1.0, 0.0, None]
    (found, *_) = read_calls(path)
    assert found.item.answers == ("red", "rot") and found.reply.endswith("Score: 1") and len(found.reply) == 400


def test_without_a_file_calls_are_known_as_long_as_the_log_lives() -> None:
    log = CallLog(run="one")
    log.append(call("a"))
    assert (log.verdict("a"), log.verdict("b"), log.num_calls, log.num_tokens) == (1.0, None, 1, 7)


def test_two_logs_on_one_file_know_each_others_verdicts_and_spend_apart(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    one, two = CallLog(path, run="one"), CallLog(path, run="two")
    one.append(call("a", run="one"))
    two.append(call("b", run="two"))
    assert (one.verdict("b"), two.verdict("a")) == (1.0, 1.0)
    assert [(log.num_calls, log.num_tokens) for log in (one, two)] == [(1, 7), (1, 7)]


DAMAGE = {
    "cut short": lambda text: text[:-9],
    "cut at the line's end": lambda text: text[:-1],
    "nulls behind, as after a crash": lambda text: text + b"\0" * 4096,
    "no JSON": lambda text: text + b"{{{\n",
    "no text": lambda text: text + b"\xff\xfe\x00\n",
    "another record": lambda text: text + b'{"key": "b"}\n',
    "a verdict that is none": lambda text: text + call("b").to_line().replace(b'"correct": 1.0', b'"correct": 1.5'),
    "too deep": lambda text: text + b"[" * 200_000 + b"\n",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_line_is_passed_over_and_spoils_no_other(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "calls.jsonl"
    whole = call("a").to_line()
    path.write_bytes(DAMAGE[kind](whole + call("x").to_line()))
    log = CallLog(path, run="one")
    assert (log.verdict("a"), log.verdict("b")) == (1.0, None)
    log.append(call("c"))
    assert log.verdict("c") == 1.0
    assert [CallLog(path).verdict(key) for key in "ac"] == [1.0, 1.0]


def test_a_file_that_was_emptied_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    log = CallLog(path, run="one")
    for key in "abc":
        log.append(call(key))
    path.write_bytes(b"")
    log.append(call("d"))
    assert (log.verdict("d"), log.num_calls) == (1.0, 1)


def test_what_is_not_yet_a_line_is_read_once_it_is_one(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    line = call("a").to_line()
    path.write_bytes(line[:20])
    log = CallLog(path)
    assert log.verdict("a") is None
    path.write_bytes(line)
    assert log.verdict("a") == 1.0


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"calls\.jsonl"):
        CallLog(tmp_path / "file" / "calls.jsonl").append(call("a"))
    with pytest.raises(StorageError, match="could not read"):
        CallLog(tmp_path).refresh()


def test_a_key_tells_apart_model_prompt_and_text() -> None:
    keys = {call_key(*parts) for parts in (("m", "s", "q"), ("n", "s", "q"), ("m", "t", "q"), ("m", "s", "r"))}
    assert len(keys) == 4 and call_key("m", "s", "\ud800") != call_key("m", "s", "?")


def test_every_verdict_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    process = writer(path, "one", 1_000_000)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    log = CallLog(path, run="one")
    assert [log.verdict(f"one-{line.strip()}") for line in said] == [1.0] * 50
    log.append(call("next"))
    assert log.verdict("next") == 1.0
    assert all(_is_json(line) for line in path.read_bytes().splitlines()[: log.num_calls - 1])


def test_processes_that_share_a_file_lose_nothing_of_each_others(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    processes: Sequence[subprocess.Popen[str]] = [writer(path, name, 200) for name in ("one", "two")]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    log = CallLog(path, run="two")
    assert all(log.verdict(f"{name}-{number}") == 1.0 for name in ("one", "two") for number in range(200))
    assert log.num_calls == 200 and len(list(read_calls(path))) == 400


def _is_json(line: bytes) -> bool:
    return isinstance(json.loads(line), dict)
