"""Labels: clear cases only, by the paper's numbers or others."""

import pytest

from visionthink.core import Label, LabelRule, decide_label, decide_region
from visionthink.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("num_quarter", "num_full", "want"),
    [
        (8, 8, Label.NOT_NEEDED),
        (0, 8, Label.NEEDED),
        (2, 8, Label.NEEDED),
        (0, 6, Label.NEEDED),
        (3, 8, Label.DISCARDED),
        (0, 5, Label.DISCARDED),
        (7, 8, Label.DISCARDED),
        (8, 7, Label.DISCARDED),
        (8, 0, Label.DISCARDED),
        (0, 0, Label.DISCARDED),
        (7, 7, Label.DISCARDED),
    ],
)
def test_label_of_the_paper(num_quarter: int, num_full: int, want: Label) -> None:
    assert decide_label(num_quarter, num_full, LabelRule()) is want


def test_label_of_another_rule() -> None:
    rule = LabelRule(num_rollouts=4, min_gap=2)
    assert [decide_label(low, 4, rule) for low in (4, 3, 2)] == [Label.NOT_NEEDED, Label.DISCARDED, Label.NEEDED]


@pytest.mark.parametrize(("num_quarter", "num_full", "view"), [(9, 8, "quarter"), (8, -1, "full")])
def test_counts_beyond_the_rollouts_are_refused(num_quarter: int, num_full: int, view: str) -> None:
    with pytest.raises(DataError, match=f"of 8 rollouts correct with the {view} view"):
        decide_label(num_quarter, num_full, LabelRule())


@pytest.mark.parametrize("min_gap", [0, 9])
def test_a_gap_that_says_nothing_is_refused(min_gap: int) -> None:
    with pytest.raises(ConfigError, match="min_gap must lie between 1 and num_rollouts 8"):
        LabelRule(min_gap=min_gap)


@pytest.mark.parametrize(
    ("counts", "want"),
    [
        ((0, 4, 0, 0), "b"),
        ((1, 0, 4, 0), "c"),
        ((3, 0, 0, 0), "a"),
        ((2, 0, 0, 0), None),
        ((4, 2, 0, 0), None),
        ((4, 4, 0, 0), None),
        ((0, 0, 0, 0), None),
    ],
    ids=["alone", "a lucky guess beside it", "enough", "too few", "no clear lead", "two suffice", "none does"],
)
def test_a_region_suffices_where_it_alone_solves_the_sample(counts: tuple[int, ...], want: str | None) -> None:
    assert decide_region(dict(zip("abcd", counts, strict=True)), 4) == want


@pytest.mark.parametrize("counts", [{}, {"a": 5}, {"a": -1}])
def test_counts_of_regions_beyond_the_rollouts_are_refused(counts: dict[str, float]) -> None:
    with pytest.raises(DataError, match="rollouts by region"):
        decide_region(counts, 4)
