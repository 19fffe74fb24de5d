"""Samples say the truth about the scene that was painted, and splits keep their shares."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from PIL import Image

from visionthink.core.sample import Sample
from visionthink.datasets.world import FAMILIES, GRID, Scene, Split, generate, paint, scenes, split_of
from visionthink.datasets.world.scene import draw_scene
from visionthink.picture import decode

# Written out here, from the description of the scene, and not taken from the families themselves.
TRUTHS: dict[str, Callable[[Scene], str]] = {
    "color": lambda scene: scene.color,
    "shape": lambda scene: scene.shape,
    "count": lambda scene: {1: "1", 2: "2", 3: "3", 4: "4"}[scene.num_dots],
    "tallest": lambda scene: ("left", "middle", "right")[scene.tallest],
    "corner": lambda scene: dict(
        zip(scene.panels, ("top left", "top right", "bottom left", "bottom right"), strict=True)
    )["shape"],
    "code": lambda scene: scene.code,
    "mark": lambda scene: scene.mark,
    "framed": lambda scene: scene.clutter[scene.framed],
    "axis": lambda scene: scene.labels[scene.tallest],
    "suffix": lambda scene: scene.suffix,
}


def drawn(count: int, seed: int) -> list[tuple[Sample, Scene]]:
    """Samples with the scenes that their pictures were painted from."""
    painted: list[Scene] = []

    def record(scene: Scene) -> Image.Image:
        painted.append(scene)
        return paint(scene)

    # Every sample is painted once, when it is made.
    samples = list(generate("test", count, seed=seed, families=tuple(FAMILIES), layout=replace(GRID, paint=record)))
    return list(zip(samples, painted, strict=True))


def test_question_answer_and_picture_belong_together() -> None:
    pairs = drawn(100, 3)
    assert {sample.family for sample, _ in pairs} == set(TRUTHS)
    for sample, scene in pairs:
        assert sample.answer == TRUTHS[sample.family](scene)
        assert decode(sample.picture).tobytes() == paint(scene).tobytes()
        assert split_of(scene) == "test"


def test_scenes_are_not_repeated() -> None:
    keys = [scene.content_key() for _, scene in drawn(200, 5)]
    assert len(set(keys)) == len(keys)


def test_another_seed_or_split_is_another_sequence() -> None:
    def pictures(seed: int, split: Split) -> list[bytes]:
        return [sample.picture for sample in generate(split, 5, seed=seed, families=["code"])]

    assert not {*pictures(0, "train")} & {*pictures(1, "train")}
    assert not {*pictures(0, "train")} & {*pictures(0, "test")}


def test_a_family_more_changes_what_is_drawn() -> None:
    """The number of families is part of the seed: no two data sets share a head by accident."""
    alone = [sample.picture for sample in generate("test", 5, seed=0, families=["code"])]
    both = [sample.picture for sample in generate("test", 5, seed=0, families=["code", "color"])]
    assert not {*alone} & {*both}


def test_needed_questions_are_spread_over_the_sequence() -> None:
    needed = [sample.needs_high_res for sample in generate("test", 200, seed=0, families=tuple(FAMILIES))]
    assert all(25 <= sum(map(bool, needed[start : start + 100])) <= 75 for start in range(0, 200, 100))
    assert all(20 <= sum(map(bool, needed[parity::2])) <= 80 for parity in (0, 1))


def test_splits_have_their_shares() -> None:
    rng = random.Random(0)
    counts = Counter(split_of(draw_scene(rng)) for _ in range(5000))
    want = {"pretrain": 0.60, "train": 0.20, "validation": 0.05, "test": 0.15}
    assert {split: count / 5000 for split, count in counts.items()} == pytest.approx(want, abs=0.02)


def test_the_split_of_a_scene_is_the_same_on_every_machine() -> None:
    """Otherwise a model trained here could be judged elsewhere on what it was trained on."""
    rng = random.Random(0)
    got = " ".join(split_of(draw_scene(rng)) for _ in range(12))
    assert got == ("pretrain pretrain test pretrain pretrain pretrain test pretrain train pretrain pretrain pretrain")


def test_scenes_of_a_split_are_endless_and_lazy() -> None:
    stream = scenes("validation", random.Random(0), GRID)
    assert len([next(stream) for _ in range(50)]) == 50
