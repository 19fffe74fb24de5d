"""The pipelines for a cluster: the whole method, and each of its parts alone.

Rule: a parameter is a field on Kubeflow's page; what the installation is called is an option of `build`. Only labelling
is cached: keyed on settings, code and data, it is the same whoever asks. Training, registry and rollout change the
world, and an evaluation is held against the model that is in use now.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from kfp import dsl, kubernetes

from visionthink.cluster.manifest import USER_ID
from visionthink.pipelines.cluster import component
from visionthink.pipelines.cluster.options import ClusterOptions
from visionthink.pipelines.cluster.place import RUN_FIELD, RUN_VARIABLE, RUNS_DIR, SETTINGS_DIR
from visionthink.pipelines.cluster.registering import RELEASE

WHOLE: Final = "visionthink"
_HOUR_S: Final = 3600
_TIMEOUTS_S: Final[Mapping[str, int]] = {
    "label": 24 * _HOUR_S,
    "train": 14 * 24 * _HOUR_S,
    "evaluate": 24 * _HOUR_S,
    "judge": 24 * _HOUR_S,
    "rollout": 48 * _HOUR_S,
    "rollback": 6 * _HOUR_S,
}
_TIMEOUT_S: Final = 2 * _HOUR_S
_RUNS_A_MODEL: Final = frozenset({"label", "evaluate", "judge"})
_CACHED: Final = frozenset({"label"})
_FIELD: Final = dsl.TaskConfigField
_PASSED_ON: Final = [
    _FIELD.RESOURCES,
    _FIELD.KUBERNETES_TOLERATIONS,
    _FIELD.KUBERNETES_NODE_SELECTOR,
    _FIELD.KUBERNETES_AFFINITY,
    dsl.TaskConfigPassthrough(field=_FIELD.ENV, apply_to_task=True),
    dsl.TaskConfigPassthrough(field=_FIELD.KUBERNETES_VOLUMES, apply_to_task=True),
]
"""What the task `train` is given is its job's; variables and volumes are also the step's own."""

_DESCRIPTION: Final = (
    "Teach a vision-language model to look at a quarter of the pixels first, and to ask for more. Fields: preset "
    "(visionthink preset list), overrides (section.key=value, separated by blanks), data_source, base_model, "
    "model_name, canary_steps (percents by commas, or off), engine (empty: as the settings say; vllm: the step "
    "starts it; or an address openai:http://HOST:PORT/v1?model=NAME). An empty field leaves the settings as they are."
)


class _Steps:
    """Makes tasks of components, configured for an installation."""

    def __init__(self, options: ClusterOptions) -> None:
        self._options = options

    def __call__(self, function: Callable[..., Any], **arguments: Any) -> Any:
        name, options = function.__name__, self._options
        passed_on = {"task_config_passthroughs": _PASSED_ON} if name == "train" else {}
        made = dsl.component(
            base_image=options.model_image if name in _RUNS_A_MODEL else options.image,
            packages_to_install=[],
            install_kfp_package=False,
            **passed_on,
        )(function)
        task = made(**arguments)
        task.set_caching_options(name in _CACHED)
        self._give_environment(task)
        self._give_place(task)
        # The user that the nodes of a training are: what a step leaves on the volume is theirs to read and write.
        kubernetes.set_security_context(task, run_as_user=USER_ID, run_as_group=USER_ID, run_as_non_root=True)
        if options.num_retries:
            task.set_retry(options.num_retries, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="600s")
        kubernetes.set_timeout(task, seconds=_TIMEOUTS_S.get(name, _TIMEOUT_S))
        if name == "train":
            self._give_gpus(task, options.train_gpus or 0)
        elif name in _RUNS_A_MODEL:
            self._give_gpus(task, options.model_gpus)
        return task

    def _give_environment(self, task: Any) -> None:
        options = self._options
        kubernetes.use_field_path_as_env(task, env_name=RUN_VARIABLE, field_path=RUN_FIELD)
        for variable, value in options.env.items():
            task.set_env_variable(variable, value)
        for secret, names in options.secrets().items():
            kubernetes.use_secret_as_env(task, secret, {name: name for name in names}, optional=True)

    def _give_place(self, task: Any) -> None:
        options = self._options
        kubernetes.use_config_map_as_volume(task, options.settings, mount_path=SETTINGS_DIR, optional=True)
        if not options.runs_claim:
            kubernetes.empty_dir_mount(task, volume_name="runs", mount_path=RUNS_DIR)
        else:
            kubernetes.mount_pvc(task, pvc_name=options.runs_claim, mount_path=RUNS_DIR)

    def _give_gpus(self, task: Any, count: int) -> None:
        if not count:
            return
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(count)
        for key in self._options.tolerations:
            kubernetes.add_toleration(task, key=key, operator="Exists", effect="NoSchedule")
        for label, value in self._options.node_selector.items():
            kubernetes.add_node_selector(task, label, value)


def build(name: str, options: ClusterOptions) -> Any:
    """The pipeline of that name as a Kubeflow object, to be compiled.

    Raises:
        KeyError: there is none; `options.NAMES` has all.
    """
    return _PIPELINES[name](_Steps(options))


def _whole(step: _Steps) -> Any:
    def visionthink(
        preset: str = "embedded",
        overrides: str = "",
        data_source: str = "",
        base_model: str = "",
        model_name: str = "",
        canary_steps: str = "",
        engine: str = "",
    ) -> None:
        with dsl.ExitHandler(_finish(step, preset, overrides), name="run"):
            made = step(
                component.prepare,
                preset=preset,
                overrides=overrides,
                data_source=data_source,
                base_model=base_model,
                model_name=model_name,
                canary_steps=canary_steps,
            ).outputs
            common = {"config": made["config"], "key": made["key"]}
            labels = step(component.label, **common, engine=engine).outputs["labels"]
            model = step(component.train, **common, labels=labels).outputs["model"]
            results = step(component.evaluate, **common, engine=engine, labels=labels, model=model).outputs["results"]
            registered = step(
                component.register, **common, canary_steps=canary_steps, model=model, results=results
            ).outputs
            with dsl.If(registered["release"] == RELEASE, name="release"):
                step(component.rollout, config=made["config"], version=registered["version"])

    return dsl.pipeline(name=WHOLE, description=_DESCRIPTION)(visionthink)


def _label(step: _Steps) -> Any:
    def label(
        preset: str = "embedded", overrides: str = "", data_source: str = "", base_model: str = "", engine: str = ""
    ) -> None:
        made = _prepared(step, preset=preset, overrides=overrides, data_source=data_source, base_model=base_model)
        step(component.label, config=made["config"], key=made["key"], engine=engine)

    return dsl.pipeline(name="visionthink-label", description="Which questions need the full resolution.")(label)


def _train(step: _Steps) -> Any:
    def train(labels: str, preset: str = "embedded", overrides: str = "", base_model: str = "") -> None:
        with dsl.ExitHandler(_finish(step, preset, overrides), name="run"):
            made = _prepared(step, preset=preset, overrides=overrides, base_model=base_model)
            found = dsl.importer(artifact_uri=labels, artifact_class=dsl.Dataset, reimport=False).output
            step(component.train, config=made["config"], key=made["key"], labels=found)

    return dsl.pipeline(
        name="visionthink-train",
        description="Train on labels that an earlier run made: labels is their artifact's URI.",
    )(train)


def _evaluate(step: _Steps) -> Any:
    def evaluate(
        model: str,
        preset: str = "embedded",
        overrides: str = "",
        data_source: str = "",
        base_model: str = "",
        engine: str = "",
    ) -> None:
        made = _prepared(step, preset=preset, overrides=overrides, data_source=data_source, base_model=base_model)
        found = dsl.importer(artifact_uri=model, artifact_class=dsl.Model, reimport=False).output
        step(component.judge, config=made["config"], key=made["key"], engine=engine, model=found)

    return dsl.pipeline(
        name="visionthink-evaluate",
        description="Judge a model on held-out questions: model is the URI of its folder, or of an earlier artifact.",
    )(evaluate)


def _promote(step: _Steps) -> Any:
    def promote(version: str, overrides: str = "", model_name: str = "", canary_steps: str = "") -> None:
        made = _prepared(step, overrides=overrides, model_name=model_name, canary_steps=canary_steps)
        step(component.rollout, config=made["config"], version=version)

    return dsl.pipeline(
        name="visionthink-promote", description="Bring a version of the registry into use: version is its number."
    )(promote)


def _rollback(step: _Steps) -> Any:
    def rollback(overrides: str = "", model_name: str = "") -> None:
        made = _prepared(step, overrides=overrides, model_name=model_name)
        step(component.rollback, config=made["config"])

    return dsl.pipeline(
        name="visionthink-rollback", description="Bring the version from before the last promotion into use again."
    )(rollback)


def _prepared(step: _Steps, **fields: Any) -> Any:
    """What `prepare` makes of some fields; the others are empty."""
    empty = dict.fromkeys(("preset", "overrides", "data_source", "base_model", "model_name", "canary_steps"), "")
    return step(component.prepare, **{**empty, **fields}).outputs


def _finish(step: _Steps, preset: Any, overrides: Any) -> Any:
    return step(component.finish, preset=preset, overrides=overrides)


_PIPELINES: Final[Mapping[str, Callable[[_Steps], Any]]] = {
    WHOLE: _whole,
    "label": _label,
    "train": _train,
    "evaluate": _evaluate,
    "promote": _promote,
    "rollback": _rollback,
}
