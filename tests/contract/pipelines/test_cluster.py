"""The steps for a cluster, each as Kubeflow runs it: the compiled command in a process of its own, S3 between them."""

import json
import shlex
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.contract.conftest import S3Server
from tests.fakes.kubeflow_pod import Done, Pods
from tests.fakes.stage_task import TINY

from visionthink.config import RunConfig, parse_config
from visionthink.model.bundled import bundled_path
from visionthink.storage import open_store, publish_tree
from visionthink.tracking import MlflowConnection, MlflowSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
FIELDS = {
    "preset": "embedded",
    "overrides": shlex.join(f"{key}={json.dumps(value)}" for key, value in TINY.items()),
    "data_source": "",
    "base_model": "",
    "model_name": "seen-here",
    "canary_steps": "",
}


def ok(done: Done) -> Done:
    assert done.code == 0, done.log[-4000:]
    return done


@pytest.fixture
def pods(tmp_path: Path, s3: S3Server) -> Pods:
    run_id = str(uuid.uuid4())
    store = f"s3://{s3.bucket}/models-{run_id}"
    settings = tmp_path / "settings" / "platform.toml"
    settings.parent.mkdir()
    settings.write_text(f'[register_model]\nstore = "{store}"\n[tracking]\nuri = "http://127.0.0.1:9"\n')
    env = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "KUBECONFIG": "/dev/null"}
    place = f"s3://{s3.bucket}/kubeflow/{run_id}"
    return Pods(home=tmp_path, store=place, run_id=run_id, env={**env, **s3.environment})


def _mlflow(path: Path) -> MlflowConnection:
    return MlflowConnection(MlflowSettings(tracking_uri=f"sqlite:///{path}/mlflow.db", experiment="kubeflow"))


def _parent(path: Path) -> tuple[str, Mapping[str, str]]:
    """A run that Kubeflow's plugin would have begun for a task, and what a pod is told of it."""
    mlflow = _mlflow(path)
    experiment = mlflow.call(
        "make", lambda client: client.create_experiment("kubeflow", artifact_location=str(path / "artifacts"))
    )
    run_id = mlflow.call("begin", lambda client: client.create_run(experiment)).info.run_id
    return run_id, {"MLFLOW_RUN_ID": run_id, "MLFLOW_EXPERIMENT_ID": experiment}


def test_run_goes_from_pod_to_pod_through_the_object_store_alone(pods: Pods, tmp_path: Path) -> None:
    parent, injected = _parent(tmp_path)
    pods.env = {**pods.env, **injected}
    made = ok(pods.run("prepare", FIELDS)).parameters
    config = parse_config(made["config"])
    assert config.register_model.name == "seen-here" and config.label.num_samples == TINY["label.num_samples"]
    assert config.tracking.uri is None, "where Kubeflow injects a server, it is the one"
    common = {"config": made["config"], "key": made["key"]}
    asked = {**common, "engine": ""}
    labelled = ok(pods.run("label", asked))
    assert labelled.metadata["labels"]["stage"] == "label" and labelled.metadata["metrics"]
    trained = ok(pods.run("train", common))
    assert "reward/mean" in str(trained.metadata["metrics"])
    evaluated = ok(pods.run("evaluate", asked))
    assert evaluated.metadata["asked"]["confusionMatrix"] and evaluated.metadata["metrics"]
    page = open_store(f"{pods.store}/report").read("report")
    assert b"<html" in page[:2000]
    registered = ok(pods.run("register", {**common, "canary_steps": ""})).parameters
    assert registered == {"version": "1", "release": ""}, "so small a training passes no gate"
    store = open_store(f"{config.register_model.store}/seen-here/{pods.run_id}")
    assert {"config.json", "manifest.json"} <= set(store.list())
    ended = ok(pods.run("finish", {"preset": "", "overrides": "", "status": _status("SUCCEEDED")}))
    assert "no cluster is named" in ended.log
    _check_tracked(parent, tmp_path)


def _check_tracked(parent: str, path: Path) -> None:
    mlflow = _mlflow(path)
    experiment = mlflow.call("read", lambda client: client.get_run(parent)).info.experiment_id
    runs = mlflow.call(
        "search", lambda client: client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    )
    assert {run.data.tags["visionthink.stage"] for run in runs} == {"label", "train", "evaluate", "register"}


def _status(state: str) -> dict[str, object]:
    return {
        "state": state,
        "pipelineJobResourceName": "run",
        "pipelineTaskName": "run",
        "error": {"code": 0, "message": ""},
    }


def test_retried_step_goes_on_in_the_volume_of_the_runs_and_gives_passwords_back(pods: Pods, tmp_path: Path) -> None:
    fields = {
        **FIELDS,
        "overrides": f"{FIELDS['overrides']} judge.uri=rule+openai:http://me:hush-hush@127.0.0.1:9/v1?model=m",
    }
    runs = tmp_path / "runs"
    made = ok(pods.run("prepare", fields, runs=runs)).parameters
    assert "hush-hush" not in made["config"]
    begun = RunConfig.model_validate_json((runs / pods.run_id / "config.json").read_text())
    assert "hush-hush" in begun.judge.uri
    asked = {**made, "engine": ""}
    first = ok(pods.run("label", asked, runs=runs))
    again = ok(pods.run("label", asked, runs=runs))
    assert again.metadata["metrics"] == first.metadata["metrics"]
    assert json.loads((runs / pods.run_id / "config.json").read_text())["judge"]["uri"] == begun.judge.uri


def test_model_of_a_store_is_judged_in_a_run_of_its_own(pods: Pods, tmp_path: Path) -> None:
    pods.pipeline = "evaluate"
    pods.read()
    publish_tree(open_store(f"{pods.store}/model"), "eyes", bundled_path())
    made = ok(pods.run("prepare", FIELDS)).parameters
    judged = ok(pods.run("judge", {**made, "engine": ""}))
    assert judged.metadata["results"]["stage"] == "evaluate" and judged.metadata["asked"]["confusionMatrix"]
    assert any("accuracy" in name for name in judged.metadata["metrics"])


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("prepare", {**FIELDS, "preset": "nonsense"}, "there is no preset 'nonsense'"),
        ("prepare", {**FIELDS, "overrides": "train.num_stepz=3"}, "unknown key train.num_stepz"),
        ("prepare", {**FIELDS, "canary_steps": "many"}, "canary_steps 'many' are no whole percents"),
        ("label", {"config": "{}", "key": "0.0.0-abc", "engine": ""}, "was prepared by visionthink 0.0.0"),
    ],
)
def test_step_says_in_one_line_what_is_wrong(pods: Pods, name: str, parameters: dict[str, str], told: str) -> None:
    done = pods.run(name, parameters)
    assert done.code == 2
    assert told in done.log.strip().splitlines()[-1]
