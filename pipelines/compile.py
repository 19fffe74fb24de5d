"""The pipeline as a YAML file, for a cluster.

Rule: compiling needs no cluster and no network, and the same options give the same bytes, so the file can be reviewed
and committed. `visionthink pipeline compile --help` tells the options.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import visionthink
from visionthink.pipelines.visionthink_pipeline import PipelineOptions, build
from visionthink.storage.atomic import atomic_write

IMAGE_VARIABLE = "VISIONTHINK_IMAGE"


def default_image(env: Mapping[str, str]) -> str:
    """Return the image that the environment names, or the one of this version."""
    return env.get(IMAGE_VARIABLE) or f"visionthink/control:{visionthink.__version__}"


def compile_pipeline(options: PipelineOptions, target: Path) -> None:
    """Write the compiled pipeline to `target`, whole or not at all."""
    from kfp import compiler

    with tempfile.TemporaryDirectory(prefix="visionthink-") as home:
        made = Path(home) / "pipeline.yaml"
        compiler.Compiler().compile(build(options), str(made))
        atomic_write(target, made.read_bytes())
