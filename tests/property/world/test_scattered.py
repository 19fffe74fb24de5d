"""Properties of the layout `scattered`: panels keep clear of each other, and evidence lies where a sample says."""

import random
from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageChops

from visionthink.core.geometry import TOKEN_SIDE, Box
from visionthink.datasets.world import SCATTERED, generate
from visionthink.datasets.world.glyph import DIGITS, LETTERS
from visionthink.datasets.world.scattered_scene import PANELS, TAGS, ScatteredScene, draw_scene, panel_box
from visionthink.datasets.world.scene import COLORS

WHOLE = Box(left=0, top=0, right=SCATTERED.side, bottom=SCATTERED.side)


@st.composite
def drawn_scenes(draw: st.DrawFn) -> ScatteredScene:
    return draw_scene(random.Random(draw(st.integers(0, 2**32))))


def after(values: str | tuple[str, ...], value: str) -> str:
    return values[(values.index(value) + 1) % len(values)]


@given(drawn_scenes())
def test_panels_lie_on_tokens_of_the_full_view_and_never_overlap(scene: ScatteredScene) -> None:
    boxes = [panel_box(scene, panel) for panel in PANELS]
    assert all(WHOLE.contains(box) and box.left % TOKEN_SIDE == box.top % TOKEN_SIDE == 0 for box in boxes)
    for one, other in combinations(boxes, 2):
        assert one.right <= other.left or other.right <= one.left or one.bottom <= other.top or other.bottom <= one.top


@given(drawn_scenes())
@settings(max_examples=25)
def test_a_scene_is_painted_alike_each_time(scene: ScatteredScene) -> None:
    assert SCATTERED.paint(scene).tobytes() == SCATTERED.paint(scene).tobytes()
    assert SCATTERED.paint(scene).size == (SCATTERED.side, SCATTERED.side)


@given(drawn_scenes(), st.sampled_from((0, 1)), st.sampled_from(("code", "suffix", "framed", "color")))
@settings(max_examples=60)
def test_what_a_tag_holds_shows_in_its_panel_alone(scene: ScatteredScene, number: int, name: str) -> None:
    tag = scene.tags[number]
    match name:
        case "code":
            other = replace(tag, code=tag.code[0] + after(DIGITS, tag.code[1]))
        case "suffix":
            other = replace(tag, suffix=after(LETTERS, tag.suffix))
        case "framed":
            other = replace(tag, framed=(tag.framed + 1) % len(tag.clutter))
        case _:
            other = replace(tag, color=after(tuple(COLORS), tag.color))
    tags = (other, scene.tags[1]) if number == 0 else (scene.tags[0], other)
    changed = ImageChops.difference(SCATTERED.paint(replace(scene, tags=tags)), SCATTERED.paint(scene)).getbbox()
    assert changed is not None
    left, top, right, bottom = changed
    assert panel_box(scene, TAGS[number]).contains(Box(left=left, top=top, right=right, bottom=bottom))


@given(st.integers(0, 2**32), st.sampled_from(sorted(SCATTERED.families)))
@settings(max_examples=25)
def test_a_sample_says_where_its_evidence_lies(seed: int, name: str) -> None:
    (sample,) = generate("train", 1, seed=seed, families=[name], layout=SCATTERED)
    assert sample.region is not None and WHOLE.contains(sample.region)
    assert (sample.region.size.pixels > 56 * 56) == (SCATTERED.families[name].num_looks == 2)
    assert sample.needs_high_res == SCATTERED.families[name].needs_high_res


@given(drawn_scenes())
@settings(max_examples=25)
def test_no_two_topics_of_a_scene_share_a_subject_or_a_wording(scene: ScatteredScene) -> None:
    topics = (*SCATTERED.topics(scene), *SCATTERED.places(scene))
    wordings = [question for topic in topics for question in topic.questions]
    assert len({topic.subject for topic in topics}) == len(topics)
    assert len(set(wordings)) == len(wordings)
