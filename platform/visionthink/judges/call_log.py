"""Every question that was put to a language model that judges, and what it said: one JSON object a line.

Rule: the file is only ever added to, a whole line at a time under the kernel's lock, so that several processes may
share it and a process that is killed loses at most the verdict that it was writing. A line that is none (cut short by a
kill or a full disk, or damaged) is passed over. A verdict that stands there is never asked for again, in whichever run;
what a run has spent is the sum over its own lines.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from visionthink.core.json_value import Json
from visionthink.errors import DataError
from visionthink.judges.judge import GradeItem
from visionthink.storage.error import from_os_error

_MAX_REPLY: Final = 400
"""Characters that are kept of a reply, from its end: there the verdict stands, behind all thinking."""
_MAX_VERDICTS: Final = 1_000_000
"""In memory; beyond that the oldest are forgotten, some 150 MB."""


def call_key(model: str, *texts: str) -> str:
    """What a verdict is remembered by: the model's name, and all texts that the verdict depends on."""
    text = json.dumps([model, *texts])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCall:
    """One question, and what came of it."""

    key: str
    run: str
    """Whose spending it is."""
    model: str
    prompt: str
    question: str
    answers: tuple[str, ...]
    prediction: str
    family: str = ""
    reply: str = ""
    """The end of it."""
    correct: float | None = None
    """The verdict; None where there was no clear one."""
    error: str | None = None
    """Why there was no reply."""
    num_tokens: int = 0

    @property
    def item(self) -> GradeItem:
        """What was graded."""
        return GradeItem(
            question=self.question,
            answer=self.answers[0],
            other_answers=self.answers[1:],
            prediction=self.prediction,
            family=self.family,
        )

    def to_line(self) -> bytes:
        """The call as a line, with the end of it."""
        return json.dumps(asdict(self) | {"reply": self.reply[-_MAX_REPLY:]}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what `to_line` made.

        Raises:
            DataError: it is something else.
        """
        try:
            value: Json = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"not a call of a judge: {line[:80]!r}") from error
        match value:
            case {
                "key": str(),
                "run": str(),
                "answers": [str(), *_] as answers,
                "correct": None | float() | int() as correct,
                "num_tokens": int(),
            } if (
                isinstance(value, dict) and set(value) == set(cls.__slots__) and (correct is None or 0 <= correct <= 1)
            ):
                return cls(**{**value, "answers": tuple(map(str, answers))})  # type: ignore[arg-type]
            case _:
                raise DataError(f"not a call of a judge: {line[:80]!r}")


def read_calls(path: Path) -> Iterator[JudgeCall]:
    """The calls in a file; lines that are none are passed over.

    Raises:
        StorageError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                if (call := _read(line)) is not None:
                    yield call
    except OSError as error:
        raise from_os_error(error, str(path), "read") from error


class CallLog:
    """The calls of all runs that share a file, or of this process where there is none."""

    def __init__(self, path: Path | None = None, *, run: str = "") -> None:
        """Go on in the file at `path`, which need not be there yet; None keeps all in memory. New calls are `run`'s."""
        self._path = path
        self.run = run
        self.num_calls = 0
        """That the run has made ..."""
        self.num_tokens = 0
        """... and the tokens of them."""
        self._verdicts: dict[str, float] = {}
        self._offset = 0

    def verdict(self, key: str) -> float | None:
        """What was said before of the same; None where nothing clear was."""
        if key not in self._verdicts:
            self.refresh()
        return self._verdicts.get(key)

    def append(self, call: JudgeCall) -> None:
        """Keep a call; when this returns it outlives the process.

        Raises:
            StorageError: it cannot be written, for lack of room for example.
        """
        if self._path is None:
            self._count(call)
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _append(self._path, call.to_line())
        except OSError as error:
            raise from_os_error(error, str(self._path), "write") from error
        self.refresh()

    def refresh(self) -> None:
        """Take in what the file was given since, by this process and others.

        Raises:
            StorageError: it cannot be read.
        """
        if self._path is None:
            return
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:  # somebody emptied it
                    self._offset, self.num_calls, self.num_tokens = 0, 0, 0
                file.seek(self._offset)
                for line in file:
                    if not line.endswith(b"\n"):  # still being written, or never to be ended
                        break
                    self._offset += len(line)
                    if (call := _read(line)) is not None:
                        self._count(call)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, str(self._path), "read") from error

    def _count(self, call: JudgeCall) -> None:
        if call.correct is not None:
            self._verdicts[call.key] = call.correct
            if len(self._verdicts) > _MAX_VERDICTS:
                del self._verdicts[next(iter(self._verdicts))]
        if call.run == self.run:
            self.num_calls += 1
            self.num_tokens += call.num_tokens


def _read(line: bytes) -> JudgeCall | None:
    try:
        return JudgeCall.from_line(line)
    except DataError:
        return None


def _append(path: Path, line: bytes) -> None:
    """Add a line; what a killed process left of its own is ended first, so that it spoils no other."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # ends with the descriptor
        size = os.fstat(descriptor).st_size
        rest = line if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n" else b"\n" + line
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)
