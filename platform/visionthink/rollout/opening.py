"""A rollout with its real parts, as the settings say."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from visionthink.config import RunConfig
from visionthink.rollout.driver import Rollout
from visionthink.rollout.evaluator import EndpointEvaluator
from visionthink.rollout.kserve import KServeCluster
from visionthink.rollout.port import VersionRegistry
from visionthink.rollout.prometheus import PrometheusSlo
from visionthink.stage import judge_of


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
