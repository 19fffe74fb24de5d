"""The steps that change what is in use: `rollout` and `rollback`.

Rule: the driver decides and remembers; a retried step finds the rollout where it is and goes on. A version that was
rolled back is a failed step: nobody is to take it for the one in use.
"""

import html
import json
import os
from pathlib import Path

from visionthink.config import RunConfig, parse_config
from visionthink.core.rollout import Phase
from visionthink.errors import ClusterError
from visionthink.pipelines.artifact import Artifact
from visionthink.pipelines.cluster.place import say, told
from visionthink.pipelines.parameter import whole_config
from visionthink.rollout import Rollout, RolloutRecord
from visionthink.rollout.opening import find_version, open_cluster, open_registry, open_rollout
from visionthink.runs import RunFolder


def rollout_step(config: str, version: str, report: Artifact) -> None:
    """Bring version number `version` into use.

    Raises:
        SystemExit: it was rolled back, or a server failed.
    """
    with told("rollout") as folder:
        settings = parse_config(whole_config(config, folder.path))
        served = find_version(settings, version, None, env=os.environ, runs_dir=folder.runs_dir)
        _end(_driver(settings, folder, served.number).start(served), report)


def rollback_step(config: str, report: Artifact) -> None:
    """Bring the version from before the last promotion back.

    Raises:
        SystemExit: there is none, or a server failed.
    """
    with told("rollback") as folder:
        settings = parse_config(whole_config(config, folder.path))
        record = open_cluster(settings).look().record
        _end(_driver(settings, folder, record.version.number if record else None).go_back(), report)


def _driver(config: RunConfig, folder: RunFolder, number: str | None) -> Rollout:
    registry = open_registry(config, number, env=os.environ, runs_dir=folder.runs_dir)
    place = folder.path / "rollout"
    return open_rollout(config, open_cluster(config), registry, folder=place, env=os.environ, say=say)


def _end(record: RolloutRecord, report: Artifact) -> None:
    """Show how it ended, and fail where that is not in use."""
    _write(report, f"{record.version.label}: {record.state.phase.value.replace('_', ' ')}", record)
    if record.state.phase is not Phase.PROMOTED:
        raise ClusterError(
            f"{record.version.label} was rolled back: {record.state.reason}; {record.incumbent.label} is in use",
            retryable=False,
        )


def _write(report: Artifact, title: str, record: RolloutRecord) -> None:
    text = json.dumps(record.to_dict(), indent=2)
    path = Path(report.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<h1>{html.escape(title)}</h1>\n<pre>{html.escape(text)}</pre>\n", encoding="utf-8")
