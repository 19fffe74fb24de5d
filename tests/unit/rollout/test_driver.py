"""What a rollout does in the cases that people meet: waiting, giving up, being told to end, and asked twice."""

from dataclasses import replace

import pytest
from tests.fakes.rollout_parts import GOOD, SERVICE, V1, V2, Fate, KilledError, World

from visionthink.core.rollout import Phase
from visionthink.core.slo import Traffic
from visionthink.errors import ClusterError, ConfigError
from visionthink.rollout import ServedVersion

V3 = ServedVersion(name="v3", uri="s3://models/ar/3", runtime=V2.runtime, number="3")


def test_a_rollout_tells_each_step_and_keeps_what_it_found() -> None:
    world = World(percents=[10, 30])
    record = world.rollout().start(V2)
    assert record.state.phase is Phase.PROMOTED and record.incumbent == V1
    assert set(record.facts) == {"ready_s", "evaluation", "canary_10", "canary_30"}
    text = "\n".join(world.lines)
    for part in ("registered: v2", "dark: v2", "evaluated: v2", "canary: v2 is to get 30 %", "promoted: v2"):
        assert part in text


def test_a_version_that_does_not_start_goes_back_with_what_its_pods_say() -> None:
    world = World(ready_timeout_s=30)
    world.kube.broken.add(V2.uri)
    record = world.rollout().start(V2)
    assert record.state.reason == "no pod was ready within 30 s: kserve-container: ImagePullBackOff: no such image"
    assert list(world.kube.pods) == [f"{SERVICE}-predictor"] and world.kube.lost == []


def test_shares_are_held_for_as_long_as_told_and_no_longer_for_want_of_requests_than_told() -> None:
    world = World(hold_s=60, max_hold_s=120)
    start_s = world.clock.now_s()
    world.scrape.by_name["v2"] = Traffic(num_requests=3)
    record = world.rollout().start(V2)
    assert record.state.reason == "at 30 %: 3 requests, 50 needed to tell"
    assert 120 <= world.clock.now_s() - start_s < 200


def test_broken_promises_end_a_share_at_once() -> None:
    world = World(hold_s=3000, max_hold_s=3000)
    start_s = world.clock.now_s()
    world.scrape.by_name["v2"] = replace(GOOD, error_ratio=0.5)
    assert "error ratio 0.5000" in world.rollout().start(V2).state.reason
    assert world.clock.now_s() - start_s < 200


def test_a_server_that_fails_is_no_verdict_and_the_same_command_goes_on() -> None:
    world = World()

    def say(line: str) -> None:
        world.scrape.is_away |= "30 %" in line

    rollout = replace(world.rollout(), say=say)
    with pytest.raises(ClusterError, match="Prometheus"):
        rollout.start(V2)
    record = world.rollout().cluster.look().record
    assert record is not None and record.state.phase is Phase.CANARY
    world.scrape.is_away = False
    assert world.rollout().start(V2).state.phase is Phase.PROMOTED


def test_nothing_begins_without_the_prometheus_that_is_to_be_asked() -> None:
    world = World()
    world.scrape.is_away = True
    with pytest.raises(ClusterError, match="Prometheus"):
        world.rollout().start(V2)
    assert world.rollout().cluster.look().record is None
    assert replace(world.rollout(), slo=None).start(V2).state.phase is Phase.PROMOTED


def test_what_was_done_is_not_done_again() -> None:
    world = World()
    record = world.rollout().start(V2)
    before = world.facts()
    assert world.rollout().start(V2) == record
    assert world.facts() == before and world.verdicts.num_calls == 1


def test_a_version_that_was_rolled_back_stays_so_until_it_is_to_be_tried_again() -> None:
    world = World()
    world.verdicts.passed = False
    assert world.rollout().start(V2).state.reason == "FAIL min_accuracy_gain"
    world.verdicts.passed = True
    assert world.rollout().start(V2).state.phase is Phase.ROLLED_BACK
    assert world.rollout().start(V2, again=True).state.phase is Phase.PROMOTED


def killed_in(world: World, phase: Phase, version: ServedVersion = V2) -> None:
    """A rollout whose process was killed in a phase."""
    for number in range(400):
        fate = Fate({number: "killed before"})
        try:
            world.rollout(fate).start(version)
        except KilledError:
            record = world.kube_record()
            if record is not None and record.state.phase is phase:
                return
    raise AssertionError(phase)


@pytest.mark.parametrize("phase", [Phase.REGISTERED, Phase.DARK, Phase.EVALUATED, Phase.CANARY])
def test_an_abort_gives_everything_back_from_anywhere(phase: Phase) -> None:
    world = World()
    killed_in(world, phase)
    record = world.rollout().abort()
    assert (record.state.phase, record.state.reason) == (Phase.ROLLED_BACK, "aborted by hand")
    facts = world.facts()
    assert "canary" not in facts["service"] and facts["pods"] == [f"{SERVICE}-predictor"] and facts["alias"] == "1"
    assert world.kube.lost == [] and world.rollout().abort() == record


def test_another_rollout_waits_for_the_end_of_one_under_way() -> None:
    world = World()
    killed_in(world, Phase.CANARY)
    with pytest.raises(ConfigError, match="the rollout of v2 is canary; go on with it, or end it"):
        world.rollout().start(V3)
    world.rollout().start(V2)
    record = world.rollout().start(V3)
    assert record.incumbent == V2 and world.alias.number == "3"


def test_a_canary_is_promoted_by_hand_and_nothing_else_is() -> None:
    world = World(percents=[5, 25, 50])
    with pytest.raises(ConfigError, match="no rollout is under way"):
        world.rollout().promote()
    killed_in(world, Phase.DARK)
    with pytest.raises(ConfigError, match="only a canary can be promoted"):
        world.rollout().promote()
    killed_in(world, Phase.CANARY)
    record = world.rollout().promote()
    assert record.state.phase is Phase.PROMOTED and record.facts["hurried"] is True
    assert world.kube.lost == [] and world.alias.number == "2"


def test_the_version_from_before_comes_back_without_an_evaluation_and_asking_twice_does_not_turn_it_round() -> None:
    world = World()
    with pytest.raises(ConfigError, match="nothing was ever rolled out"):
        world.rollout().go_back()
    world.rollout().start(V2)
    record = world.rollout().go_back()
    assert record.version == replace(V1, name="v1") and record.state.phase is Phase.PROMOTED
    assert (world.alias.number, world.verdicts.num_calls) == ("1", 1)
    assert world.rollout().go_back() == record
    with pytest.raises(ConfigError, match="v1 is in use already; `visionthink rollout rollback`"):
        world.rollout().abort()


def test_versions_in_use_are_not_rolled_out() -> None:
    world = World()
    world.rollout().start(V2)
    with pytest.raises(ConfigError, match="in use already"):
        world.rollout().start(replace(V2, number=None))


def test_a_service_that_is_not_there_is_told_with_the_mend() -> None:
    world = World()
    world.kube.objects.clear()
    with pytest.raises(ClusterError, match="there is no InferenceService ar in ml; serve a first version"):
        world.rollout().start(V2)


def test_kserve_shares_requests_out_where_it_can() -> None:
    world = World()
    config = world.config.cluster
    serving = config.serving.model_copy(update={"weights": "kserve"})
    rollout = world.rollout()
    cluster = replace(
        rollout.cluster,  # type: ignore[type-var]
        config=config.model_copy(update={"serving": serving}),
    )
    seen: list[int] = []

    def say(line: str) -> None:
        canaries = world.kube.objects["InferenceService", SERVICE]["spec"].get("canary") or ()
        seen.extend(one["trafficPercent"] for one in canaries)

    route = world.facts()["route"]
    record = replace(rollout, cluster=cluster, say=say).start(V2)
    assert record.state.phase is Phase.PROMOTED
    assert list(dict.fromkeys(seen)) == [0, 30, 100]
    assert world.facts()["route"] == route, "the platform's own route is left alone"
