"""The objects that serve a model: whole, consistent with each other, and refused where settings contradict."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.cluster import (
    Canary,
    Manifest,
    ModelVersion,
    Share,
    disruption_budget,
    inference_service,
    serving_objects,
    serving_runtime,
    to_yaml,
    weighted_route,
)
from visionthink.cluster.serving import shares
from visionthink.config import ClusterConfig, RunConfig, ServeConfig, override_config
from visionthink.errors import ConfigError

VERSION = ModelVersion(uri="s3://models/ar/12")
CANARY = Canary(version=ModelVersion(uri="s3://models/ar/13", name="v13"), percent=30)


def made(**settings: Any) -> RunConfig:
    return override_config(RunConfig(), {name.replace("__", "."): value for name, value in settings.items()})


def runtime(config: RunConfig) -> Any:
    return serving_runtime(config.cluster, config.serve)


def containers(config: RunConfig) -> dict[str, Any]:
    return {container["name"]: container for container in runtime(config)["spec"]["containers"]}


def service(config: RunConfig, canary: Canary | None = None) -> Any:
    return inference_service(config.cluster, config.serve, VERSION, canary)


def test_objects_are_as_reviewed(golden: Any) -> None:
    config = made(serve__timeout_s=30, serve__image_hosts=["*.example.org"])
    golden("cluster/serving.yaml", to_yaml(serving_objects(config.cluster, config.serve, VERSION, CANARY)))


def test_objects_for_a_node_without_gpus_are_as_reviewed(golden: Any) -> None:
    config = made(
        cluster__serving__engine={"cpu": "800m", "memory": "4Gi"},
        cluster__serving__engine_mounts=["/srv/python:/opt/python", "/opt/venv"],
        cluster__serving__engine_command=["/opt/python/bin/python", "-m", "vllm"],
        cluster__serving__engine_env=["OMP_NUM_THREADS=1", "EMPTY=", "PAIR=a=b"],
        cluster__serving__autoscaler="none",
        cluster__serving__weights="kserve",
    )
    golden("cluster/serving-cpu.yaml", to_yaml(serving_objects(config.cluster, config.serve, VERSION)))


def test_the_loop_gets_the_settings_that_differ_and_nothing_of_the_address() -> None:
    config = made(serve__timeout_s=45, serve__policy="always_low", serve__port=9, serve__host="::", serve__max_turns=3)
    flags = [flag for flag in containers(config)["transformer-container"]["args"] if flag.startswith("--set")]
    assert flags == ["--set=serve.timeout_s=45.0", '--set=serve.policy="always_low"', "--set=serve.max_turns=3"]


@pytest.mark.parametrize(
    ("settings", "want"),
    [({}, 16), ({"serve__max_pictures": 3}, 12), ({"serve__max_turns": 2}, 16), ({"serve__max_turns": 6}, 24)],
)
def test_the_engine_takes_every_view_of_as_many_pictures_as_the_loop_does(settings: dict[str, Any], want: int) -> None:
    args = containers(made(**settings))["kserve-container"]["args"]
    assert [arg for arg in args if "limit" in arg] == [f'--limit-mm-per-prompt={{"image":{want}}}']


def test_an_argument_of_the_settings_comes_last_and_so_goes_before_ours() -> None:
    own = '--limit-mm-per-prompt={"image":4,"video":0}'
    args = containers(made(cluster__serving__engine_args=[own]))["kserve-container"]["args"]
    assert args[-1] == own and len(args) == 4


@pytest.mark.parametrize("name", ["kserve-container", "transformer-container"])
def test_a_container_is_nobody_and_has_limits_probes_and_an_orderly_end(name: str) -> None:
    container = containers(RunConfig())[name]
    assert container["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert {"startupProbe", "readinessProbe", "livenessProbe", "lifecycle"} <= container.keys()
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    assert any(mount["mountPath"] == "/tmp" for mount in container["volumeMounts"])


def test_the_engine_may_take_as_long_to_start_as_the_settings_say() -> None:
    probe = containers(made(cluster__serving__start_s=601))["kserve-container"]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 601


def test_a_pod_may_finish_what_it_holds_before_it_is_ended() -> None:
    config = made(cluster__serving__leave_s=5, cluster__serving__drain_s=100)
    loop = containers(config)["transformer-container"]
    assert "--drain_s=100" in loop["args"] and loop["lifecycle"]["preStop"] == {"sleep": {"seconds": 5}}
    assert service(config)["spec"]["predictor"]["terminationGracePeriodSeconds"] > 105


def test_every_mount_has_its_volume() -> None:
    config = made(cluster__serving__engine_mounts=["/a", "/b:/c"])
    volumes = {volume["name"]: volume for volume in runtime(config)["spec"]["volumes"]}
    mounts = [mount for container in containers(config).values() for mount in container["volumeMounts"]]
    assert {mount["name"] for mount in mounts} == volumes.keys()
    seen = {volumes[mount["name"]]["hostPath"]["path"]: mount for mount in mounts if mount["name"].startswith("node")}
    assert {path: (mount["mountPath"], mount["readOnly"]) for path, mount in seen.items()} == {
        "/a": ("/a", True),
        "/b": ("/c", True),
    }


def test_keda_reads_the_waiting_requests_of_this_model_alone() -> None:
    config = made(cluster__namespace="ml", cluster__serving__name="ar", cluster__serving__max_waiting=7)
    (metric,) = service(config)["spec"]["predictor"]["autoScaling"]["metrics"]
    external = metric["external"]
    assert external["target"] == {"type": "Value", "value": "7"}
    assert external["metric"]["query"] == 'sum(vllm:num_requests_waiting{namespace="ml",pod=~"ar-predictor-.*"})'


def test_without_an_autoscaler_there_are_as_many_pods_as_told() -> None:
    predictor = service(made(cluster__serving__autoscaler="none", cluster__serving__min_replicas=3))["spec"][
        "predictor"
    ]
    assert (predictor["minReplicas"], predictor["maxReplicas"], "autoScaling" in predictor) == (3, 3, False)


def test_a_canary_without_requests_still_has_a_pod() -> None:
    dark = Canary(version=CANARY.version, percent=0)
    (canary,) = service(RunConfig(), dark)["spec"]["canary"]
    assert canary["trafficPercent"] == 0 and canary["predictor"]["minReplicas"] == 1
    assert canary["predictor"]["model"]["storageUri"] == CANARY.version.uri


def test_a_canary_needs_a_name() -> None:
    with pytest.raises(ConfigError, match="has no name"):
        service(RunConfig(), Canary(version=VERSION, percent=1))


@pytest.mark.parametrize("name", ["timeout_s", "drain_s"])
def test_requests_that_would_be_cut_off_are_refused(name: str) -> None:
    config = made(**{f"cluster__serving__{name}": 20, "serve__timeout_s": 21})
    with pytest.raises(ConfigError, match=rf"cluster\.serving\.{name} is 20 and serve\.timeout_s 21"):
        service(config)


@pytest.mark.parametrize(("weights", "want"), [("route", True), ("kserve", False)])
def test_the_route_is_ours_or_kserves_and_never_both(weights: str, want: bool) -> None:
    config = made(cluster__serving__weights=weights)
    objects: list[Any] = serving_objects(config.cluster, config.serve, VERSION, CANARY)
    assert ("HTTPRoute" in [manifest["kind"] for manifest in objects]) is want
    assert ("networking.kserve.io/visibility" in objects[1]["metadata"]["labels"]) is want


@pytest.mark.parametrize(
    ("version", "want"),
    [
        (VERSION, {"ar-predictor": 70, "ar-v13-predictor": 30}),
        (ModelVersion(uri="s3://m/12", name="v12"), {"ar-v12-predictor": 70, "ar-v13-predictor": 30}),
    ],
    ids=["a first version", "a promoted version"],
)
def test_requests_are_shared_over_the_predictors_services(version: ModelVersion, want: dict[str, int]) -> None:
    assert {share.service: share.weight for share in shares("ar", version, CANARY)} == want


@given(st.integers(0, 100))
def test_shares_sum_to_a_hundred(percent: int) -> None:
    found = shares("ar", VERSION, Canary(version=CANARY.version, percent=percent))
    assert sum(share.weight for share in found) == 100 and all(share.weight >= 0 for share in found)


def test_the_route_leads_from_the_gateway_to_every_share() -> None:
    config = made(cluster__serving__gateway="edge/front", cluster__serving__hostname="ar.example.com")
    route: Any = weighted_route(config.cluster, (Share(service="a", weight=99), Share(service="b", weight=0)))
    (parent,), (rule,) = route["spec"]["parentRefs"], route["spec"]["rules"]
    assert (parent["namespace"], parent["name"], route["spec"]["hostnames"]) == ("edge", "front", ["ar.example.com"])
    assert [(one["name"], one["weight"]) for one in rule["backendRefs"]] == [("a", 99), ("b", 0)]
    assert rule["timeouts"] == {"request": "600s"}


def test_every_object_is_ours_and_in_its_namespace() -> None:
    cluster = ClusterConfig(namespace="ml")
    for manifest in serving_objects(cluster, ServeConfig(), VERSION):
        about: Any = manifest["metadata"]
        assert about["namespace"] == "ml" and about["labels"]["app.kubernetes.io/managed-by"] == "visionthink"


def test_a_budget_covers_every_version_of_the_model() -> None:
    budget: Any = disruption_budget(RunConfig().cluster)
    assert budget["spec"]["selector"]["matchLabels"] == {"serving.kserve.io/inferenceservice": "visionthink"}


def test_yaml_says_twice_what_occurs_twice() -> None:
    shared: dict[str, Any] = {"a": 1}
    manifest: Manifest = {"first": shared, "second": shared}
    assert to_yaml([manifest]) == "---\nfirst:\n  a: 1\nsecond:\n  a: 1\n"


@pytest.mark.parametrize(
    ("name", "value", "want"),
    [
        ("name", "Upper", "name"),
        ("name", "a" * 41, "name"),
        ("model_uri", "models/1", "model_uri"),
        ("engine_env", ["=1"], "NAME=VALUE"),
        ("engine_mounts", ["opt/venv"], "no folder of a node"),
        ("engine_mounts", ["/a:/b:/c"], "no folder of a node"),
        ("engine_mounts", ["/a/../etc"], "no folder of a node"),
        ("min_replicas", 5, "above max_replicas"),
        ("engine_command", [], "engine_command"),
        ("gateway", "front", "gateway"),
        ("shared_memory", "8 GB", "shared_memory"),
    ],
)
def test_settings_that_no_cluster_takes_are_refused(name: str, value: object, want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        override_config(RunConfig(), {f"cluster.serving.{name}": value})
