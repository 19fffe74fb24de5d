"""The next step of a rollout, case by case."""

from dataclasses import replace

import pytest

from visionthink.core.rollout import World
from visionthink.core.rollout_step import (
    DropCanary,
    MakeStable,
    PutCanary,
    Seen,
    SetShares,
    Step,
    Wait,
    next_step,
    replicas_for,
)

ALONE = Seen(stable="v1", num_replicas=4, shares={"v1": 100}, num_ready={"v1": 4})
BESIDE = replace(ALONE, canary="v2", num_canary_replicas=1, num_ready={"v1": 3, "v2": 1})
V1 = World(stable="v1", alias="v1")
DARK = replace(V1, canary="v2")
V2 = World(stable="v2", alias="v2")
FULL = replace(BESIDE, num_canary_replicas=4, num_ready={"v1": 1, "v2": 4})

CASES: dict[str, tuple[World, Seen, Step | None]] = {
    "alone already": (V1, ALONE, None),
    "dark: it is put beside": (DARK, ALONE, PutCanary(version="v2", num_replicas=1)),
    "dark already": (DARK, BESIDE, None),
    "dark, and no pod yet": (DARK, replace(BESIDE, num_ready={"v1": 4}), None),
    "half: it first gets the pods for it": (replace(DARK, percent=50), BESIDE, PutCanary(version="v2", num_replicas=2)),
    "a tenth on the pod that it has": (replace(DARK, percent=10), BESIDE, SetShares(shares={"v1": 90, "v2": 10})),
    "a share needs its pods": (
        replace(DARK, percent=10),
        replace(BESIDE, num_ready={"v1": 4, "v2": 0}),
        Wait(what="1 pods of v2, of which 0 are ready"),
    ),
    "a share is waited for": (
        replace(DARK, percent=10),
        replace(BESIDE, shares={"v1": 90, "v2": 10}, is_route_settled=False),
        Wait(what="the gateways to see the new shares"),
    ),
    "promotion: full size first": (V2, BESIDE, PutCanary(version="v2", num_replicas=4)),
    "then all requests": (V2, FULL, SetShares(shares={"v1": 0, "v2": 100})),
    "then the gateways": (
        V2,
        replace(FULL, shares={"v1": 0, "v2": 100}, is_route_settled=False),
        Wait(what="the gateways to see the new shares"),
    ),
    "then the name": (V2, replace(FULL, shares={"v1": 0, "v2": 100}), MakeStable(version="v2")),
    "then the route without the other": (
        V2,
        Seen(stable="v2", shares={"v1": 0, "v2": 100}, num_ready={"v2": 4}),
        SetShares(shares={"v2": 100}),
    ),
    "promoted already": (V2, Seen(stable="v2", shares={"v2": 100}, num_ready={"v2": 4}), None),
    "back: requests first": (V1, replace(BESIDE, shares={"v1": 70, "v2": 30}), SetShares(shares={"v1": 100})),
    "back: then the gateways": (
        V1,
        replace(BESIDE, is_route_settled=False),
        Wait(what="the gateways to see the new shares"),
    ),
    "back: then it goes": (V1, BESIDE, DropCanary()),
    "back to nobody is no way": (
        V1,
        replace(BESIDE, shares={"v1": 0, "v2": 100}, num_ready={"v2": 1}),
        Wait(what="1 pods of v1, of which 0 are ready"),
    ),
    "somebody else's canary goes first": (DARK, replace(BESIDE, canary="v9"), DropCanary()),
}


@pytest.mark.parametrize(("world", "seen", "want"), CASES.values(), ids=CASES)
def test_next_step(world: World, seen: Seen, want: Step | None) -> None:
    assert next_step(world, seen) == want


@pytest.mark.parametrize(
    ("percent", "num_replicas", "want"), [(0, 4, 1), (5, 4, 1), (26, 4, 2), (50, 4, 2), (100, 4, 4), (30, 1, 1)]
)
def test_pods_for_a_share_are_enough_and_at_least_one(percent: int, num_replicas: int, want: int) -> None:
    assert replicas_for(percent, num_replicas) == want
