"""A held-out sample made ready to be asked, by any row.

Rule: the picture is decoded once; what differs between rows is the episode alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

from visionthink.config import DataConfig
from visionthink.core.episode import EpisodeSpec
from visionthink.core.sample import Sample
from visionthink.episodes.prompting import Prompting, ViewPolicy
from visionthink.report.record import Row
from visionthink.samples import decoded, size_of_picture

POLICIES: Final[Mapping[Row, ViewPolicy]] = {
    Row.ALWAYS_LOW: "always_low",
    Row.ALWAYS_HIGH: "always_high",
    Row.BASE: "auto",
    Row.TRAINED: "auto",
}
"""Who chooses the view in a row."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """A sample with its picture."""

    sample: Sample
    picture: Image.Image

    def episode(self, prompting: Prompting, policy: ViewPolicy) -> tuple[EpisodeSpec, Image.Image]:
        """What the driver takes."""
        return prompting.spec(self.sample.question, size_of_picture(self.picture), policy), self.picture


def questions_of(samples: Sequence[Sample], config: DataConfig) -> list[Question]:
    """The samples with their pictures.

    Raises:
        DataError: a picture is broken.
    """
    return [Question(sample=sample, picture=decoded(sample, config)) for sample in samples]
