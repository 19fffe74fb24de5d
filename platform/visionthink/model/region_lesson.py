"""Lessons of the model that looks at regions: what a window shows, where a panel stands, and episodes with `look_at`.

Rule: nothing tells when to look, and no more than a little tells where. Half of the replies that may ask do ask,
whatever the question, and the region that they ask for is the right one only in `_AIM_RATIO` of them. Without any aim
reinforcement learning finds that the whole is always right and a region seldom, and never learns where to look; and
an aim is only learned where the thought names the place first.
"""

import json
from collections.abc import Sequence
from functools import partial
from typing import Final

from visionthink.core.closer_look import REGIONS, WHOLE, LookAt, named_view
from visionthink.core.episode import EpisodeSpec, FirstView
from visionthink.core.geometry import View, quarter_view
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ToolBox
from visionthink.datasets.world.family import Family, ask
from visionthink.datasets.world.paint import paint
from visionthink.datasets.world.scene import Scene
from visionthink.model.lesson import ANSWER_WEIGHT, DIRECT_PROTOCOL, Lesson, Piece, Teacher, answer_pieces, played
from visionthink.model.speech import THOUGHTS_AFTER, THOUGHTS_ASK, THOUGHTS_DIRECT

REGION_PROTOCOL: Final = "compact-region-v1"
_FULL_RATIO: Final = 0.5
_WINDOW_RATIO: Final = 0.25
"""Of recitals and question rounds; the others show the quarter view."""
_AIM_RATIO: Final = 0.6
"""Of asked regions: below .45 or so of right ones reinforcement learning never finds out where to look."""
_WHOLE_RATIO: Final = 0.2
"""Of calls."""
_PLACE_WEIGHT: Final = 2.0
_PLACES: Final = tuple(
    Family(
        name=f"{name} at",
        panel=panel,
        needs_high_res=False,
        held_out=False,
        questions=(f"where is the {name} ?",),
        answer=partial(Scene.corner_of, panel=panel),
    )
    for name, panel in (("shape", "shape"), ("dots", "dots"), ("tag", "text"), ("chart", "chart"))
)
"""Where each panel stands, as further things to be asked about."""
_ENDINGS: Final[dict[str, float]] = {
    "direct full": 0.15,
    "direct quarter": 0.10,
    "direct window": 0.15,
    "answer": 0.25,
    "ask": 0.25,
    "shown": 0.10,
}
"""Shares of episodes. With `shown` the call is given: it teaches to name the place and to read after a look, and not
when to look or what to ask for."""


class RegionTeacher(Teacher):
    """Makes lessons about whole views and windows of the world's pretraining split."""

    def _shown(self, scene: Scene) -> tuple[View, Sequence[Family]]:
        draw = self._rng.random()
        if draw < _FULL_RATIO:
            return named_view(WHOLE, self._size, self._rule), (*self._families, *_PLACES)
        if draw < _FULL_RATIO + _WINDOW_RATIO:
            region = self._rng.choice(REGIONS)
            return self._window(region), [
                family
                for family in self._families
                if scene.corner_of(family.panel) == region and family.name != "corner"
            ]
        return quarter_view(self._size, self._rule), (*self._coarse, *_PLACES)

    def episode(self) -> Lesson:
        """One episode: direct on any view; or with the tool on offer, where half of them look closer."""
        scene, family = next(self._scenes), self._rng.choice(self._families)
        right = scene.corner_of(family.panel)
        (ending,) = self._rng.choices(tuple(_ENDINGS), weights=tuple(_ENDINGS.values()))
        match ending:
            case "direct full":
                return self._answered(scene, family, DIRECT_PROTOCOL, "full")
            case "direct quarter":
                return self._answered(scene, family, DIRECT_PROTOCOL, "quarter")
            case "direct window" if family.name != "corner":
                replies = (answer_pieces(self._thought(family, THOUGHTS_DIRECT), family.answer(scene)),)
                return self._lesson(scene, family, DIRECT_PROTOCOL, self._window(right), replies)
            case "ask":
                return self._asked(scene, family, self._aimed(right), weight=1.0)
            case "shown":
                return self._asked(scene, family, self._rng.choice((right, right, WHOLE)), weight=0.0)
            case _:
                return self._answered(scene, family, REGION_PROTOCOL, "quarter")

    def _aimed(self, right: str) -> str:
        draw = self._rng.random()
        if draw < _WHOLE_RATIO:
            return WHOLE
        if self._rng.random() < _AIM_RATIO:
            return right
        return self._rng.choice([region for region in REGIONS if region != right])

    def _answered(self, scene: Scene, family: Family, protocol: str, first_view: FirstView) -> Lesson:
        thought = self._placed(scene, family, THOUGHTS_DIRECT, weight=1.0)
        return self._lesson(scene, family, protocol, first_view, ((*thought, *_answer(scene, family)),))

    def _asked(self, scene: Scene, family: Family, region: str, *, weight: float) -> Lesson:
        thought = self._placed(scene, family, THOUGHTS_ASK, weight=weight)
        last = (*self._placed(scene, family, THOUGHTS_AFTER, weight=1.0), *_answer(scene, family))
        return self._lesson(scene, family, REGION_PROTOCOL, "quarter", ((*thought, Piece(_call(region), weight)), last))

    def _lesson(
        self,
        scene: Scene,
        family: Family,
        protocol: str,
        first_view: FirstView | View,
        replies: tuple[tuple[Piece, ...], ...],
    ) -> Lesson:
        spec = EpisodeSpec(
            question=ask(family, self._rng),
            original=self._size,
            protocol=get_protocol(protocol),
            toolbox=ToolBox((LookAt(),)),
            rule=self._rule,
            first_view=first_view,
        )
        return Lesson(messages=played(spec, replies), replies=replies, picture=paint(scene), family=family.name)

    def _placed(self, scene: Scene, family: Family, moods: Sequence[str], *, weight: float) -> tuple[Piece, ...]:
        """A thought: what is asked for, where it stands, then a mood drawn at random."""
        return (
            Piece(f"<think>the {family.name} ,", weight),
            Piece(f" {scene.corner_of(family.panel)}", _PLACE_WEIGHT),
            Piece(f" . {self._rng.choice(moods)}</think>", weight),
        )

    def _window(self, region: str) -> View:
        return named_view(region, self._size, self._rule)


def _answer(scene: Scene, family: Family) -> tuple[Piece, ...]:
    """What follows a thought that answers."""
    return Piece("<answer>", 1.0), Piece(family.answer(scene), ANSWER_WEIGHT), Piece("</answer>", 1.0)


def _call(region: str) -> str:
    value = json.dumps({"name": "look_at", "arguments": {"region": region}})
    return f"<tool_call>{value}</tool_call>"
