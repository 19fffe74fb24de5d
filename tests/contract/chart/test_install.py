"""docs/install.md names values and commands that exist."""

import re
import shlex
import tomllib
from typing import Any, Final

import pytest
import yaml
from tests.contract.chart.conftest import APIS, CHART, ROOT, VERSION, Helm, objects, only

from visionthink.config import parse_config

TEXT: Final = (ROOT / "docs" / "install.md").read_text()
COMMANDS: Final = [
    line for block in re.findall(r"(?ms)^```console\n(.*?)^```", TEXT) for line in block.splitlines() if line.strip()
]


def test_values_that_are_named_exist() -> None:
    values: Any = yaml.safe_load((CHART / "values.yaml").read_text())
    parts = "|".join(values)
    for name in re.findall(rf"`((?:{parts})(?:\.\w+)+)(?:=[^`]*)?`", TEXT):
        tree = values
        for key in name.split("."):
            assert key in tree, name
            tree = tree[key]


@pytest.mark.parametrize("command", [line for line in COMMANDS if re.match(r"helm (install|upgrade)", line)])
def test_helm_takes_the_command(helm: Helm, command: str) -> None:
    words = shlex.split(command)
    skipped = {"--create-namespace", "--reuse-values", "--wait"}
    kept = [word for word in words[2:] if word not in skipped and "own.yaml" not in word]
    kept = [word.replace("charts/", f"{CHART.parent}/") for word in kept if not word.startswith("30m")]
    kept = [word for number, word in enumerate(kept) if word != "--timeout" and kept[number : number + 2] != ["-f"]]
    kept = kept[:-1] if kept[-1] == "-f" else kept
    done = helm.run("template", *kept, VERSION, *(f"--api-versions={api}" for api in APIS))
    assert done.returncode == 0, done.stderr
    assert objects(done.stdout)


def test_settings_are_read_by_the_path_that_is_told(helm: Helm) -> None:
    (command,) = (line for line in COMMANDS if "platform\\.toml" in line)
    name = shlex.split(command)[5]
    assert name == "visionthink-settings"
    parse_config(tomllib.loads(only(helm.objects(), "ConfigMap", name)["data"]["platform.toml"]))


def test_secrets_that_are_told_are_those_of_the_profile(helm: Helm) -> None:
    done = helm.template(profile="production")
    told = set(re.findall(r"(?m)^\| `(visionthink-[\w-]+)` \|", TEXT))
    assert told and all(name in done.stdout for name in told)


def test_refusal_is_the_one_that_is_shown(helm: Helm) -> None:
    (shown,) = re.findall(r"(?m)^  - (kubeflow.*)$", TEXT)
    assert shown in helm.refusal({}, apis=[api for api in APIS if "kubeflow" not in api])
