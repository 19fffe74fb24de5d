"""A rollout with its real parts, as the settings say."""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from visionthink.cluster.client import Cluster
from visionthink.config import RunConfig
from visionthink.errors import ConfigError
from visionthink.rollout.driver import Rollout
from visionthink.rollout.evaluator import EndpointEvaluator
from visionthink.rollout.kserve import KServeCluster
from visionthink.rollout.port import VersionRegistry
from visionthink.rollout.prometheus import PrometheusSlo
from visionthink.rollout.record import ServedVersion
from visionthink.rollout.registry import MlflowVersions, NoRegistry
from visionthink.stage import judge_of
from visionthink.tracking import MlflowConnection, MlflowRegistry, MlflowSettings


class SystemClock:
    """The machine's time."""

    def now_s(self) -> float:
        """Unix time."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Return after so long."""
        time.sleep(seconds)


def open_rollout(
    config: RunConfig,
    cluster: KServeCluster,
    registry: VersionRegistry,
    *,
    folder: Path,
    env: Mapping[str, str],
    say: Callable[[str], None],
) -> Rollout:
    """The driver; the answers of evaluations are kept in `folder`, keys come from `env`."""
    return Rollout(
        cluster=cluster,
        registry=registry,
        evaluator=EndpointEvaluator(
            config=config,
            addresses=cluster.addresses,
            folder=folder,
            open_judge=lambda: judge_of(config, env),
            api_key=env.get("OPENAI_API_KEY"),
            clock=time.perf_counter,
            say=say,
        ),
        slo=PrometheusSlo(config.rollout.slo, config.cluster) if config.rollout.slo.checked else None,
        clock=SystemClock(),
        config=config.rollout,
        say=say,
    )


def open_cluster(config: RunConfig, kubeconfig: Path | None = None) -> KServeCluster:
    """The InferenceService of the settings, on the cluster that `kubeconfig` names; None: the pod's own, or yours."""
    return KServeCluster(
        api=Cluster.connect(kubeconfig), config=config.cluster, settle_s=config.rollout.settle_s, now_s=time.time
    )


def open_versions(config: RunConfig, *, env: Mapping[str, str], runs_dir: Path) -> MlflowVersions:
    """The versions of the settings' model in MLflow, as the settings and the environment say."""
    tracking = config.tracking
    settings = MlflowSettings.from_env(
        env, runs_dir=runs_dir, experiment=tracking.experiment, uri=tracking.uri, timeout_s=tracking.timeout_s
    )
    return MlflowVersions(
        registry=MlflowRegistry(MlflowConnection(settings)),
        name=config.register_model.name,
        alias=config.register_model.alias,
    )


def open_registry(config: RunConfig, number: str | None, *, env: Mapping[str, str], runs_dir: Path) -> VersionRegistry:
    """The registry that holds version `number`; one that holds nothing where there is no number."""
    return NoRegistry() if number is None else open_versions(config, env=env, runs_dir=runs_dir)


def find_version(
    config: RunConfig, version: str, uri: str | None, *, env: Mapping[str, str], runs_dir: Path
) -> ServedVersion:
    """The version that somebody means: a number of the registry, or with `uri` any name of his own.

    Raises:
        UserError: there is no such version, or no pod could fetch it.
        TrackingError: the registry cannot be asked.
    """
    runtime = config.cluster.serving.runtime
    if uri is None:
        return open_versions(config, env=env, runs_dir=runs_dir).served(version, runtime)
    name = version if re.match("[a-z]", version) else f"v{version}"
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", name) or "://" not in uri:
        raise ConfigError(
            f"{version!r} at {uri!r} is no version; write a short name of small letters, digits and -, and an address "
            "with ://"
        )
    return ServedVersion(name=name, uri=uri, runtime=runtime)
