"""What holds of the picture world for every seed, every choice of families and every mix."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageChops

from visionthink.core.geometry import Box, Size
from visionthink.core.sample import Sample
from visionthink.datasets.world import (
    FAMILIES,
    GRID,
    SIDE,
    Family,
    Scene,
    draw_scene,
    generate,
    paint,
    scenes,
    split_of,
)
from visionthink.datasets.world.generate import Split
from visionthink.datasets.world.glyph import DIGITS, LETTERS
from visionthink.datasets.world.paint import panel_box
from visionthink.datasets.world.scene import BARS, COLORS, CORNERS, MAX_DOTS, PANELS, SHAPES
from visionthink.errors import ConfigError
from visionthink.picture import decode

SPLITS: tuple[Split, ...] = ("pretrain", "train", "validation", "test")
NUM_SAMPLES = 12

seeds = st.integers(-(2**40), 2**40)
splits = st.sampled_from(SPLITS)
families = st.lists(st.sampled_from(sorted(FAMILIES)), min_size=1, unique=True)
shares = st.floats(0, 1)


@st.composite
def drawn_scenes(draw: st.DrawFn) -> Scene:
    """What `draw_scene` may return."""
    return draw_scene(random.Random(draw(seeds)))


def text_of(sample: Sample) -> tuple[str, str, str, bool | None]:
    return sample.question, sample.answer, sample.family, sample.needs_high_res


@given(seeds, splits, families, shares)
@settings(max_examples=25)
def test_the_same_arguments_give_the_same_bytes(seed: int, split: Split, names: list[str], share: float) -> None:
    first = list(generate(split, NUM_SAMPLES, seed=seed, families=names, needed_ratio=share))
    again = list(generate(split, NUM_SAMPLES, seed=seed, families=names[::-1], needed_ratio=share))
    assert first == again, "the order in which families are named does not matter"


@given(seeds, splits, families, shares, st.integers(0, 40))
@settings(max_examples=40)
def test_a_sample_is_of_a_named_family_and_in_the_wanted_share(
    seed: int, split: Split, names: list[str], share: float, count: int
) -> None:
    got = list(generate(split, count, seed=seed, families=names, needed_ratio=share))
    sides = {FAMILIES[name].needs_high_res for name in names}
    num_needed = round(count * share) if len(sides) == 2 else count * sides.pop()
    assert len(got) == count
    assert sum(sample.needs_high_res is True for sample in got) == num_needed
    for needs in (True, False):
        side = [name for name in names if FAMILIES[name].needs_high_res is needs]
        asked = [sum(sample.family == name for sample in got) for name in side]
        assert sum(asked) == sum(sample.needs_high_res is needs for sample in got)
        assert max(asked, default=0) - min(asked, default=0) <= 1, "the families of a side take turns"


@given(seeds, splits, families)
@settings(max_examples=25)
def test_samples_are_told_apart_and_speak_of_a_picture(seed: int, split: Split, names: list[str]) -> None:
    got = list(generate(split, NUM_SAMPLES, seed=seed, families=names))
    assert len({sample.id for sample in got}) == NUM_SAMPLES
    for sample in got:
        assert decode(sample.picture).size == (SIDE, SIDE)
        assert sample.question in FAMILIES[sample.family].questions
        assert sample.needs_high_res is FAMILIES[sample.family].needs_high_res
        assert sample.source == f"world-{split}"


@given(drawn_scenes(), st.integers(0, 2**32 - 1))
def test_the_split_follows_from_the_content_alone(scene: Scene, style_seed: int) -> None:
    assert split_of(replace(scene, style_seed=style_seed)) == split_of(scene)


@given(drawn_scenes(), st.sampled_from(["color", "shape", "mark", "num_dots", "code", "suffix", "framed", "tallest"]))
def test_the_content_is_all_that_is_seen_but_the_style(scene: Scene, field: str) -> None:
    """Otherwise two scenes that look different to a reader would share a key, or one content be in two splits."""
    other = {"color": "teal", "shape": "star", "mark": "?", "num_dots": 9, "code": "??", "suffix": "?"}
    changed: dict[str, object] = {field: other.get(field, -1)}
    assert replace(scene, **changed).content_key() != scene.content_key()  # type: ignore[arg-type]


@given(st.lists(st.tuples(seeds, splits), min_size=2, max_size=4))
@settings(max_examples=20)
def test_no_content_is_in_two_splits(draws: list[tuple[int, Split]]) -> None:
    owner: dict[str, Split] = {}
    for seed, split in draws:
        stream = scenes(split, random.Random(seed), GRID)
        for _ in range(30):
            scene = next(stream)
            assert owner.setdefault(scene.content_key(), split) == split == split_of(scene)


@given(drawn_scenes())
def test_a_scene_holds_what_each_family_asks_for(scene: Scene) -> None:
    assert sorted(scene.panels) == sorted(PANELS)
    assert len(set(scene.labels)) == len(BARS) and len(set(scene.clutter)) == len(scene.clutter)
    known = {*COLORS, *SHAPES, *BARS, *CORNERS, *LETTERS, *map(str, range(1, MAX_DOTS + 1))}
    codes = {first + second for first in DIGITS for second in DIGITS}
    for family in FAMILIES.values():
        assert family.answer(scene) in (codes if family.name == "code" else known)


@given(drawn_scenes())
@settings(max_examples=25)
def test_a_scene_is_painted_alike_each_time(scene: Scene) -> None:
    assert paint(scene).tobytes() == paint(scene).tobytes()
    assert paint(scene).size == (SIDE, SIDE) and paint(scene).mode == "RGB"


@given(drawn_scenes(), st.sampled_from(sorted(FAMILIES)))
@settings(max_examples=60)
def test_another_answer_is_another_picture(scene: Scene, name: str) -> None:
    """Nothing covers what is asked for, wherever the style puts it."""
    other = with_another_answer(scene, FAMILIES[name])
    assert FAMILIES[name].answer(other) != FAMILIES[name].answer(scene)
    assert paint(other).tobytes() != paint(scene).tobytes()


@given(drawn_scenes(), st.sampled_from(sorted(set(FAMILIES) - {"corner", "count"})))
@settings(max_examples=60)
def test_the_evidence_lies_in_the_panel_of_the_family(scene: Scene, name: str) -> None:
    """Beside it no pixel tells of the answer; a panel that moves or a dot more lets chance paint the others anew."""
    box = panel_box(scene, FAMILIES[name].panel)
    changed = ImageChops.difference(paint(with_another_answer(scene, FAMILIES[name])), paint(scene)).getbbox()
    assert changed is not None
    left, top, right, bottom = changed
    assert box.contains(Box(left=left, top=top, right=right, bottom=bottom))


@given(seeds, splits, families)
@settings(max_examples=25)
def test_a_sample_says_in_which_quarter_its_evidence_lies(seed: int, split: Split, names: list[str]) -> None:
    for sample in generate(split, NUM_SAMPLES, seed=seed, families=names):
        assert sample.region is not None
        assert sample.region.size == Size(width=SIDE // 2, height=SIDE // 2)
        if sample.family == "corner":
            row, column = sample.answer.split()
            assert (sample.region.top == 0, sample.region.left == 0) == (row == "top", column == "left")


def with_another_answer(scene: Scene, family: Family[Scene]) -> Scene:
    """The scene with one thing changed: what `family` asks for."""

    def after(values: str | tuple[str, ...], value: str) -> str:
        return values[(values.index(value) + 1) % len(values)]

    def swapped(letters: tuple[str, ...], place: int) -> tuple[str, ...]:
        return tuple(after(LETTERS, letter) if index == place else letter for index, letter in enumerate(letters))

    match family.name:
        case "color":
            return replace(scene, color=after(tuple(COLORS), scene.color))
        case "shape":
            return replace(scene, shape=after(SHAPES, scene.shape))
        case "count":
            return replace(scene, num_dots=scene.num_dots % MAX_DOTS + 1)
        case "tallest":
            return replace(scene, tallest=(scene.tallest + 1) % len(BARS))
        case "corner":
            return replace(scene, panels=(*scene.panels[1:], scene.panels[0]))
        case "code":
            return replace(scene, code=scene.code[0] + after(DIGITS, scene.code[1]))
        case "mark":
            return replace(scene, mark=after(LETTERS, scene.mark))
        case "suffix":
            return replace(scene, suffix=after(LETTERS, scene.suffix))
        case "framed":
            return replace(scene, clutter=swapped(scene.clutter, scene.framed))
        case "axis":
            return replace(scene, labels=swapped(scene.labels, scene.tallest))
        case name:
            pytest.fail(f"the test does not know family {name}")


@given(st.lists(st.text(max_size=8), max_size=4))
def test_families_that_do_not_exist_are_named_in_the_error(names: list[str]) -> None:
    unknown = sorted(set(names) - set(FAMILIES))
    with pytest.raises(ConfigError) as error:
        list(generate("test", 1, seed=0, families=names or ["", ""]))
    assert all(repr(name) in str(error.value) for name in unknown)


@given(st.floats(allow_nan=True).filter(lambda share: not 0 <= share <= 1))
def test_a_share_outside_0_and_1_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="needed_ratio"):
        list(generate("test", 1, seed=0, families=["color", "code"], needed_ratio=share))
