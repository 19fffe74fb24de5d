"""Configuration: what a run is decided by. Imports without torch, kfp, kubernetes and mlflow (a test proves it)."""

from visionthink.config.cluster import ClusterConfig, ResourcesConfig, ServingConfig
from visionthink.config.data import DataConfig, ViewConfig
from visionthink.config.evaluation import EvaluateConfig, RegisterConfig
from visionthink.config.first_look import FirstLookConfig
from visionthink.config.preset import preset_names, preset_text, preset_title
from visionthink.config.rollout import RolloutConfig, SloConfig
from visionthink.config.run import RunConfig, load_config, override_config, parse_config, parse_override
from visionthink.config.section import OPERATIONAL
from visionthink.config.stage import (
    EpisodeConfig,
    JudgeConfig,
    LabelConfig,
    ModelConfig,
    RewardConfig,
    ServeConfig,
    TrackingConfig,
    TrainConfig,
)
from visionthink.config.training_job import TrainingJobConfig
from visionthink.config.verl import VerlConfig, VerlValue

__all__ = [
    "OPERATIONAL",
    "ClusterConfig",
    "DataConfig",
    "EpisodeConfig",
    "EvaluateConfig",
    "FirstLookConfig",
    "JudgeConfig",
    "LabelConfig",
    "ModelConfig",
    "RegisterConfig",
    "ResourcesConfig",
    "RewardConfig",
    "RolloutConfig",
    "RunConfig",
    "ServeConfig",
    "ServingConfig",
    "SloConfig",
    "TrackingConfig",
    "TrainConfig",
    "TrainingJobConfig",
    "VerlConfig",
    "VerlValue",
    "ViewConfig",
    "load_config",
    "override_config",
    "parse_config",
    "parse_override",
    "preset_names",
    "preset_text",
    "preset_title",
]
