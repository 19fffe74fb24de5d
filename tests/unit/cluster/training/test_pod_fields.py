from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from visionthink.cluster.training import PodFields, TrainingJob, pytorch_job
from visionthink.cluster.training.pod_fields import with_fields
from visionthink.config import RunConfig, override_config

JOB = TrainingJob(run_id="run-7", program=("train",))
CONFIG = override_config(
    RunConfig(),
    {
        "verl.num_nodes": 2,
        "cluster.training": {
            "claims": ["runs:/runs"],
            "env": ["A=settings", "B=settings"],
            "node_selector": ["zone=a"],
        },
    },
)
FIELDS = PodFields(
    env=({"name": "A", "value": "task"}, {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
    volumes=({"name": "mine", "persistentVolumeClaim": {"claimName": "mine"}},),
    mounts=({"name": "mine", "mountPath": "/runs"},),
    tolerations=({"key": "dedicated", "operator": "Exists"},),
    node_selector={"gpu": "h100"},
    affinity={"podAntiAffinity": {}},
    resources={"limits": {"nvidia.com/gpu": "4"}, "requests": {"cpu": "12"}},
)


def pods(fields: PodFields | None) -> list[Any]:
    replicas: Any = pytorch_job(CONFIG, JOB, fields)["spec"]
    return [one["template"]["spec"] for one in replicas["pytorchReplicaSpecs"].values()]


def test_every_node_has_the_fields_and_they_win() -> None:
    for pod in pods(FIELDS):
        (container,) = pod["containers"]
        env = {one["name"]: one.get("value") for one in container["env"]}
        assert (env["A"], env["B"], env["C"]) == ("task", "settings", None)
        assert [one["name"] for one in container["env"]].count("A") == 1
        places = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
        assert places["/runs"] == "mine" and "/dev/shm" in places
        assert {one["name"] for one in pod["volumes"]} == set(places.values())
        assert pod["tolerations"][-1] == {"key": "dedicated", "operator": "Exists"} and len(pod["tolerations"]) == 2
        assert pod["nodeSelector"] == {"zone": "a", "gpu": "h100"}
        assert pod["affinity"] == {"podAntiAffinity": {}}
        assert container["resources"]["limits"] == {"memory": "400Gi", "nvidia.com/gpu": "4"}
        assert container["resources"]["requests"]["cpu"] == "12"


def test_job_with_other_fields_is_another_one() -> None:
    def digest(fields: PodFields | None) -> str:
        metadata: Any = pytorch_job(CONFIG, JOB, fields)["metadata"]
        return str(metadata["annotations"]["visionthink/digest"])

    assert digest(FIELDS) != digest(None)


def test_gpus_are_those_of_the_limits() -> None:
    assert FIELDS.num_gpus == 4
    assert PodFields().num_gpus is None


names = st.sampled_from(["A", "B", "C", "D"])


@given(
    old=st.dictionaries(names, st.text(max_size=3)),
    new=st.dictionaries(names, st.text(max_size=3)),
)
def test_no_variable_is_lost_or_told_twice(old: dict[str, str], new: dict[str, str]) -> None:
    spec: Any = {"containers": [{"name": "c", "env": [{"name": key, "value": old[key]} for key in old]}]}
    made: Any = with_fields(spec, PodFields(env=tuple({"name": key, "value": new[key]} for key in new)))
    found = [(one["name"], one["value"]) for one in made["containers"][0]["env"]]
    assert dict(found) == old | new and len(found) == len(dict(found))


def test_no_fields_change_nothing() -> None:
    for with_none, without in zip(pods(PodFields()), pods(None), strict=True):
        assert with_none == without
