"""One question about one picture.

Rule: a pure record that every stage passes on unchanged. Labels and results refer to it by ``id`` and are kept in
files of their own, so a sample never depends on which model looked at it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from visionthink.core.geometry import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A picture, a question and the answer that counts as right."""

    id: str
    """Unique within its data set; stays the same when the set is written and read again."""
    question: str
    """What the user asks; may hold one ``<image>`` marker where the picture belongs."""
    answer: str
    """Ground truth, as a judge compares it."""
    family: str
    """Kind of question, for reports by kind."""
    needs_high_res: bool | None
    """Whether the quarter view is known to be too small; ``None`` when nobody knows."""
    source: str
    """Where the sample comes from: a data set's name, or the world's split."""
    picture: bytes = field(repr=False)
    """The encoded picture (PNG or JPEG) as it was stored."""
    other_answers: tuple[str, ...] = ()
    """Answers that are as right as ``answer``."""
    details: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False, repr=False)
    """Further cells of its row, as texts, by the names of their columns: what the benchmark that the row belongs to
    reads. They are not written with a set of samples."""
    region: Box | None = None
    """Where in the upright picture the evidence lies; ``None`` when nobody knows."""
    row: str = field(default="", compare=False)
    """Where it was read: "row 17 of train.parquet". Errors name it; equal samples may come from different rows."""

    @property
    def answers(self) -> tuple[str, ...]:
        """All right answers, ``answer`` first."""
        return (self.answer, *self.other_answers)

    @property
    def name(self) -> str:
        """What errors call it: its row, where it has one, and its id."""
        return self.id if not self.row else f"{self.row} ({self.id})"
