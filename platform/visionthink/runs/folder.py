"""The layout of a run's folder; the one place that names its files.

runs/
├── latest -> <run id>
├── mlflow.db, mlartifacts/        what all runs recorded
└── <run id>/
    ├── config.json                written first; a run never changes its settings
    ├── label/ train/ evaluate/ register/ serve/
    │   ├── result.json            written last: a stage that has one is done
    │   ├── error.json             why the last try failed: see failure.py
    │   └── seconds.json           wall time, summed over all tries
    ├── missed/                    what the tracker is still to be sent, while there is anything
    ├── report.html
    └── summary.json               written last: a run that has one is done
"""

import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from visionthink.config import RunConfig, parse_config
from visionthink.core.json_value import Json
from visionthink.errors import ConfigError, DataError
from visionthink.network import without_secrets
from visionthink.runs.result import StageResult
from visionthink.storage import atomic_write_json
from visionthink.storage.key import TEMPORARY_PREFIX

Stage: TypeAlias = Literal["label", "train", "evaluate", "register", "serve"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
"""In the order in which they run."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run; its name is the run's id."""

    path: Path

    def __post_init__(self) -> None:
        """Follow `latest`: the id is the name of the folder itself."""
        object.__setattr__(self, "path", self.path.resolve())

    @property
    def run_id(self) -> str:
        """Names the run in the tracker."""
        return self.path.name

    @property
    def runs_dir(self) -> Path:
        """Where this run and its siblings lie."""
        return self.path.parent

    @property
    def config_path(self) -> Path:
        """The resolved settings."""
        return self.path / "config.json"

    @property
    def report_path(self) -> Path:
        """The page that shows the evaluation."""
        return self.path / "report.html"

    @property
    def summary_path(self) -> Path:
        """The figures of the run in a few lines."""
        return self.path / "summary.json"

    @property
    def recorded_summary_path(self) -> Path:
        """The same figures as the tracker holds them: written first, since the run is done only when they are there."""
        return self.path / "pipeline" / "summary.json"

    @property
    def trained_model(self) -> Path:
        """What training leaves."""
        return self.stage_dir("train") / "model"

    @property
    def registered_model(self) -> Path:
        """What registration leaves."""
        return self.stage_dir("register") / "model"

    @property
    def steps_path(self) -> Path:
        """Metrics of each training step, one JSON object a line."""
        return self.stage_dir("train") / "steps.jsonl"

    @property
    def dataset_path(self) -> Path:
        """Labelled samples to train on."""
        return self.stage_dir("label") / "dataset.parquet"

    def stage_dir(self, stage: Stage) -> Path:
        """Everything that a stage leaves."""
        return self.path / stage

    def begin(self, config: RunConfig) -> None:
        """Keep the settings of a new run, or check those of one that is gone on with.

        Raises:
            ConfigError: the run was begun with other settings.
        """
        if self.config_path.exists():
            differing = _differing(self.config().model_dump(mode="json"), config.model_dump(mode="json"))
            if differing:
                raise ConfigError(
                    f"run {self.path} was begun with other settings: {', '.join(differing)}. A run never changes its "
                    "settings: leave them out to go on with it, or begin a new run with `visionthink label` or "
                    "`visionthink run`"
                )
        else:
            atomic_write_json(self.config_path, config.model_dump(mode="json"))

    def config(self) -> RunConfig:
        """The settings that the run was begun with.

        Raises:
            ConfigError: there is no such run, or it was made by another version.
        """
        try:
            text = self.config_path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{self.path} is no run (no readable {self.config_path.name}); check --run-dir"
            ) from error
        try:
            return parse_config(text)
        except ConfigError as error:
            raise ConfigError(f"{self.config_path} is not of this version: {error}; start a fresh run") from error

    def result(self, stage: Stage) -> StageResult | None:
        """What a stage handed on; None while it is not done."""
        path = self._result_path(stage)
        if not path.exists():
            return None
        return StageResult.from_dict(read_json(path), self.path)

    def finished(self, stage: Stage) -> StageResult:
        """What a stage handed on.

        Raises:
            DataError: it is not done.
        """
        result = self.result(stage)
        if result is None:
            raise DataError(f"stage {stage} of run {self.path} is not done; run `visionthink {stage}` first")
        return result

    def keep_result(self, stage: Stage, result: StageResult) -> None:
        """Mark a stage as done."""
        atomic_write_json(self._result_path(stage), result.to_dict(self.path))
        self.error_path(stage).unlink(missing_ok=True)

    def error_path(self, stage: Stage) -> Path:
        """Why the last try of a stage failed."""
        return self.stage_dir(stage) / "error.json"

    def seconds_path(self, stage: Stage) -> Path:
        """How long all tries of a stage took together."""
        return self.stage_dir(stage) / "seconds.json"

    def sweep(self, stage: Stage) -> None:
        """Remove what a killed try left half-written. Nobody else may be working on the stage."""
        for path in self.stage_dir(stage).rglob(f"{TEMPORARY_PREFIX}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()

    def _result_path(self, stage: Stage) -> Path:
        return self.stage_dir(stage) / "result.json"


def read_json(path: Path) -> Json:
    """The JSON in a file of a run.

    Raises:
        DataError: it cannot be read.
    """
    try:
        value: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); remove it, then run the same command again") from error
    return value


def _differing(old: object, new: object, prefix: str = "") -> list[str]:
    """Which keys differ, each with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(old | new)
        return [line for key in keys for line in _differing(old.get(key), new.get(key), f"{prefix}{key}.")]
    if old == new:
        return []
    return [without_secrets(f"{prefix.rstrip('.')} was {json.dumps(old)}, now {json.dumps(new)}")]
