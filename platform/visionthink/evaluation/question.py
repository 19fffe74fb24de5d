"""A held-out sample made ready to be asked, by any contender.

Rule: what differs between contenders is the episode alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from visionthink.config import DataConfig
from visionthink.core.episode import EpisodeSpec
from visionthink.core.sample import Sample
from visionthink.evaluation.benchmarks import Benchmark
from visionthink.evaluation.contender import Contender
from visionthink.samples import decoded, size_of_picture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """A sample with its picture."""

    sample: Sample
    text: str
    """As the benchmark words it."""
    picture: Image.Image

    def episode(self, contender: Contender) -> tuple[EpisodeSpec, Image.Image]:
        """What the driver takes."""
        return contender.prompting.spec(self.text, size_of_picture(self.picture), contender.policy), self.picture


def questions_of(benchmark: Benchmark, samples: Sequence[Sample], config: DataConfig) -> list[Question]:
    """The samples with their pictures.

    Raises:
        DataError: a picture is broken.
    """
    return [
        Question(sample=sample, text=benchmark.prompt(sample), picture=decoded(sample, config)) for sample in samples
    ]
