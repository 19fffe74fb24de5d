"""The steps that ask models: `label` and `evaluate`.

Rule: a model answers where the settings say. With the engine `vllm` that is a server which the step starts in its own
pod, with the arguments that the platform serves with, and ends with it; nothing of it is left when the step is.
"""

import contextlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

from visionthink.config import RunConfig, override_config, parse_config
from visionthink.errors import ConfigError
from visionthink.model.bundled import base_folder
from visionthink.pipelines.artifact import Artifact, restore
from visionthink.pipelines.cluster.cache_key import version_of
from visionthink.pipelines.cluster.place import check_key, say, told
from visionthink.pipelines.cluster.served_model import served_model
from visionthink.pipelines.display import ConfusionArtifact, MetricsArtifact
from visionthink.pipelines.parameter import whole_config
from visionthink.pipelines.step import run_step
from visionthink.runs import RunFolder

VLLM: Final = "vllm"
_BASE, _TRAINED = "model.engine", "evaluate.engine"


def label_step(config: str, key: str, engine: str, labels: Artifact, metrics: MetricsArtifact) -> None:
    """Label with the base model.

    Raises:
        SystemExit: the stage failed.
    """
    with told("label") as folder:
        settings = _checked(config, key, folder)
        with answering(settings, engine, {_BASE: base_folder(settings.model.base)}) as asked:
            run_step(
                "label", asked.model_dump_json(), str(folder.path), version_of(key), output=labels, metrics=metrics
            )


def evaluate_step(
    config: str,
    key: str,
    engine: str,
    inputs: Sequence[Artifact],
    results: Artifact,
    metrics: MetricsArtifact,
    confusion: ConfusionArtifact,
    html: Artifact,
) -> None:
    """Evaluate the model that the run trained.

    Raises:
        SystemExit: the stage failed.
    """
    with told("evaluate") as folder:
        settings = _checked(config, key, folder)
        for artifact in inputs:
            restore(artifact, folder.path)
        models = {_BASE: base_folder(settings.model.base), _TRAINED: folder.trained_model}
        with answering(settings, engine, models) as asked:
            run_step(
                "evaluate",
                asked.model_dump_json(),
                str(folder.path),
                version_of(key),
                output=results,
                metrics=metrics,
                confusion=confusion,
                html=html,
            )


def judge_step(
    config: str,
    key: str,
    engine: str,
    model: Artifact,
    results: Artifact,
    metrics: MetricsArtifact,
    confusion: ConfusionArtifact,
    html: Artifact,
) -> None:
    """Evaluate a model that an address names; the run is its own.

    Raises:
        SystemExit: the stage failed.
    """
    with told("evaluate") as folder:
        settings = override_config(_checked(config, key, folder), {"evaluate.model": str(_model_in(Path(model.path)))})
        folder.config_path.unlink(missing_ok=True)  # begun by `prepare`, which knew no model yet
        models = {_BASE: base_folder(settings.model.base), _TRAINED: Path(str(settings.evaluate.model))}
        with answering(settings, engine, models) as asked:
            run_step(
                "evaluate",
                asked.model_dump_json(),
                str(folder.path),
                version_of(key),
                output=results,
                metrics=metrics,
                confusion=confusion,
                html=html,
            )


def _checked(config: str, key: str, folder: RunFolder) -> RunConfig:
    check_key(key)
    return parse_config(whole_config(config, folder.path))


def _model_in(path: Path) -> Path:
    """The folder with the weights: the artifact itself, or where a run's step put it in the artifact."""
    found = sorted(path.rglob("config.json"), key=lambda place: len(place.parts))
    return found[0].parent if found else path


@contextlib.contextmanager
def answering(config: RunConfig, engine: str, models: dict[str, Path]) -> Generator[RunConfig]:
    """The settings with an address for each model, by the setting that names it.

    Raises:
        ConfigError: there is no such engine.
    """
    match engine.strip():
        case "":
            yield config
        case "vllm":
            with contextlib.ExitStack() as servers:
                serving = config.cluster.serving
                # All of them share the step's GPUs; a tenth is left to what is not counted.
                ratio = round(0.9 / len(models), 2)
                found = {
                    key: servers.enter_context(
                        served_model(folder, name=key.partition(".")[0], serving=serving, memory_ratio=ratio, say=say)
                    )
                    for key, folder in models.items()
                }
                yield override_config(config, found)
        case other if other.startswith(("openai:", "transformers")):
            yield override_config(config, dict.fromkeys(models, other))
        case other:
            raise ConfigError(
                f"there is no engine {other!r}; leave it empty for the settings', or write {VLLM}, transformers or "
                "openai:http://HOST:PORT/v1?model=NAME"
            )
