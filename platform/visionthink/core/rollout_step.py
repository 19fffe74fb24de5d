"""The next single step from the world as it is seen to the world as a rollout wants it.

Rule: one step at a time, decided from what is seen alone. So it does not matter which steps were made before, by whom,
or whether the last one was seen to come off: what is there already is not made again. The order keeps every request
answered: a version gets requests once enough of it is ready, and goes once the gateways no longer send it any.

Promotion: the new version at full size, the route 0/100, the rename that makes it the stable one, the route without the
other. Back: everything to the stable version, then the canary goes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from visionthink.core.rollout import World

ALL: Final = 100
"""Percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What runs. Versions go by the names of their predictors."""

    stable: str
    """The version that the InferenceService calls its predictor."""
    num_replicas: int = 1
    """Pods that the stable version is to have at least."""
    canary: str | None = None
    """The version beside it ..."""
    num_canary_replicas: int = 0
    """... and the pods that it is to have."""
    shares: Mapping[str, int] = field(default_factory=dict)
    """Percent of the requests by version, as the route says; one without any may be missing."""
    num_ready: Mapping[str, int] = field(default_factory=dict)
    """Pods that take requests, by version."""
    is_route_settled: bool = True
    """Whether every gateway can be taken to act by the route as it is now."""

    @property
    def traffic(self) -> dict[str, int]:
        """Who gets requests."""
        return {name: percent for name, percent in self.shares.items() if percent}


@dataclass(frozen=True, slots=True, kw_only=True)
class PutCanary:
    """Run a version beside the stable one, with so many pods."""

    version: str
    num_replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DropCanary:
    """Run the stable version alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetShares:
    """Share requests out; who is not named, or has 0, gets none."""

    shares: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeStable:
    """Call the canary the stable version, and nothing the canary, in one stroke: its pods go on as they are."""

    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do but to look again."""

    what: str
    """What is waited for."""


Change: TypeAlias = PutCanary | DropCanary | SetShares | MakeStable
Step: TypeAlias = Change | Wait


def next_step(world: World, seen: Seen) -> Step | None:
    """What to do next; None when the world is as wanted."""
    if world.stable != seen.stable:
        return _promotion(world.stable, seen)
    if world.canary is None:
        return _alone(seen)
    return _beside(world.canary, world.percent, seen)


def replicas_for(percent: int, num_replicas: int) -> int:
    """Pods of a version that gets `percent` of what `num_replicas` pods are there for; one at least."""
    return max(1, math.ceil(num_replicas * percent / ALL))


def _promotion(version: str, seen: Seen) -> Step | None:
    """From the version that is in use to another one, which is then renamed."""
    step = _beside(version, ALL, seen)
    return MakeStable(version=version) if step is None else step


def _beside(version: str, percent: int, seen: Seen) -> Step | None:
    """The version `version` as the canary with its share, on enough pods for it."""
    if seen.canary not in (None, version):  # somebody else's: the stable one takes everything back first
        return _alone(seen)
    num_replicas = replicas_for(percent, seen.num_replicas)
    if seen.canary is None or seen.num_canary_replicas != num_replicas:
        return PutCanary(version=version, num_replicas=num_replicas)
    shares = {seen.stable: ALL - percent, version: percent}
    if seen.traffic != {name: share for name, share in shares.items() if share}:
        return _readied(SetShares(shares=shares), {version: num_replicas}, seen)
    return None if seen.is_route_settled else Wait(what="the gateways to see the new shares")


def _alone(seen: Seen) -> Step | None:
    """The stable version by itself."""
    if dict(seen.shares) != {seen.stable: ALL}:
        return _readied(SetShares(shares={seen.stable: ALL}), {seen.stable: 1}, seen)
    if not seen.is_route_settled:
        return Wait(what="the gateways to see the new shares")
    if seen.canary is not None:
        return DropCanary()
    if not seen.num_ready.get(seen.stable, 0):
        return Wait(what=f"a pod of {seen.stable or 'the version in use'}")
    return None


def _readied(change: SetShares, demanded: Mapping[str, int], seen: Seen) -> Step:
    """The change, once whoever gets requests by it that it did not get before has the pods for them."""
    for name, percent in change.shares.items():
        grows = percent > seen.shares.get(name, 0)
        num_ready, num_wanted = seen.num_ready.get(name, 0), demanded.get(name, 1)
        if grows and num_ready < num_wanted:
            return Wait(what=f"{num_wanted} pods of {name or 'the version in use'}, of which {num_ready} are ready")
    return change
