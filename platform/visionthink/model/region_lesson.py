"""Lessons of models that look at regions: what a window shows, where a panel stands, and episodes with the tool.

Rule: nothing tells when to look, and no more than a little tells where. Half of the replies that may ask do ask,
whatever the question, and the region that they ask for is the right one only in `_AIM_RATIO` of them. Without any aim
reinforcement learning finds that the whole is always right and a region seldom, and never learns where to look; and
an aim is only learned where the thought names the place first. Where several windows hold the evidence, each is shown,
and the call is for the one that the place is named after, since an aim is a copy. Where the evidence lies in two
places the aim is better (`_PAIR_AIM_RATIO`), because nothing is earned before both are right.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from visionthink.core.closer_look import LOOK_AT, WHOLE, LookAt, named_view
from visionthink.core.episode import EpisodeSpec, FirstView
from visionthink.core.geometry import Box, View, ViewRule, quarter_view
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ToolBox
from visionthink.datasets.world.generate import one_of
from visionthink.datasets.world.layout import GRID, Layout
from visionthink.datasets.world.topic import Topic
from visionthink.model.lesson import (
    ANSWER_WEIGHT,
    DIRECT_PROTOCOL,
    Lesson,
    Piece,
    Teacher,
    played,
    stated,
    thought_and_answer,
)
from visionthink.model.speech import THOUGHTS_AFTER, THOUGHTS_ASK, THOUGHTS_DIRECT

REGION_PROTOCOL: Final = "compact-region-v1"
_AIM_RATIO: Final = 0.6
"""Of asked regions: below .45 or so of right ones reinforcement learning never finds out where to look."""
_WHOLE_RATIO: Final = 0.2
"""Of calls."""
_PLACE_WEIGHT: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How often lessons of each kind are drawn."""

    full: float
    """Of recitals and question rounds, those that show the full view ..."""
    window: float
    """... and a window; the others show the quarter view."""
    endings: Mapping[str, float]
    """Of episodes. With `shown` the call is given: it teaches to name the place and to read after a look, and not when
    to look or what to ask for. `direct coarse` asks the quarter view for what it shows."""


GRID_SHARES: Final = Shares(
    full=0.5,
    window=0.25,
    endings={
        "direct full": 0.15,
        "direct quarter": 0.10,
        "direct window": 0.15,
        "answer": 0.25,
        "ask": 0.25,
        "shown": 0.10,
    },
)
SCATTERED_SHARES: Final = Shares(
    full=0.35,
    window=0.2,
    endings={
        "direct full": 0.10,
        "direct coarse": 0.20,
        "direct window": 0.10,
        "answer": 0.25,
        "ask": 0.25,
        "shown": 0.10,
    },
)
"""Panels lie on the quarter view's tokens in four ways in place of one, so reading them off it takes more lessons."""

_PAIR_RATIO: Final = 0.4
"""Of episodes, where questions with their evidence in two places are taught too."""
_PAIR_ENDINGS: Final[dict[str, float]] = {
    "direct full": 0.3,
    "direct quarter": 0.05,
    "answer": 0.15,
    "ask": 0.35,
    "shown": 0.15,
}
_PAIR_AIM_RATIO: Final = 0.75
"""Of asked regions; the others are wrong ones, and none is the whole. That shows both places at once, so where lessons
ask for it at all reinforcement learning settles on it, though two windows cost half as much: both have to be right."""
_AGAIN_RATIO: Final = 0.9
"""Of first looks that are followed by a second one."""


class RegionTeacher(Teacher):
    """Makes lessons about whole views and windows of the world's pretraining split."""

    def __init__(
        self,
        *,
        rule: ViewRule,
        rng: random.Random,
        layout: Layout[Any] = GRID,
        tool: LookAt = LOOK_AT,
        shares: Shares = GRID_SHARES,
    ) -> None:
        """Draw everything from `rng`; `tool` is on offer. Where the layout has questions about two places, they too."""
        super().__init__(rule=rule, rng=rng, layout=layout)
        self._shares = shares
        self._tool, self._toolbox = tool, ToolBox((tool,))
        self._pairs = tuple(name for name, family in layout.families.items() if family.num_looks == 2)

    def _shown(self, scene: Any) -> tuple[View, Sequence[Topic]]:
        draw = self._rng.random()
        if draw < self._shares.full:
            return self._window(WHOLE), (*self._topics(scene), *self._layout.places(scene))
        if draw < self._shares.full + self._shares.window:
            region, pool = self._rng.choice(self._told(scene))
            return self._window(region), pool
        return quarter_view(self._size, self._rule), (*self._coarse(scene), *self._layout.places(scene))

    def _told(self, scene: Any) -> list[tuple[str, list[Topic]]]:
        """Each region that shows something that is asked about, with all that it shows. No window tells its place."""
        topics = [topic for topic in self._topics(scene) if topic.family != "corner"]
        found = [
            (region, [topic for topic in topics if region in self._right(topic.region)])
            for region in self._tool.regions
        ]
        return [(region, shown) for region, shown in found if shown]

    def episode(self) -> Lesson:
        """One episode: direct on any view; or with the tool on offer, where half of them look closer."""
        if self._pairs and self._rng.random() < _PAIR_RATIO:
            return self._pair()
        scene, topic = self._drawn()
        endings = self._shares.endings
        (ending,) = self._rng.choices(tuple(endings), weights=tuple(endings.values()))
        match ending:
            case "direct full":
                return self._answered(scene, topic, DIRECT_PROTOCOL, "full")
            case "direct coarse":
                return self._answered(scene, one_of(self._coarse(scene), self._rng), DIRECT_PROTOCOL, "quarter")
            case "direct quarter":
                return self._answered(scene, topic, DIRECT_PROTOCOL, "quarter")
            case "direct window" if topic.family != "corner":
                replies = (thought_and_answer(self._thought(topic, THOUGHTS_DIRECT), topic),)
                window = self._window(one_of(self._right(topic.region), self._rng))
                return self._lesson(scene, topic, DIRECT_PROTOCOL, window, replies)
            case "ask":
                return self._asked(scene, topic, self._aimed(topic), weight=1.0)
            case "shown":
                right = one_of(self._right(topic.region), self._rng)
                return self._asked(scene, topic, self._rng.choice((right, right, WHOLE)), weight=0.0)
            case _:
                return self._answered(scene, topic, REGION_PROTOCOL, "quarter")

    def _pair(self) -> Lesson:
        """An episode about two places: told from one view, or looked at one after the other."""
        scene, family = next(self._scenes), self._rng.choice(self._pairs)
        topic = one_of([topic for topic in self._layout.topics(scene) if topic.family == family], self._rng)
        (ending,) = self._rng.choices(tuple(_PAIR_ENDINGS), weights=tuple(_PAIR_ENDINGS.values()))
        known = (*_noted(topic, THOUGHTS_DIRECT, self._rng), *stated(topic))
        match ending:
            case "direct full":
                return self._lesson(scene, topic, DIRECT_PROTOCOL, "full", (known,))
            case "direct quarter":
                return self._answered(scene, topic, DIRECT_PROTOCOL, "quarter")
            case "ask":
                return self._asked_twice(scene, topic, weight=1.0)
            case "shown":
                return self._asked_twice(scene, topic, weight=0.0)
            case _:
                return self._answered(scene, topic, REGION_PROTOCOL, "quarter")

    def _asked_twice(self, scene: Any, topic: Topic, *, weight: float) -> Lesson:
        """A look at the first place, then at the second, or an answer that is a guess; given calls are right ones."""
        first, second = self._at(topic, 0), self._at(topic, 1)
        places = [self._windowed(one, _PAIR_AIM_RATIO) if weight else one.place for one in (first, second)]
        start = (*self._placed(topic, THOUGHTS_ASK, weight=weight), Piece(_call(self._tool.name, places[0]), weight))
        last = (*_noted(topic, THOUGHTS_AFTER, self._rng), *stated(topic))
        is_again = not weight or self._rng.random() < _AGAIN_RATIO
        if places[0] == places[1] or not is_again or self._holds(places[0], second):
            return self._lesson(scene, topic, REGION_PROTOCOL, "quarter", (start, last))
        again = (
            Piece("<think>", weight),
            Piece(topic.notes[0], ANSWER_WEIGHT, first.region),
            Piece(f" . the {topic.subject} ,", weight),
            Piece(f" {second.place}", _PLACE_WEIGHT, second.region),
            Piece(f" . {self._rng.choice(THOUGHTS_ASK)}</think>", weight),
            Piece(_call(self._tool.name, places[1]), weight),
        )
        return self._lesson(scene, topic, REGION_PROTOCOL, "quarter", (start, again, last))

    def _at(self, topic: Topic, number: int) -> Topic:
        """The same, of one of its places alone."""
        return replace(topic, boxes=topic.boxes[number : number + 1], places=topic.places[number : number + 1])

    def _holds(self, region: str, topic: Topic) -> bool:
        return region in self._right(topic.region)

    def _right(self, box: Box) -> list[str]:
        """The regions that hold a box."""
        windows = {region: self._window(region).box for region in self._tool.regions}
        return [region for region, window in windows.items() if window and window.contains(box)]

    def _aimed(self, topic: Topic) -> str:
        return WHOLE if self._rng.random() < _WHOLE_RATIO else self._windowed(topic, _AIM_RATIO)

    def _windowed(self, topic: Topic, aim_ratio: float) -> str:
        if self._rng.random() < aim_ratio:
            return topic.place
        right = self._right(topic.region)
        return self._rng.choice([region for region in self._tool.regions if region not in right])

    def _answered(self, scene: Any, topic: Topic, protocol: str, first_view: FirstView) -> Lesson:
        thought = self._placed(topic, THOUGHTS_DIRECT, weight=1.0)
        return self._lesson(scene, topic, protocol, first_view, ((*thought, *stated(topic)),))

    def _asked(self, scene: Any, topic: Topic, region: str, *, weight: float) -> Lesson:
        thought = self._placed(topic, THOUGHTS_ASK, weight=weight)
        last = (*self._placed(topic, THOUGHTS_AFTER, weight=1.0), *stated(topic))
        call = Piece(_call(self._tool.name, region), weight)
        return self._lesson(scene, topic, REGION_PROTOCOL, "quarter", ((*thought, call), last))

    def _lesson(
        self,
        scene: Any,
        topic: Topic,
        protocol: str,
        first_view: FirstView | View,
        replies: tuple[tuple[Piece, ...], ...],
    ) -> Lesson:
        spec = EpisodeSpec(
            question=topic.ask(self._rng),
            original=self._size,
            protocol=get_protocol(protocol),
            toolbox=self._toolbox,
            rule=self._rule,
            first_view=first_view,
            max_turns=len(replies) if len(replies) > 2 else 2,
        )
        return self._made(played(spec, replies), replies, scene, family=topic.family)

    def _placed(self, topic: Topic, moods: Sequence[str], *, weight: float) -> tuple[Piece, ...]:
        """A thought: what is asked for, where it stands, then a mood drawn at random."""
        return (
            Piece(f"<think>the {topic.subject} ,", weight),
            Piece(f" {topic.place}", _PLACE_WEIGHT, topic.boxes[0]),
            Piece(f" . {self._rng.choice(moods)}</think>", weight),
        )

    def _window(self, region: str) -> View:
        return named_view(region, self._size, self._rule)


def _noted(topic: Topic, moods: Sequence[str], rng: random.Random) -> tuple[Piece, ...]:
    """A thought that says what was read in each place."""
    notes = [Piece(note, ANSWER_WEIGHT, box) for note, box in zip(topic.notes, topic.boxes, strict=True)]
    told = [piece for note in notes for piece in (Piece(" , ", 1.0), note)][1:]
    return Piece("<think>", 1.0), *told, Piece(f" . the {topic.subject} . {rng.choice(moods)}</think>", 1.0)


def _call(tool: str, region: str) -> str:
    value = json.dumps({"name": tool, "arguments": {"region": region}})
    return f"<tool_call>{value}</tool_call>"
