"""The adapter over the cluster in memory, by the same contract as over a real one."""

from collections.abc import Callable

from tests.fakes.rollout_contract import check_adapter
from tests.fakes.rollout_parts import V2, World


def test_the_adapter_keeps_its_contract_over_the_cluster_in_memory() -> None:
    world = World()

    def wait(holds: Callable[[], bool], what: str) -> None:
        for _ in range(100):
            if holds():
                return
            world.clock.sleep(1)
        raise AssertionError(what)

    check_adapter(world.rollout().cluster, V2, wait)  # type: ignore[arg-type]
    assert world.kube.lost == []
