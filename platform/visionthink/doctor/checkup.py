"""The whole examination: looks, asks, judges."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from visionthink.config import RunConfig
from visionthink.core.json_value import Json
from visionthink.doctor.judge import judge
from visionthink.doctor.look import look_at
from visionthink.doctor.need import need_of
from visionthink.doctor.probe import probe_all
from visionthink.doctor.verdict import Verdict, is_healthy


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """All verdicts."""

    verdicts: tuple[Verdict, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong."""
        return is_healthy(self.verdicts)

    def to_dict(self) -> dict[str, Json]:
        """The checkup as JSON."""
        return {"healthy": self.is_healthy, "checks": [verdict.to_dict() for verdict in self.verdicts]}


def check_up(
    config: RunConfig,
    *,
    account: str,
    env: Mapping[str, str],
    kubeconfig: Path | None = None,
    kubeflow: str | None = None,
) -> Checkup:
    """Examine the cluster for a platform with these settings, whose steps act as `account`."""
    need = need_of(config, account)
    return Checkup(verdicts=judge(need, look_at(config, need, kubeconfig), probe_all(config, env, kubeflow)))
