"""The layout `scattered`: what is asked of a tag names its color, places are true, and print needs the full view."""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from visionthink.config.data import DataConfig, WorldLayout
from visionthink.core.closer_look import NEAR_REGIONS, named_view
from visionthink.core.geometry import ViewRule, full_view, quarter_view
from visionthink.datasets.world import LAYOUTS, SCATTERED, generate, get_layout, split_of
from visionthink.datasets.world.glyph import LETTERS
from visionthink.datasets.world.scattered_scene import PANELS, TAGS, ScatteredScene, draw_scene, panel_box
from visionthink.datasets.world.scene import COLORS
from visionthink.datasets.world.topic import Topic
from visionthink.errors import ConfigError
from visionthink.picture import cut

NUM_SCENES = 300
RULE = ViewRule(max_pixels=224 * 224, min_pixels=224 * 224)
ONE_LOOK = [name for name, family in SCATTERED.families.items() if family.num_looks == 1]


def drawn(count: int = NUM_SCENES, seed: int = 0) -> list[ScatteredScene]:
    rng = random.Random(seed)
    return [draw_scene(rng) for _ in range(count)]


# Written out here, from the description of the scene, and not taken from the families themselves.
TRUTHS: Mapping[str, Callable[[ScatteredScene], str]] = {
    "color": lambda scene: scene.color,
    "shape": lambda scene: scene.shape,
    "count": lambda scene: str(scene.num_dots),
    "tallest": lambda scene: ("left", "middle", "right")[scene.tallest],
    "mark": lambda scene: scene.mark,
    "axis": lambda scene: scene.labels[scene.tallest],
    "letters": lambda scene: min(letters := [tag.suffix for tag in scene.tags]) + max(letters),
}
TAG_TRUTHS: Mapping[str, Callable[[ScatteredScene, int], str]] = {
    "code": lambda scene, number: scene.tags[number].code,
    "suffix": lambda scene, number: scene.tags[number].suffix,
    "framed": lambda scene, number: scene.tags[number].clutter[scene.tags[number].framed],
}


def test_layouts_are_those_of_the_settings_and_others_are_refused() -> None:
    assert tuple(LAYOUTS) == get_args(WorldLayout)
    assert DataConfig().layout == "grid"
    with pytest.raises(ConfigError, match="no layout 'ring'; choose one of grid, scattered"):
        get_layout("ring")


def test_the_views_cost_a_quarter_of_the_whole_and_so_does_a_window() -> None:
    whole, quarter = full_view(SCATTERED.size, RULE), quarter_view(SCATTERED.size, RULE)
    assert (whole.visual_tokens, quarter.visual_tokens) == (64, 16)
    assert {named_view(region, SCATTERED.size, RULE).visual_tokens for region in NEAR_REGIONS} == {16}


def test_topics_say_the_truth_and_those_of_a_tag_name_its_color() -> None:
    for scene in drawn(50):
        by_subject = {topic.subject: topic for topic in SCATTERED.topics(scene)}
        want = {name: truth(scene) for name, truth in TRUTHS.items()}
        want |= {
            f"{tag.color} {name}": truth(scene, number)
            for name, truth in TAG_TRUTHS.items()
            for number, tag in enumerate(scene.tags)
        }
        assert {subject: topic.answer for subject, topic in by_subject.items() if subject != "corner"} == want
        for number, tag in enumerate(scene.tags):
            for name in TAG_TRUTHS:
                topic = by_subject[f"{tag.color} {name}"]
                assert all(f" {tag.color} " in question for question in topic.questions)
                assert topic.boxes == (panel_box(scene, TAGS[number]),)


def test_every_panel_is_held_by_the_window_that_its_place_is_named_after() -> None:
    for scene in drawn():
        for panel in PANELS:
            window = named_view(scene.place_of(panel), SCATTERED.size, RULE).box
            assert window is not None and window.contains(panel_box(scene, panel))


def test_places_are_told_of_every_panel_and_the_corner_is_that_of_the_shape() -> None:
    for scene in drawn(50):
        places = {topic.subject: topic.answer for topic in SCATTERED.places(scene)}
        first, second = scene.tags
        assert places == {
            "shape at": scene.place_of("shape"),
            "dots at": scene.place_of("dots"),
            "chart at": scene.place_of("chart"),
            f"{first.color} tag at": scene.place_of("first tag"),
            f"{second.color} tag at": scene.place_of("second tag"),
        }
        (corner,) = (topic for topic in SCATTERED.topics(scene) if topic.family == "corner")
        assert corner.answer == scene.place_of("shape")


def test_no_quarter_of_the_picture_holds_every_panel() -> None:
    """Which is why windows overlap."""
    quarters = [named_view(name, SCATTERED.size, RULE).box for name in ("top left", "top right", "bottom left")]
    quarters.append(named_view("bottom right", SCATTERED.size, RULE).box)
    found = Counter(
        any(box.contains(panel_box(scene, panel)) for box in quarters if box) for scene in drawn() for panel in PANELS
    )
    assert 0.15 < found[False] / found.total() < 0.45


def test_suffixes_of_both_tags_agree_by_chance_alone_and_colors_never() -> None:
    scenes = drawn(2000)
    agree = [scene.tags[0].suffix == scene.tags[1].suffix for scene in scenes]
    assert sum(agree) / len(agree) == pytest.approx(1 / 12, abs=0.025)
    assert all(scene.tags[0].color != scene.tags[1].color for scene in scenes)
    letters = Counter(scene.tags[1].suffix for scene in scenes)
    assert max(letters.values()) / len(scenes) < 1 / 12 + 0.03


def test_the_evidence_of_a_question_about_both_tags_is_a_box_around_them() -> None:
    (sample,) = generate("test", 1, seed=0, families=["letters"], layout=SCATTERED)
    topic = Topic(
        family="letters",
        subject="letters",
        questions=("?",),
        answer="no",
        needs_high_res=True,
        boxes=(panel_box(scene := drawn(1)[0], TAGS[0]), panel_box(scene, TAGS[1])),
        places=("top", "left"),
    )
    assert topic.place == "top"
    assert all(topic.region.contains(box) for box in topic.boxes)
    assert sample.region is not None and re.fullmatch(f"[{LETTERS}]{{2}}", sample.answer)


def test_a_place_is_content_and_decides_the_split_while_style_does_not() -> None:
    (scene,) = drawn(1)
    moved = replace(scene, offsets=(scene.offsets[1], scene.offsets[0], *scene.offsets[2:]))
    assert moved.content_key() != scene.content_key()
    assert replace(scene, style_seed=scene.style_seed + 1).content_key() == scene.content_key()


def test_the_split_of_a_scene_is_the_same_on_every_machine() -> None:
    """Otherwise a model trained here could be judged elsewhere on what it was trained on."""
    got = " ".join(split_of(scene) for scene in drawn(8))
    assert got == "pretrain pretrain pretrain test pretrain pretrain pretrain validation"


def test_samples_of_a_family_about_tags_ask_about_either_one() -> None:
    samples = list(generate("train", 60, seed=0, families=["code"], layout=SCATTERED))
    colors = Counter(word for sample in samples for word in sample.question.split() if word in ("red", "blue"))
    assert set(colors) == {"red", "blue"}
    assert {sample.id.split("-")[:3][1] for sample in samples} == {"scattered"}


def view_of(scene: ScatteredScene, is_full: bool) -> NDArray[np.float64]:
    view = full_view(SCATTERED.size, RULE) if is_full else quarter_view(SCATTERED.size, RULE)
    return np.asarray(cut(SCATTERED.paint(scene), view), dtype=np.float64) / 255


def around(picture: NDArray[np.float64], scene: ScatteredScene, panel: str) -> NDArray[np.float64]:
    scale = SCATTERED.side // picture.shape[0]
    left, top, right, bottom = (edge // scale for edge in panel_box(scene, panel).edges)
    return picture[top:bottom, left:right]


def test_a_tag_shows_its_color_everywhere_in_the_quarter_view() -> None:
    """The most common color of a tag's panel is nearest to that of its backdrop."""
    names = list(COLORS)
    known = np.array([COLORS[name] for name in names]) / 255
    for scene in drawn(40):
        for panel, tag in zip(TAGS, scene.tags, strict=True):
            middle = np.median(around(view_of(scene, is_full=False), scene, panel).reshape(-1, 3), axis=0)
            assert names[int(((known - middle) ** 2).sum(-1).argmin())] == tag.color


@pytest.mark.parametrize("name", ["mark", "axis"])
def test_print_is_lost_in_the_quarter_view_and_kept_in_the_full_one(name: str) -> None:
    """Another letter changes pixels by the whole range of ink in the full view, and by less than half in the other."""
    for scene in drawn(30):
        other = (
            replace(scene, mark="T" if scene.mark != "T" else "U")
            if name == "mark"
            else replace(scene, labels=tuple("ACE" if "A" not in scene.labels else "FHJ"))
        )
        full, quarter = (np.abs(view_of(scene, size) - view_of(other, size)).max() for size in (True, False))
        assert full > 0.8
        assert quarter < full


def test_the_ground_tells_where_it_is() -> None:
    (scene,) = drawn(1)
    picture = np.asarray(SCATTERED.paint(replace(scene, offsets=((84, 84),) * 5)), dtype=np.int64)
    edges = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
    red, blue = edges[:, 0].reshape(2, 2), edges[:, 2].reshape(2, 2)
    assert (red[:, 1] - red[:, 0] > 50).all() and (blue[1] - blue[0] > 50).all()


def test_what_is_on_both_tags_is_told_in_the_order_in_which_one_reads() -> None:
    seen = set()
    for scene in drawn(40):
        (topic,) = [topic for topic in SCATTERED.topics(scene) if topic.family == "letters"]
        corners = [(box.top, box.left) for box in topic.boxes]
        assert corners == sorted(corners)
        told = {panel_box(scene, name): tag.suffix for name, tag in zip(TAGS, scene.tags, strict=True)}
        assert dict(zip(topic.boxes, topic.notes, strict=True)) == told
        seen.add(topic.notes == tuple(tag.suffix for tag in scene.tags))
    assert seen == {True, False}
