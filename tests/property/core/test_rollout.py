"""A rollout ends as it should wherever its driver is killed, and whoever repeats what was done already."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.core.rollout import (
    Finding,
    Judged,
    Need,
    Phase,
    RolloutPlan,
    RolloutState,
    Started,
    Watched,
    World,
    advance,
    awaited,
    wanted,
)
from visionthink.errors import ConfigError

PLANS = st.builds(
    RolloutPlan,
    version=st.just("v2"),
    incumbent=st.just("v1"),
    percents=st.sets(st.integers(1, 99), max_size=5).map(lambda found: tuple(sorted(found))),
)


class KilledError(Exception):
    """The driver's process is gone."""


@dataclass
class Cluster:
    """What survives the driver: the world, and the state that is written down."""

    world: World = field(default_factory=lambda: World(stable="v1", alias="v1"))
    state: RolloutState = field(default_factory=RolloutState)
    seen: list[World] = field(default_factory=list)

    def make(self, world: World) -> None:
        self.world = world
        self.seen.append(world)


def drive(cluster: Cluster, plan: RolloutPlan, find: Callable[[Need], Finding], alive: Callable[[], None]) -> None:
    """A driver as it is meant; `alive` may end it between any two steps."""
    while True:
        alive()
        cluster.make(wanted(plan, cluster.state))
        alive()
        if cluster.state.is_final:
            return
        need = awaited(cluster.state)
        finding = None if need is None else find(need)
        alive()
        cluster.state = advance(plan, cluster.state, finding)


def killing(after: list[int]) -> Callable[[], None]:
    """Ends the driver after so many steps, once for each number."""
    left = list(after)

    def alive() -> None:
        if left and left[0] == 0:
            left.pop(0)
            raise KilledError
        if left:
            left[0] -= 1

    return alive


def ended(plan: RolloutPlan, bad: tuple[Phase, int] | None, kills: list[int]) -> Cluster:
    """The cluster after a rollout in which everything is well but in the state `bad`."""
    cluster, alive = Cluster(), killing(kills)

    def find(need: Need) -> Finding:
        well = (cluster.state.phase, cluster.state.percent) != bad
        match need:
            case Need.READINESS:
                return Started(is_ready=well, reason="no image")
            case Need.EVALUATION:
                return Judged(passed=well, reason="wrong answers")
            case Need.HEALTH:
                return Watched(percent=cluster.state.percent, is_healthy=well, reason="errors")

    for _ in range(len(kills) + 1):
        try:
            drive(cluster, plan, find, alive)
            return cluster
        except KilledError:
            continue
    raise AssertionError("killed more often than told")


KILLS = st.lists(st.integers(0, 25), max_size=6)


@given(PLANS, KILLS)
def test_a_good_version_is_promoted_wherever_the_driver_is_killed(plan: RolloutPlan, kills: list[int]) -> None:
    cluster = ended(plan, None, kills)
    assert cluster.state == RolloutState(phase=Phase.PROMOTED)
    assert cluster.world == World(stable="v2", alias="v2")


@given(PLANS, KILLS, st.data())
def test_a_bad_version_is_rolled_back_with_its_reason_and_leaves_nothing(
    plan: RolloutPlan, kills: list[int], data: st.DataObject
) -> None:
    places = [(Phase.DARK, 0), (Phase.EVALUATED, 0), *((Phase.CANARY, percent) for percent in plan.percents)]
    cluster = ended(plan, data.draw(st.sampled_from(places)), kills)
    assert cluster.state.phase is Phase.ROLLED_BACK and cluster.state.reason
    assert cluster.world == World(stable="v1", alias="v1")
    assert all((world.stable, world.alias) == ("v1", "v1") for world in cluster.seen)


@given(PLANS, KILLS)
def test_shares_only_rise_and_begin_after_the_evaluation(plan: RolloutPlan, kills: list[int]) -> None:
    seen = ended(plan, None, kills).seen
    shares = [world.percent for world in seen if world.canary]
    assert shares == sorted(shares) and set(shares) == {0, *plan.percents}
    assert all(world.canary == "v2" for world in seen if world.percent)


FINDINGS = st.one_of(
    st.none(),
    st.builds(Started, is_ready=st.booleans()),
    st.builds(Judged, passed=st.booleans()),
    st.builds(Watched, percent=st.integers(0, 99), is_healthy=st.booleans()),
)
STATES = st.one_of(
    st.builds(RolloutState, phase=st.sampled_from([phase for phase in Phase if phase is not Phase.CANARY])),
    st.builds(RolloutState, phase=st.just(Phase.CANARY), percent=st.sampled_from([5, 25, 50])),
)
OWN = {Phase.DARK: Started, Phase.EVALUATED: Judged, Phase.CANARY: Watched}


@given(STATES, FINDINGS)
def test_a_finding_of_another_state_changes_nothing(state: RolloutState, finding: Finding | None) -> None:
    plan = RolloutPlan(version="v2", incumbent="v1")
    is_own = finding is None if state.phase is Phase.REGISTERED else type(finding) is OWN.get(state.phase)
    if isinstance(finding, Watched):
        is_own &= finding.percent == state.percent
    after = advance(plan, state, finding)
    assert (after != state) is is_own
    assert advance(plan, after, finding) == after or finding is None


@given(STATES)
def test_a_state_awaits_what_leads_on_from_it(state: RolloutState) -> None:
    assert (awaited(state) is None) is (state.phase not in OWN)
    assert state.is_final is (state.phase in (Phase.PROMOTED, Phase.ROLLED_BACK))


@pytest.mark.parametrize("percents", [(0,), (100,), (5, 5), (25, 5)], ids=str)
def test_shares_that_do_not_rise_are_refused(percents: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="must rise from 1 to 99"):
        RolloutPlan(version="v2", incumbent="v1", percents=percents)


def test_a_version_does_not_replace_itself() -> None:
    with pytest.raises(ConfigError, match="in use already"):
        RolloutPlan(version="v1", incumbent="v1")
