"""Conversations that the embedded model learns from: recitals, question after question, and whole episodes.

Rule: an episode is made by the real `core.episode`, with a scripted model in the model's place. So what the model is
warmed up on is, id for id, what it meets later in labelling, training and serving.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from PIL import Image

from visionthink.core.episode import AskModel, EpisodeSpec, FinishReason, FirstView, ModelReply, advance, start
from visionthink.core.geometry import Box, View, ViewRule, full_view, quarter_view
from visionthink.core.message import ImagePart, Message, Role, TextPart
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ResizeImage, ToolBox
from visionthink.datasets.world.generate import one_of, scenes
from visionthink.datasets.world.layout import GRID, Layout
from visionthink.datasets.world.topic import Topic
from visionthink.model.speech import CALL, RECITE, THOUGHTS_AFTER, THOUGHTS_ASK, THOUGHTS_DIRECT

TOOL_PROTOCOL: Final = "compact-efficient-v1"
DIRECT_PROTOCOL: Final = "compact-general-v1"
_NUM_QUESTIONS: Final = 8
_SHOW_FULL_RATIO: Final = 0.75
"""Of recitals and question rounds."""
_FULL_RATIO: Final = 0.25
_QUARTER_RATIO: Final = 0.15
_ASK_RATIO: Final = 0.3
ANSWER_WEIGHT: Final = 3.0
_CUE_WEIGHT: Final = 0.1


class Piece(NamedTuple):
    """Part of a reply, and how much each of its tokens counts in the loss."""

    text: str
    weight: float
    box: Box | None = None
    """Where in the picture its evidence lies."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """A conversation about a picture, and its replies again in weighted pieces."""

    messages: tuple[Message, ...]
    replies: tuple[tuple[Piece, ...], ...]
    picture: Image.Image
    family: str
    """What is asked; empty for a recital."""


class Teacher:
    """Makes lessons about the world's pretraining split."""

    def __init__(self, *, rule: ViewRule, rng: random.Random, layout: Layout[Any] = GRID) -> None:
        """Draw everything from `rng`."""
        self._rule, self._rng, self._layout = rule, rng, layout
        self._scenes = scenes("pretrain", rng, layout)
        self._size = layout.size
        self._toolbox = ToolBox((ResizeImage(),))
        self._families = tuple(name for name, family in layout.families.items() if family.num_looks == 1)

    def recital(self) -> Lesson:
        """All that a view shows, as `subject=answer` in random order: a cue and its value, over and over.

        A cue right before its value is the easiest way to be asked for an attribute. Once the model can look one up,
        learning which question means which attribute is quick; learning both at once takes many times as long.
        """
        scene = next(self._scenes)
        view, pool = self._shown(scene)
        pieces: list[Piece] = []
        for topic in self._rng.sample(pool, len(pool)):
            pieces += [Piece(f" {topic.subject}=", _CUE_WEIGHT), Piece(topic.answer, ANSWER_WEIGHT, topic.region)]
        question = Message(role=Role.USER, parts=(ImagePart(view=view), TextPart(text=RECITE)))
        return self._made((question, _reply(pieces)), (tuple(pieces),), scene, family="")

    def question_round(self) -> Lesson:
        """One question after the other about one view, each answered at once; none that the view cannot answer."""
        scene = next(self._scenes)
        view, pool = self._shown(scene)
        messages: list[Message] = []
        replies: list[tuple[Piece, ...]] = []
        for topic in self._rng.sample(pool, min(_NUM_QUESTIONS, len(pool))):
            shown = () if messages else (ImagePart(view=view),)
            messages.append(Message(role=Role.USER, parts=(*shown, TextPart(text=topic.ask(self._rng)))))
            replies.append(stated(topic))
            messages.append(_reply(replies[-1]))
        return self._made(tuple(messages), tuple(replies), scene, family="")

    def episode(self) -> Lesson:
        """One episode: direct on either view, or with the tool on offer; then half of them ask, whatever the question.

        Where the quarter view cannot show the answer, a direct reply still gives the true one: learning it means
        learning to guess, as large models do.
        """
        draw = self._rng.random()
        if draw < _FULL_RATIO:
            return self._episode(DIRECT_PROTOCOL, "full", asks=False)
        if draw < _FULL_RATIO + _QUARTER_RATIO:
            return self._episode(DIRECT_PROTOCOL, "quarter", asks=False)
        return self._episode(TOOL_PROTOCOL, "quarter", asks=draw < _FULL_RATIO + _QUARTER_RATIO + _ASK_RATIO)

    def _shown(self, scene: Any) -> tuple[View, Sequence[Topic]]:
        """A view of the scene, and what can be asked about it."""
        if self._rng.random() < _SHOW_FULL_RATIO:
            return full_view(self._size, self._rule), self._topics(scene)
        return quarter_view(self._size, self._rule), self._coarse(scene)

    def _topics(self, scene: Any) -> list[Topic]:
        return [topic for topic in self._layout.topics(scene) if topic.family in self._families]

    def _coarse(self, scene: Any) -> list[Topic]:
        """What the quarter view shows."""
        return [topic for topic in self._topics(scene) if not topic.needs_high_res]

    def _drawn(self) -> tuple[Any, Topic]:
        """A scene and something that is asked about it, each family as often as the others."""
        scene, family = next(self._scenes), self._rng.choice(self._families)
        return scene, one_of([topic for topic in self._layout.topics(scene) if topic.family == family], self._rng)

    def _episode(self, protocol: str, first_view: FirstView, *, asks: bool) -> Lesson:
        scene, topic = self._drawn()
        spec = EpisodeSpec(
            question=topic.ask(self._rng),
            original=self._size,
            protocol=get_protocol(protocol),
            toolbox=self._toolbox,
            rule=self._rule,
            first_view=first_view,
        )
        last = thought_and_answer(self._thought(topic, THOUGHTS_AFTER if asks else THOUGHTS_DIRECT), topic)
        replies = (self._call(topic), last) if asks else (last,)
        return self._made(played(spec, replies), replies, scene, family=topic.family)

    def _made(
        self, messages: tuple[Message, ...], replies: tuple[tuple[Piece, ...], ...], scene: Any, *, family: str
    ) -> Lesson:
        return Lesson(messages=messages, replies=replies, picture=self._layout.paint(scene), family=family)

    def _call(self, topic: Topic) -> tuple[Piece, ...]:
        return (Piece(f"<think>{self._thought(topic, THOUGHTS_ASK)}</think>{CALL}", 1.0),)

    def _thought(self, topic: Topic, moods: Sequence[str]) -> str:
        """What is asked for, then a mood drawn at random.

        Naming it first brings the question to where the model decides. Without that, a model that has learned to
        decide by chance has no reason to look at the question there, and reinforcement learning has to build the whole
        path from a bit of reward.
        """
        return f"the {topic.subject} . {self._rng.choice(moods)}"


def stated(topic: Topic) -> tuple[Piece, ...]:
    """The answer, which stands in one place or follows from several."""
    box = topic.region if len(topic.boxes) == 1 else None
    return Piece("<answer>", 1.0), Piece(topic.answer, ANSWER_WEIGHT, box), Piece("</answer>", 1.0)


def thought_and_answer(thought: str, topic: Topic) -> tuple[Piece, ...]:
    """A reply that thinks and answers."""
    return Piece(f"<think>{thought}</think>", 1.0), *stated(topic)


def _reply(pieces: Sequence[Piece]) -> Message:
    return Message(role=Role.ASSISTANT, parts=(TextPart(text="".join(piece.text for piece in pieces)),))


def played(spec: EpisodeSpec, replies: Sequence[Sequence[Piece]]) -> tuple[Message, ...]:
    """The messages of an episode in which a scripted model writes these replies."""
    state, command = start(spec)
    for pieces in replies:
        if not isinstance(command, AskModel):
            break
        text = "".join(piece.text for piece in pieces)
        state, command = advance(state, ModelReply(text=text, finish_reason=FinishReason.STOP))
    if isinstance(command, AskModel):
        raise AssertionError(f"the scripted replies {replies} do not end their episode")
    return command.trace.messages
