"""What depends on the installation that a pipeline is compiled for.

Rule: names and amounts, never a secret: what stands here stands in the compiled file. The defaults are those of a
release of the chart that is called `visionthink`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import visionthink

NAMES: Final = ("visionthink", "label", "train", "evaluate", "promote", "rollback")
"""All pipelines, the whole method first."""
_S3_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_MLFLOW_USER: Final = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Images, names and amounts of the steps."""

    image: str = f"visionthink/control:{visionthink.__version__}"
    """Of the steps that only talk to others."""
    model_image: str = f"visionthink/trainer:{visionthink.__version__}"
    """Of the steps that may run a model: label, evaluate, and a training on one machine."""
    num_retries: int = 2
    """Tries after the first one fails."""
    runs_claim: str | None = "visionthink-runs"
    """PersistentVolumeClaim of the runs, which the nodes of a training share and a retried step goes on from; None
    gives each pod a folder of its own."""
    settings: str = "visionthink-settings"
    """ConfigMap with the installation's settings."""
    s3_secret: str = "visionthink-s3"
    """Secret with the object store's two keys; where there is none, the pods' identity opens it."""
    mlflow_secret: str = "visionthink-mlflow-user"
    """Secret with who records in MLflow, where it asks."""
    judge_secret: str = "visionthink-judge"
    """Secret with OPENAI_API_KEY, for judges and endpoints that ask for one."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of every step."""
    model_gpus: int = 0
    """GPUs of the steps that may run a model."""
    train_gpus: int | None = None
    """GPUs of each node of a training; None leaves it to `verl.gpus_per_node`."""
    tolerations: tuple[str, ...] = ("nvidia.com/gpu",)
    """Keys of taints (NoSchedule) that a training's nodes and steps with GPUs put up with."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that their nodes must have."""

    def secrets(self) -> Mapping[str, tuple[str, ...]]:
        """The variables that come from each Secret."""
        return {self.s3_secret: _S3_KEYS, self.mlflow_secret: _MLFLOW_USER, self.judge_secret: ("OPENAI_API_KEY",)}
