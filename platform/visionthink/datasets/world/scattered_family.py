"""Families of questions about pictures of the layout `scattered`: the grid's, of a tag by its color, and one more.

A family that asks about a tag asks about either one; the question names its color. `letters` asks about both, so one
window seldom holds its evidence, and nobody guesses it who has seen one tag alone.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

from visionthink.core.closer_look import NEAR_REGIONS
from visionthink.datasets.world import family as grid
from visionthink.datasets.world.family import Family
from visionthink.datasets.world.scattered_scene import PANELS, TAGS, ScatteredScene, Tag, panel_box
from visionthink.datasets.world.scene import COLORS
from visionthink.datasets.world.topic import Topic

TAG: Final = "tag"
"""The panel of a family that asks about one tag ..."""
BOTH_TAGS: Final = "tags"
"""... and of one that asks about both."""


class Aspect(NamedTuple):
    """A scene, and the tag that is asked about if any is."""

    scene: ScatteredScene
    tag: Tag


def _as_on_the_grid(name: str) -> Family[Aspect]:
    """A family whose evidence is no tag's: the grid's, asked about a scene of this layout."""
    family: Family[Any] = grid.FAMILIES[name]
    return replace(family, answer=lambda aspect: family.answer(aspect.scene))


_ALL: Final[tuple[Family[Aspect], ...]] = (
    _as_on_the_grid("color"),
    _as_on_the_grid("shape"),
    _as_on_the_grid("count"),
    _as_on_the_grid("tallest"),
    Family(
        name="corner",
        panel="shape",
        needs_high_res=False,
        held_out=True,
        questions=("where is the big shape ?", "in which place is the shape ?"),
        answer=lambda aspect: aspect.scene.place_of("shape"),
    ),
    Family(
        name="code",
        panel=TAG,
        needs_high_res=True,
        held_out=False,
        questions=("what code is on the {color} tag ?", "read the digits on the {color} tag ."),
        answer=lambda aspect: aspect.tag.code,
    ),
    _as_on_the_grid("mark"),
    Family(
        name="framed",
        panel=TAG,
        needs_high_res=True,
        held_out=False,
        questions=("what letter is in the {color} frame ?", "read the framed letter on the {color} tag ."),
        answer=lambda aspect: aspect.tag.clutter[aspect.tag.framed],
    ),
    _as_on_the_grid("axis"),
    Family(
        name="suffix",
        panel=TAG,
        needs_high_res=True,
        held_out=True,
        questions=("what letter is on the {color} tag ?", "read the letter after the digits on the {color} tag ."),
        answer=lambda aspect: aspect.tag.suffix,
    ),
    Family(
        name="letters",
        panel=BOTH_TAGS,
        needs_high_res=True,
        held_out=False,
        questions=(
            "which letters are on both tags , in alphabetical order ?",
            "read the letters after the digits on both tags , in the order of the alphabet .",
        ),
        answer=lambda aspect: "".join(sorted(tag.suffix for tag in aspect.scene.tags)),
        num_looks=2,
    ),
)

FAMILIES: Final = {family.name: family for family in _ALL}
QUESTIONS: Final = tuple(
    dict.fromkeys(text.format(color=color) for one in _ALL for text in one.questions for color in COLORS)
)
"""Every wording, of a tag in every color."""
_HUED: Final = tuple(f"{color} {one.name}" for one in _ALL if one.panel == TAG for color in COLORS)
_NAMES: Final = ("shape", "dots", "chart", *(f"{color} tag" for color in COLORS))
_CALLS: Final = tuple(
    f'<tool_call>{{"name": "look_near", "arguments": {{"region": "{place}"}}}}</tool_call>' for place in NEAR_REGIONS
)
WORDS: Final = (
    "you may look closer .",
    "here is a closer look .",
    *(f"where is the {name} ? {name} at=" for name in _NAMES),
    *(f" {subject}= the {subject} ," for subject in _HUED),
    *_CALLS,
)
"""What is said beside them: by protocol, thoughts, recitals and calls."""


def topics(scene: ScatteredScene) -> tuple[Topic, ...]:
    """What can be asked about a scene: one thing of a family, or one of each tag."""
    return tuple(topic for family in _ALL for topic in _topics(family, scene))


def places(scene: ScatteredScene) -> tuple[Topic, ...]:
    """Where each panel stands, as further things to be asked about."""
    names = dict(zip(PANELS, PANELS, strict=True)) | {
        panel: f"{tag.color} tag" for panel, tag in zip(TAGS, scene.tags, strict=True)
    }
    return tuple(
        Topic(
            family="place",
            subject=f"{name} at",
            questions=(f"where is the {name} ?",),
            answer=scene.place_of(panel),
            needs_high_res=False,
            boxes=(panel_box(scene, panel),),
            places=(scene.place_of(panel),),
        )
        for panel, name in names.items()
    )


def _topics(family: Family[Aspect], scene: ScatteredScene) -> Iterator[Topic]:
    match family.panel:
        case "tag":
            for panel, tag in zip(TAGS, scene.tags, strict=True):
                yield _topic(family, Aspect(scene, tag), (panel,), f"{tag.color} {family.name}")
        case "tags":
            yield _topic(family, Aspect(scene, scene.tags[0]), _in_reading_order(scene), family.name)
        case panel:
            yield _topic(family, Aspect(scene, scene.tags[0]), (panel,), family.name)


def _in_reading_order(scene: ScatteredScene) -> tuple[str, ...]:
    """Both tags, row by row: who says what is on each has to begin with one of them."""
    return tuple(sorted(TAGS, key=lambda panel: (panel_box(scene, panel).top, panel_box(scene, panel).left)))


def _topic(family: Family[Aspect], aspect: Aspect, panels: tuple[str, ...], subject: str) -> Topic:
    return Topic(
        family=family.name,
        subject=subject,
        questions=tuple(question.format(color=aspect.tag.color) for question in family.questions),
        answer=family.answer(aspect),
        needs_high_res=family.needs_high_res,
        boxes=tuple(panel_box(aspect.scene, panel) for panel in panels),
        places=tuple(map(aspect.scene.place_of, panels)),
        notes=tuple(aspect.scene.tags[TAGS.index(panel)].suffix for panel in panels if family.num_looks > 1),
    )
