"""The PyTorchJob that settings come to. That a real operator takes it, tests/cluster proves."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from visionthink.cli.app import run_command
from visionthink.cluster.training import TrainingJob, job_name, pytorch_job
from visionthink.config import RunConfig, load_config, override_config

JOB = TrainingJob(run_id="run-7", program=("python", "-m", "program"), num_steps=80, steps_file="/runs/steps.jsonl")


def built(**changes: Any) -> Any:
    return pytorch_job(override_config(RunConfig(), {key.replace("__", "."): changes[key] for key in changes}), JOB)


def pod(manifest: Any, role: str = "Master") -> Any:
    return manifest["spec"]["pytorchReplicaSpecs"][role]["template"]["spec"]


def test_job_of_one_node_has_no_workers_and_of_four_has_three() -> None:
    assert set(built()["spec"]["pytorchReplicaSpecs"]) == {"Master"}
    four = built(verl__num_nodes=4)["spec"]["pytorchReplicaSpecs"]
    assert (four["Master"]["replicas"], four["Worker"]["replicas"]) == (1, 3)
    assert four["Master"]["template"] == four["Worker"]["template"]


def test_finished_job_frees_its_gpus_and_an_endless_one_ends() -> None:
    want = {
        "cleanPodPolicy": "Running",
        "backoffLimit": 3,
        "activeDeadlineSeconds": 259200,
        "ttlSecondsAfterFinished": 86400,
        "suspend": False,
    }
    assert built()["spec"]["runPolicy"] == want


@pytest.mark.parametrize("seconds", [3600, None])
def test_pods_have_the_jobs_deadline_because_the_operator_misses_its_own(seconds: int | None) -> None:
    manifest = built(verl__num_nodes=2, cluster__training__active_deadline_s=seconds)
    assert manifest["spec"]["runPolicy"].get("activeDeadlineSeconds") == seconds
    assert {pod(manifest, role).get("activeDeadlineSeconds") for role in ("Master", "Worker")} == {seconds}


def test_container_that_counts_runs_the_node_entry_point_around_the_program() -> None:
    container = pod(built(verl__gpus_per_node=8, verl__cpus_per_node=96))["containers"][0]
    assert (container["name"], container["command"]) == ("pytorch", ["visionthink"])
    arguments = container["args"]
    assert arguments[:4] == ["train", "node", "--cpus=96", "--gpus=8"]
    assert arguments[arguments.index("--") :] == ["--", "python", "-m", "program"]
    assert {"--steps=80", "--steps-file=/runs/steps.jsonl", "--grace=120"} < set(arguments)
    assert container["resources"]["limits"] == {"memory": "400Gi", "nvidia.com/gpu": 8}
    assert container["resources"]["requests"] == {"cpu": "96", "memory": "400Gi", "nvidia.com/gpu": 8}


@pytest.mark.parametrize(
    ("shared", "want"),
    [
        ("64Gi", 48 * 2**30),
        ("2G", 1_500_000_000),
        ("0.5Gi", 384 * 2**20),
        ("1000000k", 750_000_000),
        ("16Mi", 75 * 2**20),
    ],
)
def test_ray_keeps_its_objects_in_the_shared_memory(shared: str, want: int) -> None:
    arguments = pod(built(cluster__training__shared_memory=shared))["containers"][0]["args"]
    assert f"--object-store-bytes={want}" in arguments


def test_pods_keep_to_the_restricted_security_level() -> None:
    spec = pod(built())
    assert spec["securityContext"]["runAsNonRoot"] and spec["automountServiceAccountToken"] is False
    security = spec["containers"][0]["securityContext"]
    assert security["allowPrivilegeEscalation"] is False and security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True


def test_ray_shows_a_token_from_the_secret_or_says_that_it_has_none() -> None:
    env = {one["name"]: one for one in pod(built())["containers"][0]["env"]}
    assert env["RAY_AUTH_MODE"]["value"] == "token"
    secret = {"secretKeyRef": {"name": "visionthink-ray", "key": "token"}}
    assert env["RAY_AUTH_TOKEN"]["valueFrom"] == secret
    open_env = {
        one["name"]: one.get("value") for one in pod(built(cluster__training__ray_secret=None))["containers"][0]["env"]
    }
    assert open_env["RAY_AUTH_MODE"] == "disabled" and "RAY_AUTH_TOKEN" not in open_env


def test_queued_job_is_made_suspended_under_its_queue() -> None:
    manifest = built(cluster__training__queue="gpus")
    assert manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert manifest["spec"]["runPolicy"]["suspend"] is True


def test_pods_go_where_they_are_told_and_find_their_volumes() -> None:
    spec = pod(
        built(
            cluster__training__node_selector=["gpu=h100"],
            cluster__training__priority_class="high",
            cluster__training__claims=["runs:/runs"],
            cluster__training__folders=["/srv/venv:/opt/venv"],
            cluster__training__secrets=["s3"],
        )
    )
    assert (spec["nodeSelector"], spec["priorityClassName"]) == ({"gpu": "h100"}, "high")
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    mounts = {mount["mountPath"]: mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes[mounts["/runs"]]["persistentVolumeClaim"] == {"claimName": "runs"}
    assert volumes[mounts["/opt/venv"]]["hostPath"]["path"] == "/srv/venv"
    assert volumes[mounts["/dev/shm"]]["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Gi"}
    assert spec["containers"][0]["envFrom"] == [{"secretRef": {"name": "s3"}}]


def test_another_job_has_another_digest() -> None:
    digests = [built(verl__num_nodes=count)["metadata"]["annotations"]["visionthink/digest"] for count in (1, 2, 1)]
    assert digests[0] == digests[2] != digests[1]


@given(st.text(st.characters(codec="ascii"), min_size=1, max_size=80))
def test_name_is_a_dns_label_with_room_for_a_pods_number(run_id: str) -> None:
    name = job_name(run_id)
    assert len(name) <= 40 and name.startswith("train-") and not name.endswith("-")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@given(st.text("aA-_.1", min_size=1, max_size=60), st.text("aA-_.1", min_size=1, max_size=60))
def test_names_differ_where_runs_do(one: str, other: str) -> None:
    assert (job_name(one) == job_name(other)) == (one == other)


def test_render_prints_the_job_of_a_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["cluster", "render", "training", "--preset", "paper-7b-4x8", "--run-id", "x", "--", "go"]) == 0
    manifest = yaml.safe_load(capsys.readouterr().out)
    want = pytorch_job(load_config(None, preset="paper-7b-4x8"), TrainingJob(run_id="x", program=("go",), num_steps=80))
    assert manifest["spec"] == want["spec"] and manifest["metadata"]["name"] == "train-x"
