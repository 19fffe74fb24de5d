"""The steps on a cluster, as functions that Kubeflow turns into components.

Rule: a body is one call. Kubeflow copies the source of a function into the step's pod, away from this file, so whatever
stands here can be neither shared nor tested; all else is in the modules beside this one. Each function names what a
step takes and gives: nothing else reaches the next pod.
"""

from typing import NamedTuple

from kfp import dsl


def prepare(
    preset: str,
    overrides: str,
    data_source: str,
    base_model: str,
    model_name: str,
    canary_steps: str,
) -> NamedTuple("Prepared", [("config", str), ("key", str)]):  # type: ignore[valid-type]
    """Make the settings of the form, refuse what would end the run later, and tell code and data by a key."""
    from visionthink.pipelines.cluster.fields import Fields
    from visionthink.pipelines.cluster.preparing import prepare_step

    return prepare_step(
        Fields(
            preset=preset,
            overrides=overrides,
            data_source=data_source,
            base_model=base_model,
            model_name=model_name,
            canary_steps=canary_steps,
        )
    )


def label(
    config: str, key: str, engine: str, labels: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]
) -> None:
    """Find out, with rollouts of the base model, which questions need the full resolution."""
    from visionthink.pipelines.cluster.model_step import label_step

    label_step(config, key, engine, labels, metrics)


def train(
    config: str,
    key: str,
    labels: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    task_config: dsl.TaskConfig,
) -> None:
    """Make the training's job, or adopt it, follow it to its end, and hand its model on."""
    from visionthink.pipelines.cluster.launching import train_step

    train_step(config, key, task_config, labels, model, metrics)


def evaluate(
    config: str,
    key: str,
    engine: str,
    labels: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    results: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    asked: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Compare the trained model with the base model and with always taking one view, on held-out questions."""
    from visionthink.pipelines.cluster.model_step import evaluate_step

    evaluate_step(config, key, engine, [labels, model], results, metrics, asked, report)


def judge(
    config: str,
    key: str,
    engine: str,
    model: dsl.Input[dsl.Model],
    results: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    asked: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Compare a model that lies in a store with the base model, on held-out questions."""
    from visionthink.pipelines.cluster.model_step import judge_step

    judge_step(config, key, engine, model, results, metrics, asked, report)


def register(
    config: str,
    key: str,
    canary_steps: str,
    model: dsl.Input[dsl.Model],
    results: dsl.Input[dsl.Artifact],
    registered: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple("Registered", [("version", str), ("release", str)]):  # type: ignore[valid-type]
    """Let the gate decide, publish the model and register it; tell whether it is to be rolled out."""
    from visionthink.pipelines.cluster.registering import register_step

    return register_step(config, key, canary_steps, [model, results], registered, metrics)


def rollout(config: str, version: str, report: dsl.Output[dsl.HTML]) -> None:
    """Bring a version into use: dark, evaluated, a rising share of the requests, in use; or the old one back."""
    from visionthink.pipelines.cluster.rolling import rollout_step

    rollout_step(config, version, report)


def rollback(config: str, report: dsl.Output[dsl.HTML]) -> None:
    """Bring the version from before the last promotion into use again."""
    from visionthink.pipelines.cluster.rolling import rollback_step

    rollback_step(config, report)


def finish(
    preset: str,
    overrides: str,
    report: dsl.Output[dsl.HTML],
    status: dsl.PipelineTaskFinalStatus,
) -> None:
    """End what still runs of this run, and tell how it ended."""
    from visionthink.pipelines.cluster.ending import finish_step

    finish_step(preset, overrides, status, report)
