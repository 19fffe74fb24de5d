"""What the vision tower is asked for says the same of a scene as the families do."""

import random

from visionthink.core.closer_look import NEAR_REGIONS
from visionthink.datasets.world import FAMILIES, SCATTERED, draw_scene
from visionthink.datasets.world.glyph import DIGITS, LETTERS
from visionthink.datasets.world.scattered_scene import TAGS
from visionthink.datasets.world.scene import BARS, COLORS, CORNERS, MAX_DOTS, PANELS, SHAPES
from visionthink.model.attribute import ATTRIBUTES, COARSE, FINE, PLACED_ATTRIBUTES, SCATTERED_ATTRIBUTES

WORDS = {
    "color": tuple(COLORS),
    "shape": SHAPES,
    "count": tuple(str(number) for number in range(1, MAX_DOTS + 1)),
    "tallest": BARS,
    "corner": CORNERS,
    "suffix": LETTERS,
    "mark": LETTERS,
    "framed": LETTERS,
    "axis": LETTERS,
}


def test_attributes_and_families_agree_about_scenes() -> None:
    rng = random.Random(0)
    by_name = {attribute.name: attribute for attribute in ATTRIBUTES}
    for _ in range(100):
        scene = draw_scene(rng)
        for name, words in WORDS.items():
            assert words[by_name[name].read(scene)] == FAMILIES[name].answer(scene)
        digits = DIGITS[by_name["code_first"].read(scene)] + DIGITS[by_name["code_second"].read(scene)]
        assert digits == FAMILIES["code"].answer(scene)


def test_every_family_is_covered_on_its_side() -> None:
    side = {attribute.name: attribute.is_fine for attribute in ATTRIBUTES}
    assert side == {name: FAMILIES[name].needs_high_res for name in WORDS} | {"code_first": True, "code_second": True}
    assert (*COARSE, *FINE) == ATTRIBUTES, "coarse ones first: the sight phase cuts the logits there"


def test_every_class_comes_up_and_none_beyond() -> None:
    rng = random.Random(1)
    scenes = [draw_scene(rng) for _ in range(400)]
    for attribute in ATTRIBUTES:
        assert {attribute.read(scene) for scene in scenes} == set(range(attribute.num_classes)), attribute.name
        assert attribute.panel is None or attribute.panel in PANELS


def test_places_say_where_each_panel_stands_and_come_before_what_is_fine() -> None:
    rng = random.Random(2)
    by_name = {attribute.name: attribute for attribute in PLACED_ATTRIBUTES}
    for _ in range(20):
        scene = draw_scene(rng)
        for name, panel in {
            "corner": "shape",
            "dots_corner": "dots",
            "tag_corner": "text",
            "chart_corner": "chart",
        }.items():
            assert CORNERS[by_name[name].read(scene)] == scene.corner_of(panel)
    fine = [attribute.is_fine for attribute in PLACED_ATTRIBUTES]
    assert fine == sorted(fine)


def test_what_a_tag_holds_is_asked_for_by_its_color_and_says_the_same_as_the_families() -> None:
    rng = random.Random(3)
    words = WORDS | {"code_first": tuple(DIGITS), "code_second": tuple(DIGITS)}
    for _ in range(30):
        scene = SCATTERED.draw(rng)
        answers = {topic.subject: topic.answer for topic in SCATTERED.topics(scene)}
        for attribute in SCATTERED_ATTRIBUTES:
            if attribute.is_place:
                assert attribute.panel is not None
                assert NEAR_REGIONS[attribute.read(scene)] == scene.place_of(attribute.panel)
                continue
            name, _, digit = attribute.name.partition("_")
            if attribute.hue is not None:
                color = tuple(COLORS)[attribute.hue(scene)]
                assert color == scene.tags[TAGS.index(str(attribute.panel))].color
                name = f"{color} {name}"
            want = answers[name]
            if digit:
                want = want[("first", "second").index(digit)]
            assert words[attribute.name][attribute.read(scene)] == want


def test_attributes_of_both_layouts_begin_with_what_is_coarse() -> None:
    fine = [attribute.is_fine for attribute in SCATTERED_ATTRIBUTES]
    assert fine == sorted(fine)
