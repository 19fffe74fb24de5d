"""Carries a rollout out: makes the world as the state wants it, finds out what it awaits, writes the next state down.

Rule: nothing is remembered here. Each turn begins with a look at the cluster, and what was written down there decides;
so a process that is killed anywhere is replaced by any other, two at a time do not disturb each other, and what
somebody else writes down (an abort) is obeyed at the next look. A failure of a server is no finding: it ends the
command, and the same command goes on. The registry's alias is moved after everything else.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, assert_never

from visionthink.config import RolloutConfig
from visionthink.core.json_value import Json
from visionthink.core.rollout import (
    Finding,
    Judged,
    Need,
    Phase,
    RolloutState,
    Started,
    Watched,
    advance,
    awaited,
    hurry,
    retreat,
    wanted,
)
from visionthink.core.rollout_step import MakeStable, PutCanary, SetShares, Wait, next_step
from visionthink.core.slo import Health, judge_traffic
from visionthink.errors import BackendError, ClusterError, ConfigError
from visionthink.rollout.port import Clock, Evaluator, Look, RolloutCluster, SloSource, VersionRegistry
from visionthink.rollout.record import RolloutRecord, ServedVersion

_MIN_WINDOW_S: Final = 30.0
"""A shorter window may lie between two scrapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The driver of one InferenceService."""

    cluster: RolloutCluster
    registry: VersionRegistry
    evaluator: Evaluator
    slo: SloSource | None
    """None: shares are held, and not checked."""
    clock: Clock
    config: RolloutConfig
    say: Callable[[str], None]
    """Is told a line at each step."""

    def start(self, version: ServedVersion, *, again: bool = False) -> RolloutRecord:
        """Roll `version` out, or go on with its rollout; the end of it.

        A version that was rolled back stays so, unless it is to be tried `again`.

        Raises:
            ConfigError: another rollout is under way, or the version is in use.
            BackendError: a server failed; the same call goes on.
        """
        while True:
            look = self.cluster.look()
            record = look.record
            if record is not None and not record.is_done and record.version != version:
                raise _under_way(record)
            if record is not None and record.version == version and not (record.is_done and again):
                is_in_use = look.seen.stable == version.name
                if not record.is_done or record.state.phase is Phase.ROLLED_BACK or is_in_use:
                    return self.drive()
            if look.seen.stable == version.name:
                raise ConfigError(f"version {version.label} is in use already; roll out another one")
            if self.slo is not None:
                self.slo.check()
            if self._is_begun(look, version, self.config.percents, is_evaluated=self.config.evaluated):
                return self.drive()

    def go_back(self) -> RolloutRecord:
        """Bring the version from before the last promotion into use again, as soon as it runs.

        Raises:
            ConfigError: there is none.
            BackendError: a server failed; the same call goes on.
        """
        while True:
            look = self.cluster.look()
            record = look.record
            if record is None:
                raise ConfigError("nothing was ever rolled out here, so there is no version to go back to")
            if record.is_return:  # under way, or done already: it is not turned round by who asks twice
                return self.drive()
            if not record.is_done:
                raise _under_way(record)
            if record.state.phase is not Phase.PROMOTED:
                raise ConfigError(f"{record.version.label} was rolled back already: {record.state.reason}")
            version = _named(record.incumbent)
            if self._is_begun(look, version, (), is_evaluated=False, is_return=True):
                return self.drive()

    def abort(self, reason: str = "aborted by hand") -> RolloutRecord:
        """End the rollout under way: the version in use gets everything back.

        Raises:
            ConfigError: there is none, or it is past its end.
            BackendError: a server failed; the same call goes on.
        """
        while True:
            look = self.cluster.look()
            record = _record(look)
            if record.state.phase is Phase.ROLLED_BACK:
                return self.drive()
            if record.is_done or look.seen.stable == record.version.name:
                raise ConfigError(
                    f"{record.version.label} is in use already; `visionthink rollout rollback` brings the one before "
                    "it back"
                )
            if self._is_written(look, retreat(record.state, reason)):
                return self.drive()

    def promote(self) -> RolloutRecord:
        """Bring the canary into use now, without the rest of the shares.

        Raises:
            ConfigError: there is no canary.
            BackendError: a server failed; the same call goes on.
        """
        while True:
            look = self.cluster.look()
            if self._is_written(look, hurry(_record(look).state), hurried=True):
                return self.drive()

    def drive(self) -> RolloutRecord:
        """Go on with the rollout that is written down, to its end.

        Raises:
            ConfigError: none is.
            BackendError: a server failed; the same call goes on.
        """
        while True:
            record = _record(self.cluster.look())
            if record.is_done:
                self.say(_told(record))
                return record
            if not self._is_made(record):
                continue  # somebody else wrote another state down
            if record.state.is_final:
                self._settle_alias(record)
                self._finish(record)
                continue
            found = self._found(record)
            if found is not None:
                finding, facts = found
                self._advance(record, advance(record.plan, record.state, finding), facts)

    def _is_begun(
        self,
        look: Look,
        version: ServedVersion,
        percents: tuple[int, ...],
        *,
        is_evaluated: bool,
        is_return: bool = False,
    ) -> bool:
        incumbent = replace(look.stable, number=self._number(look))
        record = RolloutRecord(
            version=version,
            incumbent=incumbent,
            percents=percents,
            is_evaluated=is_evaluated,
            is_return=is_return,
            since_s=self.clock.now_s(),
        )
        if not self.cluster.keep(record, over=look):
            return False
        self.say(f"registered: {version.label} ({version.uri}) against {incumbent.label}")
        return True

    def _number(self, look: Look) -> str | None:
        """Which version of the registry is in use: as the last rollout knew it, or else as the alias says."""
        record = look.record
        for known in (record.version, record.incumbent) if record is not None else ():
            if known.uri == look.stable.uri and known.number is not None:
                return known.number
        return self.registry.current()

    def _is_written(self, look: Look, state: RolloutState, **facts: Json) -> bool:
        """Write the next state down, unless the service is no longer as that look showed it."""
        record = _record(look)
        if state == record.state:
            return True
        after = record.at(state, self.clock.now_s(), **facts)
        if not self.cluster.keep(after, over=look):
            return False
        self.say(_told(after))
        return True

    def _advance(self, record: RolloutRecord, state: RolloutState, facts: dict[str, Json]) -> None:
        """Write down what follows from a finding, unless somebody wrote something else meanwhile."""
        while (look := self.cluster.look()).record == record and not self._is_written(look, state, **facts):
            pass

    def _finish(self, record: RolloutRecord) -> None:
        while (look := self.cluster.look()).record == record:
            if self.cluster.keep(replace(record, is_done=True), over=look):
                return

    def _is_made(self, record: RolloutRecord) -> bool:
        """Make the world as the state wants it; False when another state came to stand there meanwhile.

        Raises:
            ClusterError: it cannot be made in time.
        """
        world = wanted(record.plan, record.state)
        start_s, waited = self.clock.now_s(), ""
        while True:
            look = self.cluster.look()
            if look.record != record:
                return False
            match step := next_step(world, look.seen):
                case None:
                    return True
                case Wait(what=what):
                    if what != waited:
                        self.say(f"{record.state.phase}: waiting for {what}")
                        waited = what
                    if self._is_given_up(record, look, what, self.clock.now_s() - start_s):
                        return False
                    self.clock.sleep(self.config.poll_s)
                case _:
                    name = step.version if isinstance(step, PutCanary | MakeStable) else record.version.name
                    self.cluster.change(step, record.named(name), over=look)
                    self.say(f"{record.state.phase}: {_told_step(step, record)}")
                    start_s = self.clock.now_s()

    def _is_given_up(self, record: RolloutRecord, look: Look, what: str, waited_s: float) -> bool:
        """Whether it goes back instead: pods do not come up in time, or the canary's requests fare badly meanwhile.

        Raises:
            ClusterError: it cannot go back from here.
        """
        percent, reason = look.seen.traffic.get(record.version.name, 0), ""
        if record.state.phase is Phase.CANARY and percent:
            health, text = self._health(record, self.clock.now_s() - look.shared_since_s)
            reason = f"at {percent} %: {text}" if health is Health.BAD else ""
        limit_s = self.config.ready_timeout_s
        if waited_s > limit_s:
            reason = f"waited {limit_s:g} s for {what}{'; ' if look.trouble else ''}{look.trouble}"
            if record.state.phase is Phase.ROLLED_BACK or look.seen.stable == record.version.name:
                raise ClusterError(f"{record.state.phase}, but {reason}; the same command goes on", retryable=True)
        return bool(reason) and self._is_written(look, retreat(record.state, reason))

    def _settle_alias(self, record: RolloutRecord) -> None:
        number = record.version.number
        if record.state.phase is Phase.PROMOTED and number is not None and self.registry.current() != number:
            self.registry.move(number)
            self.say(f"promoted: the alias stands at version {number}")

    def _found(self, record: RolloutRecord) -> tuple[Finding | None, dict[str, Json]] | None:
        """What the state awaits; None when another state came to stand there meanwhile."""
        need = awaited(record.state)
        match need:
            case None:
                return None, {}
            case Need.READINESS:
                return self._started(record)
            case Need.EVALUATION:
                return self._judged(record)
            case Need.HEALTH:
                return self._watched(record)
            case _:
                assert_never(need)

    def _started(self, record: RolloutRecord) -> tuple[Finding, dict[str, Json]] | None:
        name, limit_s = record.version.name, self.config.ready_timeout_s
        while True:
            look = self.cluster.look()
            if look.record != record:
                return None
            if look.seen.num_ready.get(name, 0):
                seconds = self.clock.now_s() - record.since_s
                return Started(is_ready=True), {"ready_s": round(seconds, 1)}
            if self.clock.now_s() - record.since_s > limit_s:
                trouble = look.trouble or "its pods do not say why"
                return Started(is_ready=False, reason=f"no pod was ready within {limit_s:g} s: {trouble}"), {}
            self.clock.sleep(self.config.poll_s)

    def _judged(self, record: RolloutRecord) -> tuple[Finding, dict[str, Json]]:
        self.say(f"evaluated: asking {record.version.label} and {record.incumbent.label} the same questions")
        try:
            found = self.evaluator.evaluate(record.version, record.incumbent)
        except BackendError as error:
            if self.cluster.look().seen.num_ready.get(record.version.name, 0):
                raise
            return Judged(passed=False, reason=f"it stopped running while it was evaluated: {error}"), {}
        return found.judged, {"evaluation": dict(found.facts)}

    def _watched(self, record: RolloutRecord) -> tuple[Finding, dict[str, Json]] | None:
        percent, told = record.state.percent, ""
        while True:
            look = self.cluster.look()
            if look.record != record:
                return None
            now_s, since_s = self.clock.now_s(), max(record.since_s, look.shared_since_s)
            if not look.seen.num_ready.get(record.version.name, 0):
                reason = f"none of its pods is ready at {percent} %: {look.trouble or 'they do not say why'}"
                return Watched(percent=percent, is_healthy=False, reason=reason), {}
            health, text = self._health(record, now_s - since_s)
            is_held = now_s - since_s >= self.config.hold_s
            if health is Health.GOOD and is_held:
                return Watched(percent=percent, is_healthy=True), {f"canary_{percent}": text}
            is_late = now_s - since_s >= self.config.max_hold_s
            if health is Health.BAD or (health is Health.UNKNOWN and is_late):
                reason = f"at {percent} %: {text}"
                return Watched(percent=percent, is_healthy=False, reason=reason), {f"canary_{percent}": text}
            if text != told:
                self.say(f"canary: {percent} % since {now_s - since_s:.0f} s: {text}")
                told = text
            self.clock.sleep(self.config.poll_s)

    def _health(self, record: RolloutRecord, held_s: float) -> tuple[Health, str]:
        if self.slo is None:
            return Health.GOOD, "SLOs are not checked"
        window_s = max(held_s, _MIN_WINDOW_S)
        verdict = judge_traffic(
            self.slo.traffic(record.version, window_s),
            self.slo.traffic(record.incumbent, window_s),
            self.config.slo.rule(),
        )
        return verdict.health, verdict.text


def _record(look: Look) -> RolloutRecord:
    if look.record is None:
        raise ConfigError("no rollout is under way; begin one with `visionthink rollout start`")
    return look.record


def _under_way(record: RolloutRecord) -> ConfigError:
    return ConfigError(
        f"the rollout of {record.version.label} is {record.state.phase}; go on with it, or end it with `visionthink "
        "rollout abort`"
    )


def _named(version: ServedVersion) -> ServedVersion:
    """The version under a name that a canary can have, which one that KServe named itself lacks."""
    return version if version.name else replace(version, name=f"v{version.number}" if version.number else "before")


def _told_step(step: object, record: RolloutRecord) -> str:
    if isinstance(step, SetShares):
        shares = ", ".join(f"{name or record.incumbent.label} {percent} %" for name, percent in step.shares.items())
        return f"requests go to {shares}"
    return {
        "PutCanary": f"{record.version.label} runs beside {record.incumbent.label}",
        "DropCanary": "only the version in use runs",
        "MakeStable": f"{record.version.label} is called the one in use",
    }[type(step).__name__]


def _told(record: RolloutRecord) -> str:
    state = record.state
    match state.phase:
        case Phase.CANARY:
            return f"canary: {record.version.label} is to get {state.percent} %"
        case Phase.ROLLED_BACK:
            return f"rolled back: {record.version.label}: {state.reason}"
        case _:
            return f"{state.phase}: {record.version.label}"
