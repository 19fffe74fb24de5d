"""The steps of the pipeline, as functions that Kubeflow turns into components.

Rule: a body is one call. Kubeflow copies the source of a function into the step's container, away from this file, so
whatever stands here can be neither shared nor tested; all else is in `visionthink.pipelines.step`. Each function names
what a step takes and gives: artifacts arrive from earlier steps and are what the next pod has if it shares no disk.
"""

from kfp import dsl


def label(
    config_json: str, run_dir: str, version: str, labels: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]
) -> None:
    """Find out, with rollouts of the base model, which questions need the full resolution."""
    from visionthink.pipelines.step import run_step

    run_step("label", config_json, run_dir, version, output=labels, metrics=metrics)


def train(
    config_json: str,
    run_dir: str,
    version: str,
    labels: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Teach the base model by multi-turn GRPO to ask for pixels only when they are needed."""
    from visionthink.pipelines.step import run_step

    run_step("train", config_json, run_dir, version, inputs=[labels], output=model, metrics=metrics)


def evaluate(
    config_json: str,
    run_dir: str,
    version: str,
    labels: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    results: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    asked: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Compare the trained model with the base model and with always taking one view, on held-out questions."""
    from visionthink.pipelines.step import run_step

    run_step(
        "evaluate",
        config_json,
        run_dir,
        version,
        inputs=[labels, model],
        output=results,
        metrics=metrics,
        confusion=asked,
        html=report,
    )


def register(
    config_json: str,
    run_dir: str,
    version: str,
    model: dsl.Input[dsl.Model],
    results: dsl.Input[dsl.Artifact],
    registered: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Register the model, and move the alias to it when the evaluation passes the gate."""
    from visionthink.pipelines.step import run_step

    run_step("register", config_json, run_dir, version, inputs=[model, results], output=registered, metrics=metrics)


def serve(
    config_json: str,
    run_dir: str,
    version: str,
    model: dsl.Input[dsl.Model],
    results: dsl.Input[dsl.Artifact],
    registered: dsl.Input[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Serve the model, ask it one question through the OpenAI client, and stop it again."""
    from visionthink.pipelines.step import run_step

    run_step("serve", config_json, run_dir, version, inputs=[model, results, registered], metrics=metrics)
