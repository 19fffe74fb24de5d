"""The pipeline on one machine: label, train, evaluate, register, and a check that the result can be served.

Rule: it is what `visionthink run` executes through kfp.local, where a step is a process and a failed one is started
again by the user. On a cluster the same stages are steps of `visionthink.pipelines.cluster`.
"""

from collections.abc import Callable
from typing import Any, Final

from kfp import dsl

import visionthink
from visionthink.pipelines import component

PIPELINE_NAME: Final = "visionthink"
_IMAGE: Final = "python:3.11-slim"
"""Never fetched: kfp.local only wants a name with `python` in it."""


def build() -> Any:
    """Return the pipeline as a Kubeflow object: call it to run it."""

    def step(function: Callable[..., None], **arguments: Any) -> Any:
        made = dsl.component(base_image=_IMAGE, packages_to_install=[], install_kfp_package=False)(function)
        return made(version=visionthink.__version__, **arguments).set_caching_options(False)

    def visionthink_pipeline(config_json: str, run_dir: str) -> None:
        common = {"config_json": config_json, "run_dir": run_dir}
        labels = step(component.label, **common).outputs["labels"]
        model = step(component.train, **common, labels=labels).outputs["model"]
        results = step(component.evaluate, **common, labels=labels, model=model).outputs["results"]
        registered = step(component.register, **common, model=model, results=results).outputs["registered"]
        step(component.serve, **common, model=model, results=results, registered=registered)

    return dsl.pipeline(name=PIPELINE_NAME)(visionthink_pipeline)
