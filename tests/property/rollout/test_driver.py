"""A rollout ends alike wherever its process is killed and whichever call fails, and nobody's request is lost."""

import os
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.rollout_parts import GOOD, V1, V2, Fate, World

from visionthink.core.rollout import Phase
from visionthink.rollout import RolloutRecord

BLOW_KINDS = ("killed before", "killed behind", "failed before", "failed behind")
BLOWS = st.dictionaries(st.integers(0, 250), st.sampled_from(BLOW_KINDS), max_size=12)
STRIDE = 2 if os.environ.get("HYPOTHESIS_PROFILE") != "thorough" else 1
ENDS = {
    "good": Phase.PROMOTED,
    "never starts": Phase.ROLLED_BACK,
    "answers wrongly": Phase.ROLLED_BACK,
    "fails requests": Phase.ROLLED_BACK,
}


def world(kind: str, num_replicas: int) -> World:
    made = World(num_replicas=num_replicas, percents=[10, 50], hold_s=10, poll_s=5)
    if kind == "never starts":
        made.kube.broken.add(V2.uri)
    if kind == "answers wrongly":
        made.verdicts.passed = False
    if kind == "fails requests":
        made.scrape.by_name["v2"] = replace(GOOD, error_ratio=0.2)
    return made


def undisturbed(kind: str, num_replicas: int) -> tuple[dict[str, Any], RolloutRecord, int]:
    made, fate = world(kind, num_replicas), Fate()
    record = made.ended(fate)
    assert made.kube.lost == [] and made.alias.wrong == []
    return made.facts(), record, fate.num_calls


def comparable(record: RolloutRecord) -> RolloutRecord:
    """Without what depends on the seconds that pass."""
    return replace(record, since_s=0.0, facts={})


@pytest.mark.parametrize("kind", ENDS)
@settings(max_examples=15, deadline=None)
@given(blows=BLOWS, num_replicas=st.sampled_from([1, 4]))
def test_the_end_is_that_of_an_undisturbed_rollout(kind: str, blows: dict[int, str], num_replicas: int) -> None:
    want, record, _ = undisturbed(kind, num_replicas)
    made = world(kind, num_replicas)
    got = made.ended(Fate(blows))
    assert made.facts() == want
    assert comparable(got) == comparable(record) and got.state.phase is ENDS[kind]
    assert made.kube.lost == [], "a request went to nobody"
    assert made.alias.wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("blow", BLOW_KINDS)
@pytest.mark.parametrize("kind", ["good", "fails requests"])
def test_any_single_call_may_be_the_last(kind: str, blow: str) -> None:
    want, _, num_calls = undisturbed(kind, 2)
    assert num_calls > 50
    for number in range(BLOW_KINDS.index(blow), num_calls, STRIDE):
        made = world(kind, 2)
        made.ended(Fate({number: blow}))
        assert (made.facts(), made.kube.lost, made.alias.wrong) == (want, [], []), number


def test_the_way_back_ends_alike_too() -> None:
    fate = Fate()
    made = world("good", 2)
    made.ended(Fate())
    made.rollout(fate).go_back()
    want = made.facts()
    assert want["alias"] == V1.number and want["service"]["predictor"]["model"]["storageUri"] == V1.uri
    for number in range(0, fate.num_calls, 3):
        made = world("good", 2)
        made.ended(Fate())
        struck = Fate({number: "killed behind"})
        try:
            made.rollout(struck).go_back()
        except BaseException as error:
            assert type(error).__name__ == "KilledError"
            made.rollout(struck).go_back()
        assert made.facts() == want and made.kube.lost == [], number
