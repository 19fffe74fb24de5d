"""The pipelines for a cluster as YAML files.

Rule: compiling needs no cluster and no network, and the same options give the same bytes, so a file can be reviewed and
committed. Those of the default options ship in `cluster/compiled`.
"""

import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Final

from visionthink.pipelines.cluster.options import ClusterOptions
from visionthink.storage.atomic import atomic_write

IMAGE_VARIABLE: Final = "VISIONTHINK_IMAGE"
"""Names the image of the steps that only talk to others."""


def compiled_text(name: str, options: ClusterOptions) -> str:
    """The pipeline of that name as YAML."""
    from kfp import compiler

    from visionthink.pipelines.cluster.pipeline import build

    with tempfile.TemporaryDirectory(prefix="visionthink-") as home:
        made = Path(home) / "pipeline.yaml"
        compiler.Compiler().compile(build(name, options), str(made))
        return made.read_text(encoding="utf-8")


def compile_pipeline(name: str, options: ClusterOptions, target: Path) -> None:
    """Write the pipeline of that name to `target`, whole or not at all."""
    atomic_write(target, compiled_text(name, options).encode())


def shipped_text(name: str) -> str:
    """The pipeline of that name as it ships, for a release of the chart called `visionthink`."""
    place = files("visionthink.pipelines.cluster") / "compiled" / f"{name}.yaml"
    return place.read_text(encoding="utf-8")
