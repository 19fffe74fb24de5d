"""The examination asks every family under every policy and counts what came of it."""

from dataclasses import replace

import pytest
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.config import load_config
from visionthink.datasets.world import FAMILIES, SCATTERED, generate
from visionthink.model.examination import OF_WINDOWS, RegionFigures, examine, examine_regions, right_regions
from visionthink.model.folder import LoadedModel

NUM_SAMPLES = 20


def test_a_model_that_has_learned_nothing_fails_in_every_family_and_is_counted() -> None:
    found = examine(LoadedModel(tiny_model(), tiny_processor()), seed=0, num_samples=NUM_SAMPLES)
    assert set(found) == {"always_low", "always_high", "auto"}
    for families in found.values():
        assert set(families) == set(FAMILIES)
        assert sum(row["num_samples"] for row in families.values()) == NUM_SAMPLES
        assert all(row["accuracy"] == 0 and row["resize_rate"] == 0 for row in families.values())


GOOD = RegionFigures(accuracy_full=0.95, accuracy_region=0.94, named_rate=0.97, right_rate=0.6, whole_rate=0.2)


def test_a_model_that_has_learned_nothing_is_told_why_it_cannot_learn_where_to_look() -> None:
    config = load_config(None, preset="region")
    loaded = LoadedModel(tiny_model(), tiny_processor())
    found, regions = examine_regions(loaded, config, seed=0, num_samples=NUM_SAMPLES)
    assert set(found) == {"always_low", "always_high", "auto"}
    assert regions == replace(GOOD, accuracy_full=0, accuracy_region=0, named_rate=0, right_rate=None, whole_rate=None)
    assert len(list(regions.problems())) == 3


@pytest.mark.parametrize(
    ("figures", "want"),
    [
        (GOOD, []),
        (replace(GOOD, right_rate=0.44), ["0.44 of its regions are right"]),
        (replace(GOOD, named_rate=0.55), ["0.55 of its thoughts name the right place"]),
        (replace(GOOD, accuracy_region=0.8), ["it reads 0.80 of right regions and 0.95 of full views"]),
    ],
    ids=["good", "hardly aims", "names no places", "cannot read windows"],
)
def test_problems_name_what_is_missing(figures: RegionFigures, want: list[str]) -> None:
    found = list(figures.problems())
    assert len(found) == len(want)
    assert all(text.startswith(start) for text, start in zip(found, want, strict=True))


def test_of_nine_windows_fewer_need_be_right() -> None:
    figures = replace(GOOD, named_rate=0.66, right_rate=0.4)
    assert len(list(figures.problems())) == 2 and not list(figures.problems(OF_WINDOWS))


def test_the_right_region_is_the_one_that_holds_the_evidence() -> None:
    config = load_config(None, preset="region")
    for sample in generate("validation", NUM_SAMPLES, seed=0, families=["corner"]):
        assert right_regions(sample, config) == (sample.answer,)


def test_every_window_that_holds_the_evidence_is_right() -> None:
    config = load_config(None, preset="scattered")
    found = [
        (sample.answer, right_regions(sample, config))
        for sample in generate("validation", NUM_SAMPLES, seed=0, families=["corner"], layout=SCATTERED)
    ]
    assert all(place in regions for place, regions in found)
    assert {len(regions) for _, regions in found} == {1, 2, 4}
