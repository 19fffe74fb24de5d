from hypothesis import given
from hypothesis import strategies as st

from visionthink.training.order import in_turn

SIDES = st.tuples(st.integers(0, 12), st.integers(0, 12))


@given(SIDES)
def test_both_labels_are_spread_evenly_and_keep_their_order(sizes: tuple[int, int]) -> None:
    needed, rest = [[f"{name}{number:02}" for number in range(size)] for name, size in zip("ab", sizes, strict=True)]
    got = in_turn(needed, rest)
    assert [one for one in got if one[0] == "a"] == needed and [one for one in got if one[0] == "b"] == rest
    for end in range(len(got) + 1):
        have = sum(one[0] == "a" for one in got[:end])
        assert abs(have - end * len(needed) / max(len(got), 1)) <= 1


def test_equal_shares_alternate() -> None:
    assert in_turn(["a", "b"], ["c", "d"]) == ["a", "c", "b", "d"]
