"""The rollout of a version as a state machine: registered, dark, evaluated, canary, promoted or rolled back.

Rule: a state says what the world must look like (`wanted`) and what must be found out next (`awaited`); a finding leads
to the next state (`advance`). A driver makes the world so, finds out, writes the new state down, and begins again. So
nothing depends on where it was killed: making the world as wanted twice is making it so once, and a finding that
belongs to another state than the one written down changes nothing.

The version in use serves alone until the evaluation has passed, and gets everything back from every state but the last.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias, assert_never

from visionthink.errors import ConfigError


class Phase(StrEnum):
    """Where a rollout is."""

    REGISTERED = "registered"
    """The version exists; nothing runs of it."""
    DARK = "dark"
    """It is being started, and gets no request."""
    EVALUATED = "evaluated"
    """It runs and was measured, and gets no request yet."""
    CANARY = "canary"
    """It gets a share of the requests."""
    PROMOTED = "promoted"
    """It is the version in use."""
    ROLLED_BACK = "rolled_back"
    """It is gone, and the version in use is the one from before."""


class Need(StrEnum):
    """What a driver must find out."""

    READINESS = "readiness"
    """Whether the version runs: a `Started`."""
    EVALUATION = "evaluation"
    """Whether it may replace the version in use: a `Judged`."""
    HEALTH = "health"
    """Whether requests fare as well with it, after a while at its share: a `Watched`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """What is rolled out, and in which steps."""

    version: str
    """The new version."""
    incumbent: str
    """The version in use before; empty for a predictor that KServe named itself."""
    percents: tuple[int, ...] = (5, 25, 50)
    """Shares of the canary, rising; empty promotes what passed the evaluation at once."""
    is_evaluated: bool = True
    """Whether it is measured before it gets a request; a version that was in use before need not be."""

    def __post_init__(self) -> None:
        """Refuse steps that do not rise, and a version that would replace itself."""
        if self.version == self.incumbent:
            raise ConfigError(f"version {self.version!r} is in use already; roll out another one")
        rising = all(one < other for one, other in zip(self.percents, self.percents[1:], strict=False))
        if not rising or any(not 1 <= percent <= 99 for percent in self.percents):
            raise ConfigError(f"canary shares must rise from 1 to 99 %, got {self.percents}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """Where a rollout is: what is written down, and all that a driver needs to go on."""

    phase: Phase = Phase.REGISTERED
    percent: int = 0
    """The canary's share, in that phase."""
    reason: str = ""
    """Why it was rolled back."""

    @property
    def is_final(self) -> bool:
        """Whether nothing is left to find out."""
        return self.phase in (Phase.PROMOTED, Phase.ROLLED_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What must run, and what the registry must say."""

    stable: str
    """The version that gets what the canary does not."""
    canary: str | None = None
    """The version beside it."""
    percent: int = 0
    """The canary's share."""
    alias: str
    """The version that the registry calls the one in use; it is moved after everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Whether the version came up."""

    is_ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the gate says of the version."""

    passed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How requests fared while the canary had a share."""

    percent: int
    """The share."""
    is_healthy: bool
    reason: str = ""


Finding: TypeAlias = Started | Judged | Watched


def wanted(plan: RolloutPlan, state: RolloutState) -> World:
    """What the world looks like in a state."""
    before = World(stable=plan.incumbent, alias=plan.incumbent)
    match state.phase:
        case Phase.REGISTERED | Phase.ROLLED_BACK:
            return before
        case Phase.DARK | Phase.EVALUATED:
            return replace(before, canary=plan.version)
        case Phase.CANARY:
            return replace(before, canary=plan.version, percent=state.percent)
        case Phase.PROMOTED:
            return World(stable=plan.version, alias=plan.version)
        case other:
            assert_never(other)


def awaited(state: RolloutState) -> Need | None:
    """What must be found out in a state; None where the next one follows by itself, or there is none."""
    match state.phase:
        case Phase.DARK:
            return Need.READINESS
        case Phase.EVALUATED:
            return Need.EVALUATION
        case Phase.CANARY:
            return Need.HEALTH
        case Phase.REGISTERED | Phase.PROMOTED | Phase.ROLLED_BACK:
            return None
        case other:
            assert_never(other)


def advance(plan: RolloutPlan, state: RolloutState, finding: Finding | None = None) -> RolloutState:
    """The next state; the same one for a finding that is not of it."""
    match state.phase, finding:
        case Phase.REGISTERED, None:
            return RolloutState(phase=Phase.DARK)
        case Phase.DARK, Started(is_ready=True):
            return RolloutState(phase=Phase.EVALUATED) if plan.is_evaluated else _share_after(plan, 0)
        case Phase.EVALUATED, Judged(passed=True):
            return _share_after(plan, 0)
        case Phase.CANARY, Watched(is_healthy=True, percent=state.percent):
            return _share_after(plan, state.percent)
        case (
            (Phase.DARK, Started(is_ready=False, reason=reason))
            | (Phase.EVALUATED, Judged(passed=False, reason=reason))
            | (Phase.CANARY, Watched(is_healthy=False, percent=state.percent, reason=reason))
        ):
            return RolloutState(phase=Phase.ROLLED_BACK, reason=reason)
        case _:
            return state


def retreat(state: RolloutState, reason: str) -> RolloutState:
    """Rolled back, from wherever it is: somebody wants it, or the world cannot be made as wanted."""
    return state if state.phase is Phase.ROLLED_BACK else RolloutState(phase=Phase.ROLLED_BACK, reason=reason)


def hurry(state: RolloutState) -> RolloutState:
    """Promoted, without the rest of the shares: somebody wants it.

    Raises:
        ConfigError: it is no canary, so that nothing is known of how requests fare with it.
    """
    if state.phase not in (Phase.CANARY, Phase.PROMOTED):
        raise ConfigError(f"the rollout is {state.phase}, and only a canary can be promoted; let it go on until it is")
    return RolloutState(phase=Phase.PROMOTED)


def _share_after(plan: RolloutPlan, percent: int) -> RolloutState:
    for step in plan.percents:
        if step > percent:
            return RolloutState(phase=Phase.CANARY, percent=step)
    return RolloutState(phase=Phase.PROMOTED)
