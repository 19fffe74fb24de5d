"""What must hold of every image: locked packages, no root, a base that can be named, and a chart that uses it."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
import yaml
from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[2]
IMAGES: Final = sorted(path.parent.name for path in (ROOT / "images").glob("*/Dockerfile"))


def _lines(image: str) -> list[str]:
    """Instructions, each on one line."""
    text = (ROOT / "images" / image / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _pins(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", text, re.MULTILINE))


@pytest.mark.parametrize("image", IMAGES)
def test_image_is_locked_unprivileged_and_builds_on_any_base(image: str) -> None:
    lines = _lines(image)
    assert lines[0].startswith("ARG BASE_IMAGE=")
    assert {line.split()[1] for line in lines if line.startswith("FROM")} <= {"${BASE_IMAGE}", "packages"}
    installs = [line for line in lines if re.search(r"pip\S* .*install ", line)]
    # What is not in a lock is the package itself, and setuptools is in the lock: nothing is fetched for it.
    assert installs and all("--require-hashes" in one or "--no-build-isolation" in one for one in installs)
    assert all("--no-deps" in one for one in installs)
    last = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    assert "USER 65532:65532" in last
    assert any("sbom.cdx.json" in line for line in last)
    assert _pins(f"{image}.txt")


def test_chart_and_pipeline_use_every_image() -> None:
    values = yaml.safe_load((ROOT / "charts" / "visionthink" / "values.yaml").read_text(encoding="utf-8"))
    named = {
        values["mlflow"]["image"]["repository"],
        values["tests"]["image"]["repository"],
        values["serving"]["loop"]["image"]["repository"],
        values["training"]["image"]["repository"],
    }
    # The pipeline is compiled for its image; the chart names it only where it uploads one.
    assert named | {"visionthink/control"} == {f"visionthink/{image}" for image in IMAGES}


def test_trainer_is_cuda_13_and_has_what_the_package_needs() -> None:
    pins = _pins("trainer.txt")
    assert {"verl", "vllm", "ray", "transformers"} <= pins.keys()
    assert pins["nvidia-cuda-runtime"].startswith("13.") and pins["torch"].startswith("2.11.")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [Requirement(one) for one in [*project["dependencies"], *project["optional-dependencies"]["s3"]]]
    assert [str(one) for one in needed if not one.specifier.contains(pins.get(one.name, "0"))] == []
