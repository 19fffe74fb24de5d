"""One thing that can be asked about one picture: how, what is right, and where in the picture that stands."""

import random
from dataclasses import dataclass

from visionthink.core.geometry import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A family's question about a scene."""

    family: str
    subject: str
    """What it is about in a word or two, as thoughts and recitals name it."""
    questions: tuple[str, ...]
    """Its wordings."""
    answer: str
    needs_high_res: bool
    boxes: tuple[Box, ...]
    """Where the evidence lies: one box for each panel that holds some."""
    places: tuple[str, ...]
    """The name of the place of each."""
    notes: tuple[str, ...] = ()
    """What is read in each, where the answer follows from several."""

    @property
    def place(self) -> str:
        """The name of the place of the first box."""
        return self.places[0]

    @property
    def region(self) -> Box:
        """The smallest box around all of the evidence."""
        return Box(
            left=min(box.left for box in self.boxes),
            top=min(box.top for box in self.boxes),
            right=max(box.right for box in self.boxes),
            bottom=max(box.bottom for box in self.boxes),
        )

    def ask(self, rng: random.Random) -> str:
        """One of the wordings."""
        return rng.choice(self.questions)
