"""What was read of a data set, and what was not.

Rule: one line each, short whatever lies in the folder. Who finds a figure odd looks here first: which files, which
split, how many rows, and what was left out for which reason.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from visionthink.core.excerpt import excerpt, listed
from visionthink.datasets.shard import LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipReport:
    """What the last reading left out."""

    num_skipped: int = 0
    examples: tuple[str, ...] = ()
    """The errors of the first rows that were left out."""
    num_read: int = field(default=0, compare=False)
    """Rows that became samples."""
    num_unaskable: int = 0
    """Sound rows that no episode can be made of."""
    unaskable: str = ""
    """Why, of the first of them."""

    @property
    def first(self) -> str:
        """The first error, in short."""
        return excerpt(self.examples[0], 180) if self.examples else ""

    def with_one(self, error: str, *, max_examples: int) -> "SkipReport":
        """The same with one more bad row."""
        examples = (*self.examples, error)[:max_examples]
        return replace(self, num_skipped=self.num_skipped + 1, examples=examples)

    def with_unaskable(self, why: str) -> "SkipReport":
        """The same with one more row that no episode can be made of."""
        return replace(self, num_unaskable=self.num_unaskable + 1, unaskable=self.unaskable or why)

    def lines(self, name: str) -> Iterator[str]:
        """What to tell; nothing when every row became a sample."""
        total = self.num_skipped + self.num_unaskable + self.num_read
        if self.num_skipped:
            yield f"{excerpt(name, 60)}: skipped {self.num_skipped} bad rows of {total}. The first: {self.first}"
        if self.num_unaskable:
            yield (
                f"{excerpt(name, 60)}: left out {self.num_unaskable} rows of {total}, of which no episode can be made. "
                f"The first: {excerpt(self.unaskable, 180)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What a source reads."""

    name: str
    """What the user named."""
    format: str
    num_files: int
    num_rows: int | None
    """None where only reading tells."""
    split: str | None
    left_out: tuple[LeftOut, ...] = ()
    """Files that are not read."""
    identities: tuple[str, ...] = ()
    """The files that are, by a name that is the same for all links to one."""
    skipped: SkipReport = SkipReport()

    def lines(self) -> Iterator[str]:
        """What to tell: what is read, and what the last reading left out."""
        files = "a saved data set" if self.format == "hf_disk" else f"{self.num_files} {self.format} file"
        plural = "s" if self.num_files > 1 and self.format != "hf_disk" else ""
        rows = (
            "an unknown number of rows"
            if self.num_rows is None
            else f"{self.num_rows} row{'s' if self.num_rows != 1 else ''}"
        )
        split = f", split {excerpt(self.split, 40)}" if self.split else ""
        yield f"data: {excerpt(self.name, 100)}: {files}{plural}, {rows}{split}{self._left_out()}"
        yield from self.skipped.lines(self.name)

    def _left_out(self) -> str:
        if not self.left_out:
            return ""
        reasons = Counter(entry.why for entry in self.left_out)
        first = {entry.why: entry.key for entry in reversed(self.left_out)}
        told = [
            f"{excerpt(first[why], 40)} ({why})"
            if count == 1
            else f"{count} ({why}, such as {excerpt(first[why], 40)})"
            for why, count in reasons.items()
        ]
        return f"; left out: {listed(told, 3)}"
