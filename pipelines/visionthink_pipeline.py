"""The pipeline: label, train, evaluate, register, and a check that the result can be served.

Rule: there is one pipeline, for one machine and for a cluster. What differs (image, retries, a shared disk, variables)
is an option of `build` and never a second list of steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kfp import dsl, kubernetes

import visionthink
from visionthink.pipelines import component

PIPELINE_NAME: Final = "visionthink"
MOUNT_PATH: Final = "/runs"
"""Where a shared disk is mounted; let `run_dir` lie below it, and a retried step goes on where it was."""

_HOUR_S: Final = 3600
_TIMEOUTS_S: Final[Mapping[str, int]] = {
    "label": 24 * _HOUR_S,
    "train": 14 * 24 * _HOUR_S,
    "evaluate": 24 * _HOUR_S,
    "register": 2 * _HOUR_S,
    "serve": 2 * _HOUR_S,
}
_CACHED: Final = frozenset({"label", "train", "evaluate"})
"""Steps whose result is their files alone. The others change a registry or test a server: they always run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """What depends on where the pipeline runs."""

    image: str
    """Image of every step; it holds this package and kfp."""
    num_retries: int = 2
    """Tries after the first one fails; a step goes on with what the try before it left on a shared disk."""
    has_time_limits: bool = True
    """Whether a step that takes far too long is ended; kfp.local knows no such limit."""
    runs_claim: str | None = None
    """PersistentVolumeClaim to mount at /runs; None: steps hand each other everything as artifacts."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of every step (MLFLOW_TRACKING_URI, say). No secrets: they would stand in the compiled file."""


LOCAL_OPTIONS: Final = PipelineOptions(image="python:3.11-slim", num_retries=0, has_time_limits=False)
"""On one machine no image is used, and a failed step is started again by the user, not by a timer."""


def build(options: PipelineOptions) -> Any:
    """Return the pipeline as a Kubeflow object: call it to run it locally, compile it for a cluster."""

    def step(function: Callable[..., None], **arguments: Any) -> Any:
        made = dsl.component(base_image=options.image, packages_to_install=[], install_kfp_package=False)(function)
        # The version is an argument so that it is part of the cache's key: another version is another result.
        return _configured(made(version=visionthink.__version__, **arguments), function.__name__, options)

    def visionthink_pipeline(config_json: str, run_dir: str) -> None:
        common = {"config_json": config_json, "run_dir": run_dir}
        labels = step(component.label, **common).outputs["labels"]
        model = step(component.train, **common, labels=labels).outputs["model"]
        results = step(component.evaluate, **common, labels=labels, model=model).outputs["results"]
        registered = step(component.register, **common, model=model, results=results).outputs["registered"]
        step(component.serve, **common, model=model, results=results, registered=registered)

    describe = dsl.pipeline(
        name=PIPELINE_NAME,
        description="Teach a vision-language model to look at a quarter of the pixels first, and to ask for more.",
    )
    return describe(visionthink_pipeline)


def _configured(task: Any, name: str, options: PipelineOptions) -> Any:
    task.set_caching_options(name in _CACHED)
    for variable, value in options.env.items():
        task.set_env_variable(variable, value)
    if options.num_retries:
        task.set_retry(options.num_retries, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="600s")
    if options.has_time_limits:
        kubernetes.set_timeout(task, seconds=_TIMEOUTS_S[name])
    if options.runs_claim:
        kubernetes.mount_pvc(task, pvc_name=options.runs_claim, mount_path=MOUNT_PATH)
    return task
