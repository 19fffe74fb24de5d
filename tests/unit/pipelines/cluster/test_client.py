"""Kubeflow's own client against a stand-in of its server (`tests/fakes/kubeflow_server.py`)."""

from collections.abc import Iterator

import pytest
from tests.fakes.kubeflow_server import KubeflowServer, kubeflow_server

from visionthink.errors import ClusterError, ConfigError
from visionthink.pipelines.cluster.client import KubeflowPipelines, check_arguments, version_name
from visionthink.pipelines.compile import shipped_text

TEXT = shipped_text("rollback")


@pytest.fixture
def server() -> Iterator[KubeflowServer]:
    with kubeflow_server() as made:
        yield made


@pytest.fixture
def kubeflow(server: KubeflowServer, tmp_path_factory: pytest.TempPathFactory) -> KubeflowPipelines:
    return KubeflowPipelines.connect(server.host)


def test_upload_makes_a_pipeline_with_a_version_that_its_digest_names(
    kubeflow: KubeflowPipelines, server: KubeflowServer
) -> None:
    made = kubeflow.upload("visionthink-rollback", TEXT)
    assert made.is_new and server.pipelines[made.pipeline_id].display_name == "visionthink-rollback"
    assert server.versions[made.version_id].display_name == version_name(TEXT)
    assert server.texts[made.version_id] == TEXT


def test_the_same_upload_twice_is_one_and_another_text_is_another_version(
    kubeflow: KubeflowPipelines, server: KubeflowServer
) -> None:
    first, again = (kubeflow.upload("p", TEXT) for _ in range(2))
    assert again == (*first[:2], False)
    other = kubeflow.upload("p", shipped_text("promote"))
    assert other.is_new and other.pipeline_id == first.pipeline_id and other.version_id != first.version_id
    assert len(server.pipelines) == 1


def test_run_is_of_the_version_with_its_fields_and_the_steps_account(
    kubeflow: KubeflowPipelines, server: KubeflowServer
) -> None:
    uploaded = kubeflow.upload("p", TEXT)
    ids = [
        kubeflow.run(uploaded, {"overrides": "seed=1"}, name="mine", experiment="all", account="steps")
        for _ in range(2)
    ]
    run = server.runs[ids[0]]
    assert (run.display_name, run.service_account) == ("mine", "steps")
    assert run.runtime_config["parameters"] == {"overrides": "seed=1"}
    assert len(server.experiments) == 1, "an experiment is adopted by its name"


def test_wait_tells_each_state_once_and_returns_at_success(kubeflow: KubeflowPipelines, server: KubeflowServer) -> None:
    server.states = ["PENDING", "RUNNING", "RUNNING", "SUCCEEDED"]
    run_id = kubeflow.run(kubeflow.upload("p", TEXT), {}, name="r", experiment="e", account="a")
    said: list[str] = []
    kubeflow.wait(run_id, timeout_s=60, say=said.append, sleep=lambda _: None)
    assert [line.rpartition(" ")[2] for line in said] == ["pending", "running", "succeeded"]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "SKIPPED"])
def test_run_that_ends_otherwise_is_an_error(kubeflow: KubeflowPipelines, server: KubeflowServer, state: str) -> None:
    server.states = [state]
    run_id = kubeflow.run(kubeflow.upload("p", TEXT), {}, name="r", experiment="e", account="a")
    with pytest.raises(ClusterError, match=f"ended as {state}"):
        kubeflow.wait(run_id, timeout_s=60, say=lambda _: None)


def test_run_that_takes_too_long_is_told_with_its_state(kubeflow: KubeflowPipelines, server: KubeflowServer) -> None:
    server.states = ["RUNNING"]
    run_id = kubeflow.run(kubeflow.upload("p", TEXT), {}, name="r", experiment="e", account="a")
    times = iter(range(0, 1000, 40))
    with pytest.raises(ClusterError, match="is RUNNING after 60 s"):
        kubeflow.wait(run_id, timeout_s=60, say=lambda _: None, clock=lambda: next(times), sleep=lambda _: None)


@pytest.mark.parametrize(("status", "retryable"), [(403, False), (400, False), (429, True), (503, True)])
def test_refusal_is_told_in_the_servers_words(
    kubeflow: KubeflowPipelines, server: KubeflowServer, status: int, retryable: bool
) -> None:
    server.refusal = status
    with pytest.raises(ClusterError, match=f"{status} .*refused on purpose") as caught:
        kubeflow.upload("p", TEXT)
    assert caught.value.retryable is retryable


def test_server_that_is_not_there_is_told() -> None:
    with pytest.raises(ClusterError, match="nothing answers there"):
        KubeflowPipelines.connect("http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="is no address"):
        KubeflowPipelines.connect("ml-pipeline:8888")


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("rollback", {"version": "3"}, "no field version; its fields are"),
        ("promote", {}, "needs version"),
        ("train", {"preset": "tiny-verl"}, "needs labels"),
    ],
)
def test_fields_that_a_pipeline_does_not_know_or_lacks_are_refused(
    name: str, arguments: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        check_arguments(shipped_text(name), arguments)


def test_fields_that_fit_are_taken() -> None:
    check_arguments(shipped_text("promote"), {"version": "3", "canary_steps": "5,50"})
    check_arguments(shipped_text("visionthink"), {})
