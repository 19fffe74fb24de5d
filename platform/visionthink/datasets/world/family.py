"""Families of questions, each clearly on one side: readable in the quarter view, or not.

A family is `held out` when it never takes part in reinforcement learning. The base model knows it, as a large model
knows many questions; the trained policy has never been rewarded on it, so its resize rate there shows whether the
decision generalises.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from visionthink.datasets.world.paint import panel_box
from visionthink.datasets.world.scene import BARS, Scene
from visionthink.datasets.world.topic import Topic
from visionthink.errors import ConfigError

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Generic[S]):
    """A kind of question: its wordings, its answer, and the ground truth whether the quarter view is enough."""

    name: str
    panel: str
    """The panel that holds the evidence."""
    needs_high_res: bool
    held_out: bool
    questions: tuple[str, ...]
    answer: Callable[[S], str]
    num_looks: int = 1
    """Panels that hold the evidence."""


_ALL: Final[tuple[Family[Scene], ...]] = (
    Family(
        name="color",
        panel="shape",
        needs_high_res=False,
        held_out=False,
        questions=("what color is the shape ?", "name the color of the big shape ."),
        answer=lambda scene: scene.color,
    ),
    Family(
        name="shape",
        panel="shape",
        needs_high_res=False,
        held_out=False,
        questions=("what kind of shape is it ?", "name the big shape ."),
        answer=lambda scene: scene.shape,
    ),
    Family(
        name="count",
        panel="dots",
        needs_high_res=False,
        held_out=False,
        questions=("how many dots are there ?", "count the dots ."),
        answer=lambda scene: str(scene.num_dots),
    ),
    Family(
        name="tallest",
        panel="chart",
        needs_high_res=False,
        held_out=False,
        questions=("which bar is the tallest ?", "where in the chart is the tallest bar ?"),
        answer=lambda scene: BARS[scene.tallest],
    ),
    Family(
        name="corner",
        panel="shape",
        needs_high_res=False,
        held_out=True,
        questions=("where is the big shape ?", "in which corner is the shape ?"),
        answer=lambda scene: scene.corner,
    ),
    Family(
        name="code",
        panel="text",
        needs_high_res=True,
        held_out=False,
        questions=("what code is on the tag ?", "read the digits on the tag ."),
        answer=lambda scene: scene.code,
    ),
    Family(
        name="mark",
        panel="shape",
        needs_high_res=True,
        held_out=False,
        questions=("what letter is printed on the shape ?", "read the letter on the big shape ."),
        answer=lambda scene: scene.mark,
    ),
    Family(
        name="framed",
        panel="text",
        needs_high_res=True,
        held_out=False,
        questions=("what letter is in the frame ?", "read the framed letter ."),
        answer=lambda scene: scene.clutter[scene.framed],
    ),
    Family(
        name="axis",
        panel="chart",
        needs_high_res=True,
        held_out=False,
        questions=("what letter is under the tallest bar ?", "read the label of the tallest bar ."),
        answer=lambda scene: scene.labels[scene.tallest],
    ),
    Family(
        name="suffix",
        panel="text",
        needs_high_res=True,
        held_out=True,
        questions=("what letter is on the tag ?", "read the letter after the digits ."),
        answer=lambda scene: scene.suffix,
    ),
)

FAMILIES: Final = {family.name: family for family in _ALL}
TRAINED_FAMILIES: Final = tuple(family.name for family in _ALL if not family.held_out)
HELD_OUT_FAMILIES: Final = tuple(family.name for family in _ALL if family.held_out)


def topics(scene: Scene) -> tuple[Topic, ...]:
    """What can be asked about a scene: one thing of each family."""
    return tuple(
        Topic(
            family=family.name,
            subject=family.name,
            questions=family.questions,
            answer=family.answer(scene),
            needs_high_res=family.needs_high_res,
            boxes=(panel_box(scene, family.panel),),
            places=(scene.corner_of(family.panel),),
        )
        for family in _ALL
    )


def places(scene: Scene) -> tuple[Topic, ...]:
    """Where each panel stands, as further things to be asked about."""
    return tuple(
        Topic(
            family="place",
            subject=f"{name} at",
            questions=(f"where is the {name} ?",),
            answer=scene.corner_of(panel),
            needs_high_res=False,
            boxes=(panel_box(scene, panel),),
            places=(scene.corner_of(panel),),
        )
        for name, panel in (("shape", "shape"), ("dots", "dots"), ("tag", "text"), ("chart", "chart"))
    )


def pick_families(names: Sequence[str], families: Mapping[str, Family[Any]] = FAMILIES) -> tuple[Family[Any], ...]:
    """The families of these names, in the world's own order; ConfigError on an unknown, doubled or missing name."""
    unknown = sorted(set(names) - set(families))
    if unknown:
        raise ConfigError(f"unknown families {unknown}; choose from {sorted(families)}")
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"families must be named, each once; got {list(names)}")
    return tuple(family for family in families.values() if family.name in names)
