"""The pipeline as a YAML file, for a cluster.

Rule: compiling needs no cluster and no network, and the same options give the same bytes, so the file can be reviewed
and committed. `python -m visionthink.pipelines.compile --help` tells the options.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import visionthink
from visionthink.errors import UserError
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


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Compile as the command line says and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m visionthink.pipelines.compile", description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("visionthink-pipeline.yaml"), help="file to write")
    parser.add_argument("--image", default=default_image(env), help=f"image of every step (or ${IMAGE_VARIABLE})")
    parser.add_argument("--retries", type=int, default=2, help="tries after the first one of a step fails")
    parser.add_argument("--runs-claim", help="PersistentVolumeClaim to mount at /runs; without it nothing is shared")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="variable of every step")
    given = parser.parse_args(arguments)
    try:
        options = PipelineOptions(
            image=given.image,
            num_retries=given.retries,
            runs_claim=given.runs_claim,
            env=dict(_pair(text) for text in given.env),
        )
        compile_pipeline(options, given.output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"wrote {given.output}")
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier():
        raise UserError(f"--env {text!r} is not NAME=VALUE; write --env MLFLOW_TRACKING_URI=http://mlflow:5000")
    return name, value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
