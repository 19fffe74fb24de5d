"""Records on disk: written when a shard is whole or the work stops, found again, never mixed up."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from visionthink.core.json_value import Json
from visionthink.episodes.shard import ShardBook
from visionthink.errors import DataError


@dataclass(frozen=True)
class Note:
    id: str
    text: str = ""

    def to_dict(self) -> dict[str, Json]:
        return {"id": self.id, "text": self.text}


def read(value: Json) -> Note:
    assert isinstance(value, dict)
    return Note(str(value["id"]), str(value["text"]))


def book(folder: Path, prefix: str = "") -> ShardBook[Note]:
    return ShardBook(folder, size=3, read=read, what="notes", prefix=prefix)


def ids(path: Path) -> list[str]:
    return [entry["id"] for entry in json.loads(path.read_text())]


def test_a_shard_is_written_when_its_last_member_has_its_record(tmp_path: Path) -> None:
    made = book(tmp_path)
    for place in (2, 0):
        made.keep(place, Note(str(place)))
    assert list(tmp_path.iterdir()) == []
    made.keep(1, Note("1"))
    assert ids(tmp_path / "00000.json") == ["0", "1", "2"], "in the order of the samples"


def test_what_is_there_when_the_work_stops_is_kept(tmp_path: Path) -> None:
    made = book(tmp_path)
    made.keep(4, Note("4"))
    made.keep(0, Note("0"))
    made.flush()
    assert ids(tmp_path / "00000.json") == ["0"] and ids(tmp_path / "00001.json") == ["4"]
    again = book(tmp_path)
    assert again.num_found == 2
    assert [again.claim(place, str(place)) for place in range(6)] == [True, False, False, False, True, False]
    assert again.num_found == 0
    for place in (1, 2, 3, 5):
        again.keep(place, Note(str(place)))
    assert ids(tmp_path / "00000.json") == ["0", "1", "2"] and ids(tmp_path / "00001.json") == ["3", "4", "5"]
    assert [note.id for note in again.finished()] == list("012345")


def test_a_stop_before_a_record_was_claimed_does_not_lose_it(tmp_path: Path) -> None:
    made = book(tmp_path)
    made.keep(2, Note("2"))
    made.flush()
    again = book(tmp_path)
    again.keep(0, Note("0"))
    again.flush()
    assert ids(tmp_path / "00000.json") == ["0", "2"]


@pytest.mark.parametrize("num_claimed", [3, 4], ids=["at the end", "at the next shard"])
def test_records_of_other_samples_are_refused(tmp_path: Path, num_claimed: int) -> None:
    made = book(tmp_path)
    for place in range(3):
        made.keep(place, Note(f"old-{place}"))
    again = book(tmp_path)
    with pytest.raises(DataError, match=r"00000\.json holds notes of other samples"):
        for place in range(num_claimed):
            again.claim(place, f"new-{place}")
        again.finished()


def test_books_of_one_folder_are_told_apart_by_prefix(tmp_path: Path) -> None:
    first, second = book(tmp_path, "test-"), book(tmp_path, "held-out-")
    for made in (first, second):
        made.keep(0, Note("0", text=str(made is first)))
        made.flush()
    assert book(tmp_path).num_found == 0
    found = book(tmp_path, "test-")
    assert found.claim(0, "0") and found.finished() == [Note("0", "True")]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "00000.json").write_text("[{")
    with pytest.raises(DataError, match=r"00000\.json cannot be read.*remove it"):
        book(tmp_path)
