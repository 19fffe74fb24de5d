import itertools
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import visionthink
from visionthink.errors import ConfigError
from visionthink.pipelines.cluster.options import NAMES, ClusterOptions, read_options
from visionthink.pipelines.compile import compile_pipeline, compiled_text, shipped_text

if TYPE_CHECKING:
    from tests.conftest import Golden

OPTIONS = ClusterOptions(
    image="registry.example/visionthink/control:1",
    model_image="registry.example/visionthink/trainer:1",
    runs_claim="ml-runs",
    settings="ml-settings",
    s3_secret="ml-s3",
    env={"AWS_ENDPOINT_URL_S3": "http://s3:8333"},
    model_gpus=1,
    train_gpus=8,
    node_selector={"gpu": "h100"},
)
ONE_FIELD = {"preset", "overrides", "data_source", "base_model", "model_name", "canary_steps"}


text = cache(lambda name: compiled_text(name, OPTIONS))


def compiled(name: str = "visionthink", options: ClusterOptions | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    made = text(name) if options is None else compiled_text(name, options)
    spec, platform = yaml.load_all(made, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def tasks(spec: dict[str, Any]) -> dict[str, Any]:
    inner = spec["components"].get("comp-exit-handler-1", spec["root"])["dag"]["tasks"]
    return {name: task for name, task in inner.items() if "condition" not in name}


@pytest.mark.parametrize("name", NAMES)
def test_shipped_pipeline_is_what_the_defaults_compile_to(name: str, golden: "Golden") -> None:
    made = compiled_text(name, ClusterOptions())
    golden(f"../../pipelines/cluster/compiled/{name}.yaml", made)
    assert shipped_text(name) == made


def test_compiled_pipeline_of_another_installation_reads_as_reviewed(tmp_path: Path, golden: "Golden") -> None:
    compile_pipeline("visionthink", OPTIONS, tmp_path / "deep" / "pipeline.yaml")
    golden("pipelines/visionthink.yaml", (tmp_path / "deep" / "pipeline.yaml").read_text())


def test_whole_pipeline_goes_from_the_fields_to_a_rollout_that_the_gate_allows() -> None:
    spec, _ = compiled()
    found = tasks(spec)
    order = ["prepare", "label", "train", "evaluate", "register"]
    assert set(found) == set(order)
    for before, after in itertools.pairwise(order):
        assert before in found[after]["dependentTasks"]
    (release,) = (
        task for name, task in spec["components"]["comp-exit-handler-1"]["dag"]["tasks"].items() if "condition" in name
    )
    assert "release'] == 'yes'" in " ".join(release["triggerPolicy"]["condition"].split())
    assert "register" in release["dependentTasks"]


@pytest.mark.parametrize("name", ["visionthink", "train"])
def test_whatever_happens_a_last_step_ends_what_runs(name: str) -> None:
    spec, _ = compiled(name)
    last = spec["root"]["dag"]["tasks"]["finish"]
    assert last["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert last["inputs"]["parameters"]["status"]["taskFinalStatus"]["producerTask"] == "exit-handler-1"


def test_page_has_the_fields_that_a_person_fills_in() -> None:
    spec, _ = compiled()
    fields = spec["root"]["inputDefinitions"]["parameters"]
    assert set(fields) == ONE_FIELD | {"engine"}
    assert all(field["parameterType"] == "STRING" and "defaultValue" in field for field in fields.values())


@pytest.mark.parametrize("name", NAMES)
def test_only_labels_are_cached_and_never_by_the_name_of_a_run(name: str) -> None:
    spec, executors = compiled(name)
    for step, task in tasks(spec).items():
        if task["componentRef"]["name"] != "comp-importer":
            assert bool(task["cachingOptions"].get("enableCache")) == (step == "label"), step
    assert "pipeline_job" not in str(spec)
    for step, executor in executors.items():
        want = [{"name": "KFP_RUN_ID", "fieldPath": "metadata.labels['pipeline/runid']"}]
        assert executor["fieldPathAsEnv"] == want, step


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_retried_and_bounded_and_finds_its_installation(name: str) -> None:
    spec, executors = compiled(name)
    for task in tasks(spec).values():
        if task["componentRef"]["name"] != "comp-importer":
            assert task["retryPolicy"]["maxRetryCount"] == 2
    assert executors
    for executor in executors.values():
        assert int(executor["activeDeadlineSeconds"]) > 0
        assert executor["configMapAsVolume"][0]["configMapName"] == "ml-settings"
        assert executor["pvcMount"][0]["mountPath"] == "/runs"
        assert {secret["secretName"] for secret in executor["secretAsEnv"]} >= {"ml-s3", "visionthink-judge"}
        assert all(secret["optional"] for secret in executor["secretAsEnv"])
        ids = {key: int(value) for key, value in executor["securityContext"].items() if key != "runAsNonRoot"}
        assert ids == {"runAsUser": 65532, "runAsGroup": 65532} and executor["securityContext"]["runAsNonRoot"]


def test_steps_that_run_models_have_their_image_and_gpus() -> None:
    spec, _ = compiled()
    found = {name: made["container"] for name, made in spec["deploymentSpec"]["executors"].items()}
    for name in ("exec-label", "exec-evaluate"):
        assert found[name]["image"] == OPTIONS.model_image
        assert found[name]["resources"]["accelerator"]["count"] == "1"
    for name in ("exec-prepare", "exec-train", "exec-register", "exec-rollout", "exec-finish"):
        assert found[name]["image"] == OPTIONS.image
    assert "pip install" not in str(found)


def test_training_hands_what_its_task_is_given_to_its_job() -> None:
    spec, executors = compiled()
    component = spec["components"]["comp-train"]
    passed_on = {one["field"]: one.get("applyToTask", False) for one in component["taskConfigPassthroughs"]}
    assert passed_on == {
        "RESOURCES": False,
        "KUBERNETES_TOLERATIONS": False,
        "KUBERNETES_NODE_SELECTOR": False,
        "KUBERNETES_AFFINITY": False,
        "ENV": True,
        "KUBERNETES_VOLUMES": True,
    }
    resources = spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert resources["accelerator"]["count"] == "8"
    assert executors["exec-train"]["nodeSelector"]["labels"] == {"gpu": "h100"}


def test_steps_without_a_claim_have_a_folder_of_their_own() -> None:
    _, executors = compiled(options=ClusterOptions(runs_claim=""))
    for executor in executors.values():
        assert "pvcMount" not in executor
        assert executor["emptyDirMounts"] == [{"volumeName": "runs", "mountPath": "/runs"}]


def test_retries_can_be_left_out() -> None:
    spec, _ = compiled(options=ClusterOptions(num_retries=0))
    assert not any("retryPolicy" in task for task in tasks(spec).values())


def test_options_of_an_installation_are_read_and_what_is_given_wins(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text('image = "a"\nruns_claim = ""\nmodel_gpus = 2\n[env]\nA = "b"\n')
    found = read_options(path, {"image": "c"})
    assert (found.image, found.runs_claim, found.model_gpus, found.env) == ("c", "", 2, {"A": "b"})
    assert read_options(None, {}) == ClusterOptions()
    assert read_options(None, {}).image == f"visionthink/control:{visionthink.__version__}"


@pytest.mark.parametrize(
    ("text", "told"),
    [("imagee = 1", "imagee"), ("model_gpus = -1", "model_gpus"), ("image = ", "cannot be read"), (None, "cannot be")],
)
def test_options_that_are_none_are_refused(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "pipeline.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_options(path, {})
