"""What depends on the installation that a pipeline is compiled for.

Rule: names and amounts, never a secret: what stands here stands in the compiled file. The defaults are those of a
release of the chart that is called `visionthink`; the chart writes a file of its own for every release.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

import visionthink
from visionthink.config.section import Section
from visionthink.errors import ConfigError

NAMES: Final = ("visionthink", "label", "train", "evaluate", "promote", "rollback")
"""All pipelines, the whole method first."""
_S3_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_MLFLOW_USER: Final = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")

Count = Annotated[int, Field(ge=0)]


class ClusterOptions(Section):
    """Images, names and amounts of the steps."""

    image: str = Field(default=f"visionthink/control:{visionthink.__version__}", min_length=1)
    """Of the steps that only talk to others."""
    model_image: str = Field(default=f"visionthink/trainer:{visionthink.__version__}", min_length=1)
    """Of the steps that may run a model: label and evaluate."""
    num_retries: Count = 2
    """Tries after the first one fails."""
    runs_claim: str = "visionthink-runs"
    """PersistentVolumeClaim of the runs, which the nodes of a training share and a retried step goes on from; empty
    gives each pod a folder of its own."""
    settings: str = Field(default="visionthink-settings", min_length=1)
    """ConfigMap with the installation's settings."""
    service_account: str = "visionthink-pipeline"
    """Whose rights the steps have; told when a run is started, for it is no part of a compiled pipeline."""
    s3_secret: str = "visionthink-s3"
    """Secret with the object store's two keys; empty where the pods' identity opens it."""
    mlflow_secret: str = "visionthink-mlflow-user"
    """Secret with who records in MLflow, where it asks."""
    judge_secret: str = "visionthink-judge"
    """Secret with OPENAI_API_KEY, for judges and endpoints that ask for one."""
    env: Mapping[str, str] = Field(default_factory=dict)
    """Variables of every step."""
    model_gpus: Count = 0
    """GPUs of the steps that may run a model."""
    train_gpus: Count | None = None
    """GPUs of each node of a training; None leaves it to `verl.gpus_per_node`."""
    tolerations: tuple[str, ...] = ("nvidia.com/gpu",)
    """Keys of taints (NoSchedule) that a training's nodes and steps with GPUs put up with."""
    node_selector: Mapping[str, str] = Field(default_factory=dict)
    """Labels that their nodes must have."""

    def secrets(self) -> Mapping[str, tuple[str, ...]]:
        """The variables that come from each Secret."""
        found = {self.s3_secret: _S3_KEYS, self.mlflow_secret: _MLFLOW_USER, self.judge_secret: ("OPENAI_API_KEY",)}
        return {secret: names for secret, names in found.items() if secret}


def read_options(path: Path | None, given: Mapping[str, object]) -> ClusterOptions:
    """The options of the file `path`, where there is one, and what is `given` over them.

    Raises:
        ConfigError: the file cannot be read, or an option is unknown or refused.
    """
    try:
        tree = {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))
        return ClusterOptions.model_validate({**tree, **given})
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"options of the pipeline {path or ''}: {told}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"options {path} cannot be read: {error}") from error
