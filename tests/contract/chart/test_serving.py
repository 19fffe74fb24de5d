"""The chart and `visionthink cluster render serving` make the same objects of the same settings.

The settings are those that the chart itself writes down for the pipeline, so that they are proven too.
"""

import tomllib
from typing import Any

import pytest
import yaml
from tests.contract.chart.conftest import Helm, only

from visionthink.cluster import ModelVersion, serving_objects, to_yaml
from visionthink.config import RunConfig, parse_config, parse_override

MODEL = "s3://visionthink/models/visionthink/1"


def settings(found: list[dict[str, Any]]) -> RunConfig:
    """What the chart says that this installation is called."""
    (text,) = (made["data"]["platform.toml"] for made in found if "platform.toml" in made.get("data", {}))
    return parse_config(tomllib.loads(text))


def comparable(made: dict[str, Any]) -> dict[str, Any]:
    """An object without labels of its maker's, and with settings as values instead of texts."""
    about = made["metadata"]
    labels = {key: value for key, value in about["labels"].items() if key.startswith("networking.kserve.io")}
    found = {**made, "metadata": {**about, "labels": labels}}
    if made["kind"] == "ServingRuntime":
        (loop,) = (one for one in made["spec"]["containers"] if one["name"] == "transformer-container")
        loop["args"] = sorted(
            str(parse_override(one.removeprefix("--set="))) if one.startswith("--set=") else one for one in loop["args"]
        )
        loop["args"] = [one.replace("30.0", "30") for one in loop["args"]]
    return found


@pytest.mark.parametrize(
    ("profile", "values"),
    [
        (None, {}),
        ("trial", {}),
        ("production", {}),
        (None, {"serving.weights": "kserve", "serving.minReplicas": 2}),
        (None, {"serving.loop.settings": {"timeout_s": 30, "image_hosts": ["*.example.org"], "log_format": "json"}}),
        (None, {"serving.engine.mounts": ["/srv/python:/opt/python", "/srv/venv"], "serving.engine.env": ["A=b=c"]}),
        (None, {"serving.name": "ar", "serving.runtimeName": "loop", "serving.startSeconds": 7}),
        (None, {"serving.engine.image.digest": f"sha256:{'0' * 64}", "imageRegistry": "mirror.example.com"}),
        (None, {"serving.gateway": {"name": "public", "namespace": "edge"}, "serving.hostname": "*.example.org"}),
    ],
    ids=["defaults", "trial", "production", "weights", "loop", "mounts", "names", "digest", "gateway"],
)
def test_chart_makes_what_the_command_makes(helm: Helm, profile: str | None, values: dict[str, object]) -> None:
    found = helm.objects({"serving.modelUri": MODEL, **values}, profile=profile)
    config = settings(found)
    want = serving_objects(config.cluster, config.serve, ModelVersion(uri=MODEL))
    for made in yaml.safe_load_all(to_yaml(want)):
        assert comparable(only(found, made["kind"], made["metadata"]["name"])) == comparable(made)


def test_settings_name_what_is_installed(helm: Helm) -> None:
    # Another name than the package's default, so that nothing is right by chance.
    config = settings(found := helm.objects({"fullnameOverride": "vt"}, profile="production"))
    names = {(made["kind"], made["metadata"]["name"]) for made in found}
    training = config.cluster.training
    assert ("ServiceAccount", training.service_account) in names
    assert ("ServiceAccount", config.cluster.serving.service_account) in names
    assert ("Secret", training.ray_secret) in names
    assert ("LocalQueue", training.queue) in names
    assert ("PersistentVolumeClaim", training.claims[0].split(":")[0]) in names
    assert config.tracking.uri == "http://vt-mlflow.visionthink:5000"
    assert config.judge.uri == "rule+openai:http://vt-judge.visionthink:8000/v1?model=judge"


@pytest.mark.parametrize(("settings", "want"), [({}, 16), ({"max_pictures": 3}, 12), ({"max_turns": 6}, 24)])
def test_the_engine_takes_every_view_of_as_many_pictures_as_the_loop_does(
    helm: Helm, settings: dict[str, object], want: int
) -> None:
    (runtime,) = [
        made for made in helm.objects({"serving.loop.settings": settings}) if made["kind"] == "ServingRuntime"
    ]
    args = runtime["spec"]["containers"][0]["args"]
    assert [arg for arg in args if "limit" in arg] == [f'--limit-mm-per-prompt={{"image":{want}}}']


def test_default_names_are_those_of_the_package(helm: Helm) -> None:
    ours, theirs = settings(helm.objects()).cluster, RunConfig().cluster
    assert ours.namespace == theirs.namespace
    for name in ("name", "runtime", "service_account", "engine_image", "loop_image", "engine_args", "timeout_s"):
        assert getattr(ours.serving, name) == getattr(theirs.serving, name)
    for name in ("image", "service_account", "ray_secret", "memory", "tolerations"):
        assert getattr(ours.training, name) == getattr(theirs.training, name)
