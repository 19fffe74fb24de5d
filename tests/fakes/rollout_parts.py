"""The other ports of a rollout in memory, and a place in which one is carried out, killed and gone on with."""

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.memory_kube import Clock, MemoryKube

from visionthink.cluster import ModelVersion, inference_service, weighted_route
from visionthink.cluster.serving import shares
from visionthink.config import RunConfig, override_config
from visionthink.core.rollout import Judged
from visionthink.core.slo import Traffic
from visionthink.errors import ClusterError, TrackingError
from visionthink.rollout import Rollout, RolloutRecord, ServedVersion
from visionthink.rollout.kserve import KServeCluster
from visionthink.rollout.port import Evaluated

SERVICE = "ar"
V1 = ServedVersion(name="", uri="s3://models/ar/1", runtime="visionthink-adaptive", number="1")
V2 = ServedVersion(name="v2", uri="s3://models/ar/2", runtime="visionthink-adaptive", number="2")
GOOD = Traffic(num_requests=500, error_ratio=0.0, latency_p95_s=0.2, resize_rate=0.3)


class KilledError(BaseException):
    """The process is gone; nobody catches it."""


@dataclass
class Fate:
    """Counts calls, and lets some of them fail: before or behind their effect, by an error or by the process's end."""

    blows: dict[int, str] = field(default_factory=dict)
    """By the call's number: `killed before`, `killed behind`, `failed before`, `failed behind`."""
    num_calls: int = 0

    def around(self, call: Any, error: type[ClusterError] | type[TrackingError]) -> Any:
        def done(*args: Any, **named: Any) -> Any:
            blow = self.blows.get(self.num_calls, "")
            self.num_calls += 1
            self._strike(blow, "before", error)
            result = call(*args, **named)
            self._strike(blow, "behind", error)
            return result

        return done

    def _strike(self, blow: str, when: str, error: type[ClusterError] | type[TrackingError]) -> None:
        if blow == f"killed {when}":
            raise KilledError
        if blow == f"failed {when}":
            raise error("the server does not answer", retryable=True)


class Mortal:
    """An object whose calls are in fate's hands."""

    def __init__(self, inner: Any, fate: Fate, error: type[ClusterError] | type[TrackingError]) -> None:
        self._inner, self._fate, self._error = inner, fate, error

    def __getattr__(self, name: str) -> Any:
        return self._fate.around(getattr(self._inner, name), self._error)


@dataclass
class Alias:
    """The registry; notes when its alias comes to stand at a version that does not serve everything."""

    kube: MemoryKube
    number: str | None = "1"
    num_moves: int = 0
    wrong: list[str] = field(default_factory=list)

    def current(self) -> str | None:
        return self.number

    def move(self, number: str) -> None:
        service = ModelVersion(uri="", name=None if number == "1" else f"v{number}").service(SERVICE)
        traffic = {name for name, weight in self.kube.weights().items() if weight}
        if traffic != {service}:
            self.wrong.append(f"{number} while requests go to {traffic}")
        self.number, self.num_moves = number, self.num_moves + 1


@dataclass
class Verdicts:
    """An evaluation that is over at once."""

    passed: bool = True
    num_calls: int = 0

    def evaluate(self, version: ServedVersion, incumbent: ServedVersion) -> Evaluated:
        self.num_calls += 1
        reason = "" if self.passed else "FAIL min_accuracy_gain"
        return Evaluated(judged=Judged(passed=self.passed, reason=reason), facts={"promote": self.passed})


@dataclass
class Scrape:
    """What Prometheus says, by version."""

    by_name: dict[str, Traffic] = field(default_factory=dict)
    is_away: bool = False

    def check(self) -> None:
        if self.is_away:
            raise ClusterError("Prometheus does not answer", retryable=True)

    def traffic(self, version: ServedVersion, window_s: float) -> Traffic:
        self.check()
        return self.by_name.get(version.name, GOOD)


class World:
    """A cluster with a first version in service, and everything that a rollout needs."""

    def __init__(self, *, num_replicas: int = 1, **rollout: Any) -> None:
        self.clock = Clock()
        self.kube = MemoryKube(clock=self.clock)
        self.config: RunConfig = override_config(
            RunConfig(),
            {
                "cluster.namespace": "ml",
                "cluster.serving": {
                    "name": SERVICE,
                    "min_replicas": num_replicas,
                    "max_replicas": max(num_replicas, 4),
                    "autoscaler": "none",
                },
                "rollout": {"percents": [30], "hold_s": 60, "max_hold_s": 300, "ready_timeout_s": 120, **rollout},
            },
        )
        self.alias, self.verdicts, self.scrape = Alias(self.kube), Verdicts(), Scrape()
        self.lines: list[str] = []
        stable = ModelVersion(uri=V1.uri)
        self.kube.apply(inference_service(self.config.cluster, self.config.serve, stable))
        self.clock.sleep(self.kube.start_s + 1)
        self.kube.apply(weighted_route(self.config.cluster, shares(SERVICE, stable, None)))
        self.clock.sleep(self.kube.lag_s + 1)
        assert self.kube.lost == []

    def rollout(self, fate: Fate | None = None) -> Rollout:
        """A new process's driver."""
        mortal = fate or Fate()
        api: Any = Mortal(self.kube, mortal, ClusterError)
        return Rollout(
            cluster=KServeCluster(
                api=api, config=self.config.cluster, settle_s=self.config.rollout.settle_s, now_s=self.clock.now_s
            ),
            registry=Mortal(self.alias, mortal, TrackingError),
            evaluator=Mortal(self.verdicts, mortal, ClusterError),
            slo=Mortal(self.scrape, mortal, ClusterError),
            clock=self.clock,
            config=self.config.rollout,
            say=self.lines.append,
        )

    def ended(self, fate: Fate, version: ServedVersion = V2) -> RolloutRecord:
        """The end of a rollout that is begun again whenever its process dies or a server fails."""
        for _ in range(len(fate.blows) + 1):
            try:
                return self.rollout(fate).start(version)
            except (KilledError, ClusterError, TrackingError):
                continue
        raise AssertionError("it fails more often than it is struck")

    def kube_record(self) -> RolloutRecord | None:
        """What is written down."""
        return self.rollout().cluster.look().record

    def facts(self) -> dict[str, Any]:
        """The end state, and how often it was changed on the way there."""
        service, route = (
            self.kube.objects["InferenceService", SERVICE],
            self.kube.objects["HTTPRoute", f"{SERVICE}-versions"],
        )
        return {
            "service": service["spec"],
            "route": route["spec"],
            "changes": (service["metadata"]["generation"], route["metadata"]["generation"]),
            "pods": sorted(self.kube.pods),
            "alias": self.alias.number,
            "moves": self.alias.num_moves,
        }
