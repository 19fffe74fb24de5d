"""What the two profiles install, as reviewed; and what holds of every pod of both."""

from typing import Any

import pytest
from tests.conftest import Golden
from tests.contract.chart.conftest import CHART, PROFILES, Helm, pods

from visionthink.cluster import to_yaml

Profiles = dict[str, list[dict[str, Any]]]


def reviewed(found: list[dict[str, Any]]) -> str:
    """The objects in an order of their own, without what is made up anew and what has tests of its own."""
    for made in found:
        if made["kind"] == "Secret":
            made["data"] = dict.fromkeys(made["data"], "MADE-UP")
        if made["kind"] == "ConfigMap" and "platform.toml" not in made["data"]:
            made["data"] = dict.fromkeys(made["data"], "A FILE")
    ordered = sorted(found, key=lambda made: (str(made["kind"]), str(made["metadata"]["name"])))
    return to_yaml(ordered)


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_installs_what_was_reviewed(helm: Helm, golden: Golden, profile: str) -> None:
    golden(f"chart/{profile}.yaml", reviewed(helm.objects(profile=profile)))


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_chart_passes_a_strict_lint(helm: Helm, profile: str | None) -> None:
    values = [f"--values={CHART / f'values-{profile}.yaml'}"] if profile else []
    done = helm.run("lint", "--strict", CHART, *values)
    assert done.returncode == 0 and "0 chart(s) failed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("profile", PROFILES)
def test_every_container_meets_the_level_restricted(profiles: Profiles, profile: str) -> None:
    found = pods(profiles[profile])
    assert found
    for name, spec in found.items():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not any("hostPath" in volume for volume in spec["volumes"]), name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name


@pytest.mark.parametrize("profile", PROFILES)
def test_every_container_says_what_it_takes(profiles: Profiles, profile: str) -> None:
    for name, spec in pods(profiles[profile]).items():
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name
            assert not container["image"].endswith(":latest"), name


@pytest.mark.parametrize("profile", PROFILES)
def test_no_pod_but_a_step_can_talk_to_the_api_server(profiles: Profiles, profile: str) -> None:
    for name, spec in pods(profiles[profile]).items():
        assert spec["automountServiceAccountToken"] is False, name
    accounts = [made for made in profiles[profile] if made["kind"] == "ServiceAccount"]
    assert [one["metadata"]["name"] for one in accounts if one["automountServiceAccountToken"]] == [
        "visionthink-pipeline"
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_object_says_what_it_belongs_to(profiles: Profiles, profile: str) -> None:
    for made in profiles[profile]:
        labels = made["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "visionthink", made
        assert labels["app.kubernetes.io/part-of"] == "visionthink"
        assert made["metadata"]["namespace"] == "visionthink"


def test_trial_asks_for_no_gpu(profiles: Profiles) -> None:
    assert "nvidia.com/gpu" not in str(profiles["trial"])
