"""What the chart says to the package about pipelines: the rights that steps have, and what they are compiled for."""

from pathlib import Path

import pytest
from tests.contract.chart.conftest import Helm, only

from visionthink.doctor.need import RIGHTS
from visionthink.pipelines.cluster.options import ClusterOptions, read_options


def test_role_has_every_right_that_the_doctor_asks_for(helm: Helm) -> None:
    rules = only(helm.objects(), "Role", "visionthink-pipeline")["rules"]
    given = {
        (group, resource, verb)
        for rule in rules
        if "resourceNames" not in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    missing = [str(one) for one in RIGHTS if (one.group, one.resource, one.verb) not in given]
    assert missing == []


def options(helm: Helm, values: dict[str, object], folder: Path) -> ClusterOptions:
    path = folder / "pipeline.toml"
    path.write_text(only(helm.objects(values), "ConfigMap", "visionthink-settings")["data"]["pipeline.toml"])
    return read_options(path, {})


def test_release_that_is_called_visionthink_has_the_pipelines_that_ship(helm: Helm, tmp_path: Path) -> None:
    found = options(helm, {}, tmp_path)
    env = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": "http://visionthink-s3.visionthink:8333"}
    assert found == ClusterOptions(env=env)


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ({"pipeline.image": {"repository": "c", "tag": "2"}, "imageRegistry": "r.example"}, {"image": "r.example/c:2"}),
        ({"runs.enabled": False}, {"runs_claim": ""}),
        ({"runs.enabled": False, "runs.existingClaim": "mine"}, {"runs_claim": "mine"}),
        (
            {"pipeline.env": {"A": "b=c"}, "s3.mode": "external"},
            {"env": {"AWS_DEFAULT_REGION": "us-east-1", "A": "b=c"}},
        ),
        ({"s3.mode": "external"}, {"s3_secret": ""}),
        ({"pipeline.modelGpus": 2, "training.nodeSelector": {"gpu/x": "h100"}}, {"node_selector": {"gpu/x": "h100"}}),
    ],
)
def test_pipelines_are_compiled_for_what_is_installed(
    helm: Helm, tmp_path: Path, values: dict[str, object], want: dict[str, object]
) -> None:
    found = options(helm, values, tmp_path)
    assert {key: getattr(found, key) for key in want} == want
