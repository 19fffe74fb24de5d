"""The whole examination: looks, asks, tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from visionthink.config import RunConfig
from visionthink.core.json_value import Json
from visionthink.doctor.diagnose import diagnose
from visionthink.doctor.diagnosis import Diagnosis, is_healthy
from visionthink.doctor.look import look_at
from visionthink.doctor.need import need_of
from visionthink.doctor.probe import probe_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """All diagnoses."""

    diagnoses: tuple[Diagnosis, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong."""
        return is_healthy(self.diagnoses)

    def to_dict(self) -> dict[str, Json]:
        """The checkup as JSON."""
        return {"healthy": self.is_healthy, "checks": [diagnosis.to_dict() for diagnosis in self.diagnoses]}


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
    return Checkup(diagnoses=diagnose(need, look_at(config, need, kubeconfig), probe_all(config, env, kubeflow)))
