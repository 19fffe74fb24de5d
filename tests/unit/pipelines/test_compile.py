from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import visionthink
from visionthink.pipelines.compile import compile_pipeline, default_image
from visionthink.pipelines.visionthink_pipeline import LOCAL_OPTIONS, PipelineOptions
from visionthink.runs import STAGES

if TYPE_CHECKING:
    from tests.conftest import Golden

OPTIONS = PipelineOptions(
    image="registry.example/visionthink/control:1",
    runs_claim="visionthink-runs",
    env={"MLFLOW_TRACKING_URI": "http://mlflow:5000"},
)


def compiled(options: PipelineOptions, tmp_path: Path) -> dict[str, Any]:
    compile_pipeline(options, tmp_path / "pipeline.yaml")
    documents = list(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))
    return {"spec": documents[0], "platform": documents[1] if len(documents) > 1 else {}}


def test_compiled_pipeline_reads_as_reviewed(tmp_path: Path, golden: "Golden") -> None:
    compile_pipeline(OPTIONS, tmp_path / "pipeline.yaml")
    golden("pipelines/visionthink.yaml", (tmp_path / "pipeline.yaml").read_text())


def test_compiled_pipeline_has_the_stages_in_their_order(tmp_path: Path) -> None:
    tasks = compiled(OPTIONS, tmp_path)["spec"]["root"]["dag"]["tasks"]
    assert set(tasks) == set(STAGES)
    for number, stage in enumerate(STAGES):
        assert set(tasks[stage].get("dependentTasks", [])) <= set(STAGES[:number])
        if number:
            assert STAGES[number - 1] in tasks[stage]["dependentTasks"]


def test_compiled_pipeline_takes_image_variables_and_disk_from_the_options(tmp_path: Path) -> None:
    made = compiled(OPTIONS, tmp_path)
    executors = made["spec"]["deploymentSpec"]["executors"]
    assert len(executors) == len(STAGES)
    for executor in executors.values():
        assert executor["container"]["image"] == OPTIONS.image
        assert executor["container"]["env"] == [{"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"}]
        assert "pip install" not in str(executor)
    for executor in made["platform"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        assert executor["pvcMount"][0]["mountPath"] == "/runs"
        assert int(executor["activeDeadlineSeconds"]) > 0


def test_compiled_pipeline_caches_by_version_what_has_no_side_effect(tmp_path: Path) -> None:
    tasks = compiled(OPTIONS, tmp_path)["spec"]["root"]["dag"]["tasks"]
    cached = {stage for stage in STAGES if tasks[stage]["cachingOptions"].get("enableCache")}
    assert cached == {"label", "train", "evaluate"}
    for task in tasks.values():
        assert task["inputs"]["parameters"]["version"]["runtimeValue"]["constant"] == visionthink.__version__


def test_compiled_pipeline_retries_on_a_cluster_only(tmp_path: Path) -> None:
    tasks = compiled(OPTIONS, tmp_path)["spec"]["root"]["dag"]["tasks"]
    assert all(task["retryPolicy"]["maxRetryCount"] == 2 for task in tasks.values())
    local = compiled(LOCAL_OPTIONS, tmp_path)
    assert not any("retryPolicy" in task for task in local["spec"]["root"]["dag"]["tasks"].values())
    assert local["platform"] == {}


def test_default_image_is_the_one_of_this_version() -> None:
    assert default_image({}) == f"visionthink/control:{visionthink.__version__}"
    assert default_image({"VISIONTHINK_IMAGE": ""}) == default_image({})
