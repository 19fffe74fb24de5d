from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.serving.queue import FairQueue

KEYS = st.sampled_from("abc")


def test_keys_take_turns_whoever_came_first() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        queue.push(item[0], item)
    assert [queue.pop() for _ in range(len(queue))] == ["a1", "b1", "c1", "a2", "b2", "a3"]
    with pytest.raises(IndexError):
        queue.pop()


@given(st.lists(KEYS, max_size=40))
def test_of_one_key_the_first_come_is_the_first_served(keys: list[str]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for number, key in enumerate(keys):
        queue.push(key, (key, number))
    popped = [queue.pop() for _ in keys]
    assert sorted(popped, key=lambda item: item[1]) == list(enumerate_keys(keys))
    for key in set(keys):
        own = [number for name, number in popped if name == key]
        assert own == sorted(own)


def test_the_longest_line_gives_up_its_last_for_a_shorter_one() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1"):
        queue.push(item[0], item)
    assert queue.drop_for("a") is None, "not for its own sake"
    assert queue.drop_for("b") == "a3" and len(queue) == 3
    assert queue.drop_for("b") is None, "two each is no worse"
    assert queue.drop_for("c") == "a2"
    assert queue.drop_for("c") is None and [queue.pop(), queue.pop()] == ["a1", "b1"]
    assert queue.drop_for("c") is None


def enumerate_keys(keys: list[str]) -> list[tuple[str, int]]:
    return [(key, number) for number, key in enumerate(keys)]


@given(st.lists(KEYS, min_size=1, max_size=40))
def test_nobody_waits_for_two_of_the_same_other_key(keys: list[str]) -> None:
    queue: FairQueue[str] = FairQueue()
    for key in keys:
        queue.push(key, key)
    popped = [queue.pop() for _ in keys]
    for key in set(keys):
        start = 0
        for _ in range(keys.count(key)):
            end = popped.index(key, start)
            between = Counter(popped[start:end])
            assert all(count == 1 for count in between.values()), popped
            start = end + 1


@given(st.lists(st.tuples(st.sampled_from(["push", "pop", "remove"]), KEYS, st.integers(0, 5)), max_size=60))
def test_whatever_comes_and_goes_is_counted(steps: list[tuple[str, str, int]]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    held: list[tuple[str, int]] = []
    for step, key, number in steps:
        if step == "push":
            queue.push(key, (key, number))
            held.append((key, number))
        elif step == "remove":
            queue.remove(key, (key, number))
            if (key, number) in held:
                held.remove((key, number))
        elif held:
            held.remove(queue.pop())
        assert len(queue) == len(held)
