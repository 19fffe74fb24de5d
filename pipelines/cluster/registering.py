"""The step `register`: the gate decides, the model is published and registered.

Rule: whether a version is rolled out follows from the gate's decision and from the fields, and is told as a parameter,
so that Kubeflow's page shows a rollout that was left out as one.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from visionthink.pipelines.artifact import Artifact
from visionthink.pipelines.cluster.cache_key import version_of
from visionthink.pipelines.cluster.fields import is_off
from visionthink.pipelines.cluster.place import check_key, say, told
from visionthink.pipelines.display import MetricsArtifact
from visionthink.pipelines.step import run_step
from visionthink.runs import StageResult

RELEASE: Final = "yes"


class Registered(NamedTuple):
    """What the step hands on."""

    version: str
    release: str


def register_step(
    config: str,
    key: str,
    canary_steps: str,
    inputs: Sequence[Artifact],
    registered: Artifact,
    metrics: MetricsArtifact,
) -> Registered:
    """Run the stage; return the version, and `yes` where it is to be rolled out.

    Raises:
        SystemExit: the stage failed.
    """
    with told("register") as folder:
        check_key(key)
        run_step(
            "register", config, str(folder.path), version_of(key), inputs=inputs, output=registered, metrics=metrics
        )
        found = release_of(folder.finished("register"), canary_steps)
        say(f"version {found.version or '(none)'}: {'to be rolled out' if found.release else 'not rolled out'}")
        return found
    raise AssertionError("a failure has ended the process")


def release_of(result: StageResult, canary_steps: str) -> Registered:
    """What follows from a registration."""
    version, decision = result.facts.get("version"), result.facts.get("decision")
    passed = isinstance(decision, dict) and decision.get("promote") is True
    is_wanted = version is not None and passed and not is_off(canary_steps)
    return Registered(version=str(version or ""), release=RELEASE if is_wanted else "")
