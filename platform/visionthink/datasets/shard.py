"""Which files of a folder are data, and which part of the data set each one belongs to.

Rule: names alone decide, and what is left out is said. A folder as people have it holds more than the data: traces of
editors and notebooks, marks of Spark and macOS, downloads under way, copies. None of them is read, and nothing is read
twice. Parts that their makers kept apart ("train", "test") are never mixed unless the user says so; a set of numbered
files is read whole or not at all.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from visionthink.core.excerpt import excerpt, listed, shown
from visionthink.errors import DataError

_UNFINISHED: Final = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".opdownload", ".incomplete")
_EDITED: Final = (".swp", ".swo", ".bak", ".backup", ".orig", ".old", ".rej", ".lock")
_SYSTEM: Final = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

_COPY: Final = re.compile(
    r"(?P<prefix>(?:copy|backup) of )?(?P<name>.+?)"
    r"(?P<mark> \(\d+\)| ?- (?:copy|kopie)(?: \(\d+\))?| copy(?: \d+)?|-checkpoint"
    r"|[._-](?:bak|orig|old|backup)\d*|~|\.sync-conflict-[\w-]+| \([^)]*conflicted copy[^)]*\))?(?P<suffix>(?:\.\w+)*)",
    re.IGNORECASE,
)
"""How file managers, notebooks and synchronizers name a copy of NAME.SUFFIX."""

_FAMILIES: Final[Mapping[str, frozenset[str]]] = {
    "train": frozenset({"train", "training", "trn"}),
    "validation": frozenset({"val", "valid", "validation", "dev", "development"}),
    "test": frozenset({"test", "testing"}),
    "eval": frozenset({"eval", "evaluation"}),
}
"""Words for the same split: who asks for "validation" may be given "val", where there is one only."""
_SPLITS: Final = frozenset().union(*_FAMILIES.values()) | {
    *("trainval", "minival", "testmini", "testdev", "teststd", "heldout", "holdout")
}
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_ENDING: Final = re.compile(r"(?<=.)(?:set|split|data)$")
"""testset.jsonl, trainData.jsonl"""
_NUMBERED: Final = re.compile(r"(?P<set>.*?)[-_.]?(?P<number>\d{1,6})[-_]of[-_](?P<count>\d{1,6})(?!\d).*")
"""train-00000-of-00002.parquet, also with a hash behind it."""
_NO_SET: Final = frozenset({"", "data", "dataset", "part", "shard", "chunk", "file", "rows", "samples", "output"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A file that is not read, and why."""

    key: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The files of one split."""

    keys: tuple[str, ...]
    split: str | None
    left_out: tuple[LeftOut, ...] = ()


def why_hidden(name: str) -> str | None:
    """Return why a file or folder of that name is nobody's data; None where it may be."""
    lower = name.lower()
    if name.startswith("."):
        return "hidden"
    if name.startswith(("_", "~$")) or lower in _SYSTEM:
        return "another program's mark"
    if name.endswith("~") or (name.startswith("#") and name.endswith("#")) or lower.endswith(_EDITED):
        return "an editor's copy"
    return "unfinished" if lower.endswith(_UNFINISHED) else None


def original_of(key: str, keys: Iterable[str]) -> str | None:
    """Return the key that this one is a copy of by its name: "t (1).jsonl" of "t.jsonl", where that is there."""
    parts = key.split("/")
    for index, part in enumerate(parts):
        found = _COPY.fullmatch(part)
        if found and (found["prefix"] or found["mark"]):
            original = "/".join((*parts[:index], found["name"] + found["suffix"], *parts[index + 1 :]))
            if original in keys:
                return original
    return None


def split_of(key: str) -> str | None:
    """Return the split that a file belongs to: what its own name says, else the nearest folder's name."""
    *folders, name = key.split("/")
    stem = name.partition(".")[0] if not name.startswith(".") else name
    numbered = _NUMBERED.fullmatch(stem)
    if numbered and numbered["set"].lower() not in _NO_SET:
        return numbered["set"].lower()
    for text in (stem, *reversed(folders)):
        words = dict.fromkeys(_ENDING.sub("", word.lower()) for word in _WORD.findall(text))
        if named := [word for word in words if word in _SPLITS]:
            return "_".join(named)
    return None


def choose_split(keys: Sequence[str], split: str | None, *, place: str) -> Chosen:
    """Return the files of one split; those of "a+b" are the files of both. `place` is what the user named.

    Raises:
        DataError: there are several splits and none was asked for, or not the one that was.
    """
    groups: dict[str | None, list[str]] = {}
    for key in keys:
        groups.setdefault(split_of(key), []).append(key)
    if split is None:
        if len(groups) > 1:
            raise DataError(
                f"{excerpt(place, 100)} holds {_found(groups)}, which are never mixed; name one split (data.split, "
                "data.eval_split) or the file to read"
            )
        return Chosen(keys=tuple(keys), split=next(iter(groups), None))
    names = [_named(part.strip(), groups, place) for part in split.split("+")]
    chosen = tuple(key for key in keys if split_of(key) in names)
    left_out = tuple(LeftOut(key=key, why="another split") for key in keys if split_of(key) not in names)
    return Chosen(keys=chosen, split=split, left_out=left_out)


def check_whole(keys: Iterable[str], *, place: str) -> None:
    """Refuse numbered sets that lack a file, or hold one twice.

    Raises:
        DataError: naming the set and the numbers.
    """
    sets: dict[tuple[str, str, str], dict[int, list[int]]] = {}
    for key in keys:
        folder, name = posixpath.split(key)
        found = _NUMBERED.fullmatch(name)
        if found:
            one = sets.setdefault((folder, found["set"], posixpath.splitext(name)[1].lower()), {})
            one.setdefault(int(found["count"]), []).append(int(found["number"]))
    for (folder, name, _), counts in sets.items():
        problem = _problem(counts)
        if problem is not None:
            what = excerpt(posixpath.join(folder, name) or "the numbered files", 80)
            raise DataError(f"{excerpt(place)}: {what} {problem}")


def _problem(counts: Mapping[int, list[int]]) -> str | None:
    if len(counts) > 1:
        totals = " and ".join(str(count) for count in sorted(counts))
        return f"is there as a set of {totals} files at once; remove the older one"
    ((count, numbers),) = counts.items()
    first = 1 if count in numbers else 0
    missing = sorted(set(range(first, first + count)) - set(numbers))
    twice = sorted(number for number, times in Counter(numbers).items() if times > 1)
    if missing:
        shown_numbers = listed([f"{number:05d}" for number in missing])
        return f"lacks {len(missing)} of {count} files ({shown_numbers}); fetch them, or name the one file to read"
    if twice:
        return f"is there twice in part ({listed([f'{number:05d}' for number in twice])}); remove the older files"
    return None


def _named(split: str, groups: Mapping[str | None, list[str]], place: str) -> str | None:
    """Return the split of the files that the user means."""
    if split.lower() in groups:
        return split.lower()
    wanted = next((kind for kind, words in _FAMILIES.items() if split.lower() in words), None)
    alike = [name for name in groups if name is not None and wanted is not None and _family(name) == wanted]
    if len(alike) == 1:
        return alike[0]
    # A file or folder that was named itself says by its name what is in it.
    own = {split_of(part) for part in place.rstrip("/").split("/")[-2:]}
    if set(groups) == {None} and any(_is(split.lower(), name) for name in own):
        return None
    raise DataError(f"{excerpt(place, 100)}: there is no split {shown(split)}; it holds {_found(groups)}")


def _is(split: str, name: str | None) -> bool:
    return name is not None and (split == name or (_family(split) is not None and _family(split) == _family(name)))


def _family(split: str) -> str | None:
    """Return what kind of split one is, by the one word in it that says so."""
    words = {word for word in re.findall("[a-z]+", split) if word in _SPLITS}
    kinds = [kind for kind, family in _FAMILIES.items() if words & family]
    return kinds[0] if len(kinds) == 1 and len(words) == 1 else None


def _found(groups: Mapping[str | None, list[str]]) -> str:
    """Return the splits with a file of each, for messages."""
    files = {name: excerpt(posixpath.basename(keys[0]), 40) for name, keys in groups.items()}
    named = [f"{excerpt(name, 20)} ({files[name]})" for name in sorted(filter(None, files))]
    if None in files:
        named.append(f"files of no split ({files[None]})")
    return listed(named, 4)
