"""The rule against a language model: what is compared, and what chance would give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.judges import GradeItem
from visionthink.judges.agreement import Agreement, Judged, agreement_of, judged_before
from visionthink.judges.told import Told

R, W, U = Told.RIGHT, Told.WRONG, Told.UNTOLD
ITEM = GradeItem(question="what color ?", answer="red", prediction="red")


def of(counts: dict[tuple[Told, Told], int]) -> Agreement:
    return agreement_of(
        Judged(item=ITEM, rule=rule, language=said) for (rule, said), num in counts.items() for _ in range(num)
    )


@pytest.mark.parametrize(
    ("counts", "num", "ratio", "kappa"),
    [
        # Cohen's own kind of table: 0.7 agreed, 0.5 by chance.
        ({(R, R): 20, (R, W): 5, (W, R): 10, (W, W): 15}, 50, 0.7, 0.4),
        ({(R, R): 30, (W, W): 20}, 50, 1.0, 1.0),
        ({(R, W): 25, (W, R): 25}, 50, 0.0, -1.0),
        ({(R, R): 25, (R, W): 25, (W, R): 25, (W, W): 25}, 100, 0.5, 0.0),
        # Nearly everything is right: 90 % agree, and chance would do as well.
        ({(R, R): 90, (R, W): 5, (W, R): 5}, 100, 0.9, -1 / 19),
        ({(R, R): 3, (U, R): 90, (R, U): 7, (U, U): 1}, 3, 1.0, None),
        ({(U, R): 4}, 0, None, None),
        ({}, 0, None, None),
    ],
)
def test_agreement_is_of_what_both_told(
    counts: dict[tuple[Told, Told], int], num: int, ratio: float | None, kappa: float | None
) -> None:
    found = of(counts)
    assert found.num_both == num
    assert found.agreement_ratio == pytest.approx(ratio)
    assert found.kappa == pytest.approx(kappa)
    assert len(found.disagreements) == counts.get((R, W), 0) + counts.get((W, R), 0)


@given(st.dictionaries(st.tuples(st.sampled_from(Told), st.sampled_from(Told)), st.integers(0, 9)))
def test_kappa_is_the_same_from_either_side_and_never_above_the_agreement(
    counts: dict[tuple[Told, Told], int],
) -> None:
    found, turned = of(counts), of({(said, rule): num for (rule, said), num in counts.items()})
    assert found.kappa == pytest.approx(turned.kappa)
    if found.kappa is not None and found.agreement_ratio is not None:
        assert -1 - 1e-9 <= found.kappa <= found.agreement_ratio + 1e-9


def test_a_verdict_of_before_is_compared_with_the_rule_of_now() -> None:
    answers = {"red": 1.0, "blue": 1.0, "Red.": 0.0, "green": None}
    found = agreement_of(
        judged_before(GradeItem(question="what color ?", answer="red", prediction=said), correct)
        for said, correct in answers.items()
    )
    assert found.counts == {(R, R): 1, (W, R): 1, (R, W): 1, (W, U): 1}
    assert [one.item.prediction for one in found.disagreements] == ["blue", "Red."]
    shown = found.to_dict()
    assert shown["rule_by_language_model"]["wrong"] == {"right": 1, "wrong": 0, "failed": 1}  # type: ignore[index,call-overload]
    assert shown["disagreements"][0]["language_model"] == "right"  # type: ignore[index,call-overload]
