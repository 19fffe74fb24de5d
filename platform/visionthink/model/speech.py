"""What the embedded model has heard: its thoughts, and the corpus that its tokenizer is trained on.

The thoughts come in three moods. The model is warmed up to pick a mood at random, so that before reinforcement
learning a thought says nothing about the question.
"""

from collections.abc import Iterator
from typing import Any, Final

from visionthink.datasets.world.glyph import DIGITS, LETTERS
from visionthink.datasets.world.layout import GRID, Layout
from visionthink.datasets.world.scene import BARS, COLORS, SHAPES

THOUGHTS_DIRECT: Final = ("i can see it .", "this is clear enough .", "that is easy to see .")
THOUGHTS_ASK: Final = ("this is too small .", "i need more pixels .", "let me look closer .")
THOUGHTS_AFTER: Final = ("now i can see it .", "the larger image is clear .", "now it is easy .")
CALL: Final = '<tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'

RECITE: Final = "describe the image ."
_SCAFFOLD: Final = (
    "system\n",
    "user\n",
    "assistant\n",
    "you may ask for more pixels .",
    "here is the larger image .",
    "that call failed : answer now .",
    RECITE,
    "You are a helpful assistant.",
    "# Tools\nYou may call the function shown below. Answer each call as a json object with a name and arguments.",
)


def corpus(layout: Layout[Any] = GRID) -> Iterator[str]:
    """Texts for the tokenizer; a word that is repeated here becomes one token."""
    answers = (*COLORS, *SHAPES, *BARS, *layout.regions, *DIGITS, *LETTERS)
    thoughts = (*THOUGHTS_DIRECT, *THOUGHTS_ASK, *THOUGHTS_AFTER)
    for _ in range(40):
        yield from (*layout.questions, *thoughts, *answers, *_SCAFFOLD, CALL, *layout.words)
        yield from (f" {answer}" for answer in answers)
        yield from (f" {name}=" for name in layout.families)
