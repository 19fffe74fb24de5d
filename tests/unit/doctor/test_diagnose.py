from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.config import RunConfig, override_config
from visionthink.doctor.diagnose import diagnose
from visionthink.doctor.diagnosis import Diagnosis, Health, is_healthy
from visionthink.doctor.need import Need, need_of
from visionthink.doctor.seen import Probe, Right, SeenCluster, SeenServers, Unseen

CONFIG = override_config(
    RunConfig(),
    {
        "train.backend": "verl",
        "verl": {"num_nodes": 2, "gpus_per_node": 8},
        "cluster.serving.autoscaler": "none",
        "cluster.training.claims": ["runs:/runs"],
    },
)
NEED: Need = need_of(CONFIG, "visionthink-pipeline")
WELL = SeenCluster(
    version="1.36.3",
    apis=frozenset(kind.api for kind in NEED.kinds),
    has_canary=True,
    admitted={"PyTorchJob": "", "InferenceService": ""},
    operators={operator.name: 1 for operator in NEED.operators},
    default_class="fast",
    claims={"runs": "Bound"},
    gpus=(8, 0, 8),
    refused=(),
    account_exists=True,
)
ANSWERS = SeenServers(
    store=Probe(place="s3://b"), tracker=Probe(place="http://m"), pipelines=Probe(place="http://p", status=200)
)


def diagnoses(cluster: SeenCluster = WELL, servers: SeenServers = ANSWERS, need: Need = NEED) -> dict[str, Diagnosis]:
    return {diagnosis.name: diagnosis for diagnosis in diagnose(need, cluster, servers)}


def test_cluster_that_has_all_is_healthy_and_nothing_is_to_be_mended() -> None:
    found = diagnoses()
    assert is_healthy(list(found.values()))
    assert {diagnosis.health for diagnosis in found.values()} == {Health.OK}
    assert not any(diagnosis.mend for diagnosis in found.values())


WATCH = Right(group="kubeflow.org", resource="pytorchjobs", verb="watch")
LOGS = Right(group="", resource="pods/log", verb="get")
WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"version": Unseen("no route")}, "API server", "no route", "KUBECONFIG"),
    ({"version": "1.29.4"}, "API server", "older than 1.30", "1.30 or newer"),
    (
        {"apis": WELL.apis - {"kubeflow.org/v1/PyTorchJob"}},  # type: ignore[operator]
        "kind PyTorchJob",
        "PyTorchJob v1 is missing: kubeflow.org is not known here",
        "kubectl apply",
    ),
    (
        {"apis": frozenset({"serving.kserve.io/v1alpha1/InferenceService"})},
        "kind InferenceService",
        "v1beta1 is missing: only serving.kserve.io/v1alpha1/InferenceService",
        "helm install kserve",
    ),
    ({"has_canary": False}, "canaries", "older than 0.20", "helm install kserve"),
    (
        {"operators": {"KServe": 0}},
        "KServe",
        "no pod of Deployment kserve-controller-manager is ready",
        "helm install kserve",
    ),
    (
        {"admitted": {"PyTorchJob": 'failed calling webhook "x": no endpoints available for service "y"'}},
        "admission of PyTorchJob",
        "failed calling webhook",
        "validatingwebhookconfigurations",
    ),
    ({"admitted": {"PyTorchJob": "spec.foo: unknown"}}, "admission of PyTorchJob", "spec.foo", "docs/install.md"),
    (
        {"admitted": {"PyTorchJob": 'namespaces "vt" not found'}},
        "admission of PyTorchJob",
        "not found",
        "kubectl create namespace visionthink",
    ),
    ({"default_class": None}, "storage class", "no StorageClass is the default", "kubectl annotate storageclass"),
    ({"claims": {"runs": None}}, "claim runs", "there is none", "helm upgrade"),
    ({"claims": {"runs": "Pending"}}, "claim runs", "Pending", "kubectl -n visionthink describe pvc runs"),
    ({"gpus": (8, 4, 4)}, "GPUs", "2 x 8 wanted, nodes have 8, 4, 4", "verl.gpus_per_node"),
    ({"gpus": ()}, "GPUs", "nodes have none", "gpu-operator"),
    ({"account_exists": False}, "rights of visionthink/visionthink-pipeline", "no such service account", "helm"),
    (
        {"refused": (WATCH, LOGS)},
        "rights of visionthink/visionthink-pipeline",
        "it may not watch pytorchjobs.kubeflow.org, get pods/log",
        "pipeline.enabled=true",
    ),
]


@pytest.mark.parametrize(("changed", "name", "told", "mend"), WRONG, ids=[f"{one[1]}: {one[2]}" for one in WRONG])
def test_what_is_wrong_is_told_with_its_mend(changed: dict[str, Any], name: str, told: str, mend: str) -> None:
    diagnosis = diagnoses(replace(WELL, **changed))[name]
    assert diagnosis.health is Health.WRONG
    assert told in diagnosis.found and mend in diagnosis.mend


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"apis": Unseen("forbidden")}, "kind PyTorchJob"),
        ({"operators": {"KServe": Unseen("forbidden")}}, "KServe"),
        ({"admitted": {"PyTorchJob": 'pytorchjobs is forbidden: User "me" cannot create'}}, "admission of PyTorchJob"),
        ({"default_class": Unseen("forbidden")}, "storage class"),
        ({"claims": {"runs": Unseen("forbidden")}}, "claim runs"),
        ({"gpus": Unseen("forbidden")}, "GPUs"),
        ({"refused": Unseen("forbidden")}, "rights of visionthink/visionthink-pipeline"),
    ],
)
def test_what_may_not_be_looked_at_is_unknown_and_nobodys_fault(changed: dict[str, Any], name: str) -> None:
    found = diagnoses(replace(WELL, **changed))
    assert found[name].health is Health.UNKNOWN
    assert "forbidden" in found[name].found and found[name].mend
    assert is_healthy(list(found.values()))


def test_servers_that_do_not_answer_are_told() -> None:
    servers = SeenServers(
        store=Probe(place="s3://b", problem="SignatureDoesNotMatch"),
        tracker=Probe(place="http://m", problem="403 Invalid Host header", status=403),
        pipelines=Probe(place="http://p", problem="no machine is called p here", is_out_of_reach=True),
    )
    found = diagnoses(servers=servers)
    assert found["object store"].health is Health.WRONG and "AWS_ACCESS_KEY_ID" in found["object store"].mend
    assert found["MLflow"].health is Health.WRONG and "mlflow.allowedHosts" in found["MLflow"].mend
    pipelines = found["Kubeflow Pipelines"]
    assert pipelines.health is Health.UNKNOWN and pipelines.mend.endswith("-- visionthink doctor")


def test_server_that_no_setting_names_is_unknown() -> None:
    found = diagnoses(servers=SeenServers(store=None, tracker=None, pipelines=None))
    for name in ("object store", "MLflow", "Kubeflow Pipelines"):
        assert found[name].health is Health.UNKNOWN and found[name].mend.startswith("visionthink doctor")


def test_cluster_that_is_not_there_is_told_once() -> None:
    found = diagnoses(replace(WELL, version=Unseen("no cluster is named")))
    assert set(found) == {"API server", "object store", "MLflow", "Kubeflow Pipelines"}


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ({}, {"PyTorchJob", "InferenceService", "ServingRuntime", "HTTPRoute", "ScaledObject"}),
        (
            {
                "cluster.serving.autoscaler": "none",
                "cluster.serving.weights": "kserve",
                "cluster.training.queue": "gpus",
            },
            {"PyTorchJob", "InferenceService", "ServingRuntime", "LocalQueue"},
        ),
    ],
)
def test_only_what_the_settings_use_is_needed(settings: dict[str, object], kinds: set[str]) -> None:
    need = need_of(override_config(RunConfig(), settings), "steps")
    assert {kind.api.rpartition("/")[2] for kind in need.kinds} == kinds
    assert (need.num_nodes, need.claims) == (0, ())


@given(
    gpus=st.lists(st.integers(0, 16), max_size=6),
    num_nodes=st.integers(1, 6),
    per_node=st.integers(1, 8),
)
def test_gpus_suffice_exactly_when_every_node_of_a_training_finds_a_place(
    gpus: list[int], num_nodes: int, per_node: int
) -> None:
    need = replace(NEED, num_nodes=num_nodes, gpus_per_node=per_node)
    left, placed = list(gpus), 0
    while any(count >= per_node for count in left):
        index = next(index for index, count in enumerate(left) if count >= per_node)
        left[index] -= per_node
        placed += 1
    found = diagnoses(replace(WELL, gpus=tuple(gpus)), need=need)["GPUs"]
    assert (found.health is Health.OK) == (placed >= num_nodes)


def test_verdict_as_json_says_all() -> None:
    assert Diagnosis(name="a", health=Health.WRONG, found="b", mend="c").to_dict() == {
        "name": "a",
        "health": "wrong",
        "found": "b",
        "mend": "c",
    }
