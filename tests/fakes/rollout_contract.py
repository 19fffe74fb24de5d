"""What the adapter of a cluster does, whatever cluster is behind it: the one in memory or a real one."""

from collections.abc import Callable
from dataclasses import replace

from visionthink.core.rollout import RolloutState
from visionthink.core.rollout_step import ALL, DropCanary, MakeStable, PutCanary, SetShares
from visionthink.rollout import RolloutRecord, ServedVersion
from visionthink.rollout.kserve import KServeCluster

Wait = Callable[[Callable[[], bool], str], None]


def check_adapter(cluster: KServeCluster, version: ServedVersion, wait: Wait) -> None:
    """A version goes all the way, and what was decided on an old look changes nothing."""
    first = cluster.look()
    stable = first.stable.name
    record = RolloutRecord(
        version=version, incumbent=first.stable, percents=(30,), is_evaluated=True, since_s=1.5, facts={"a": [1, None]}
    )
    assert cluster.keep(record, over=first) and cluster.look().record == record
    assert not cluster.keep(replace(record, state=RolloutState()), over=first), "something else stands there"

    put = PutCanary(version=version.name, num_replicas=1)
    cluster.change(put, version, over=first)
    assert cluster.look().seen.canary is None, "decided before the record was written"
    for _ in range(2):
        cluster.change(put, version, over=cluster.look())
        seen = cluster.look().seen
        assert (seen.canary, seen.num_canary_replicas, dict(seen.traffic)) == (version.name, 1, {stable: ALL})
    wait(lambda: cluster.look().seen.num_ready.get(version.name, 0) == 1, "the canary")
    assert cluster.addresses(version.name), "its pods can be asked past the route"

    before = cluster.look().shared_since_s
    cluster.change(SetShares(shares={stable: 70, version.name: 30}), version, over=cluster.look())
    after = cluster.look()
    assert dict(after.seen.shares) == {stable: 70, version.name: 30}
    assert after.shared_since_s > before and not after.seen.is_route_settled
    wait(lambda: cluster.look().seen.is_route_settled, "the gateways")

    cluster.change(SetShares(shares={stable: ALL}), version, over=cluster.look())
    wait(lambda: cluster.look().seen.is_route_settled, "the gateways")
    for _ in range(2):
        cluster.change(DropCanary(), version, over=cluster.look())
        assert cluster.look().seen.canary is None
    wait(lambda: not cluster.addresses(version.name), "its end")

    cluster.change(put, version, over=cluster.look())
    wait(lambda: cluster.look().seen.num_ready.get(version.name, 0) == 1, "the canary again")
    cluster.change(SetShares(shares={stable: 0, version.name: ALL}), version, over=cluster.look())
    wait(lambda: cluster.look().seen.is_route_settled, "the gateways")
    pods = cluster.addresses(version.name)
    stale = cluster.look()
    for _ in range(2):
        cluster.change(MakeStable(version=version.name), version, over=cluster.look())
    last = cluster.look()
    assert last.stable == replace(version, number=None) and last.seen.canary is None
    assert cluster.addresses(version.name) == pods, "the same pods go on"
    cluster.change(DropCanary(), version, over=stale)
    cluster.change(SetShares(shares={version.name: ALL}), version, over=cluster.look())
    assert dict(cluster.look().seen.shares) == {version.name: ALL}
    assert cluster.look().record == record
    wait(lambda: not cluster.addresses(stable), "the end of the version from before")
