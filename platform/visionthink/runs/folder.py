"""The layout of a run's folder; the one place that names its files.

runs/
├── latest -> <run id>
├── mlflow.db, mlartifacts/        what all runs recorded
└── <run id>/
    ├── config.json                written first: the settings in use; what a run is by (its identity) never changes
    ├── changes.jsonl              the operational settings that were changed in mid-run, one JSON object a line
    ├── label/ train/ evaluate/ register/ serve/
    │   ├── result.json            written last: a stage that has one is done
    │   ├── error.json             why the last try failed: see failure.py
    │   └── seconds.json           wall time, summed over all tries
    ├── judge/calls.jsonl          what a language model was asked to judge, and said, unless `judge.cache` names a file
    ├── missed/                    what the tracker is still to be sent, while there is anything
    ├── report.html
    └── summary.json               written last: a run that has one is done
"""

import contextlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from visionthink.config import RunConfig, parse_config
from visionthink.errors import ConfigError, DataError
from visionthink.network import without_secrets
from visionthink.runs.result import StageResult
from visionthink.storage import atomic_write, atomic_write_json
from visionthink.storage.json_file import read_json
from visionthink.storage.key import TEMPORARY_PREFIX
from visionthink.tracking.tracker import RunSpec

Stage: TypeAlias = Literal["label", "train", "evaluate", "register", "serve"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
"""In the order in which they run."""
LATEST: Final = "latest"
"""The link to the run that was begun last."""
_RESERVED: Final = frozenset({LATEST, "missed", "mlartifacts", "mlflow.db"})
"""What lies beside the runs."""


def check_run_id(run_id: str) -> None:
    """Refuse a name that a folder could have and a tracker could not, or that something else beside the runs has.

    Raises:
        UserError: saying which names can be had.
    """
    if run_id in _RESERVED:
        raise ConfigError(f"{run_id!r} cannot name a run: something else beside the runs is called so; choose another")
    RunSpec(run_id=run_id, stage=STAGES[0])


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
    def judge_calls_path(self) -> Path:
        """What a language model was asked to judge, and what it said."""
        return self.path / "judge" / "calls.jsonl"

    @property
    def dataset_path(self) -> Path:
        """Labelled samples to train on."""
        return self.stage_dir("label") / "dataset.parquet"

    @property
    def forecast_path(self) -> Path:
        """How likely a model that is trained on these labels is to call; not there where they do not teach it."""
        return self.stage_dir("label") / "first_look.json"

    def stage_dir(self, stage: Stage) -> Path:
        """Everything that a stage leaves."""
        return self.path / stage

    def begin(self, config: RunConfig) -> tuple[str, ...]:
        """Keep the settings of a new run, or check those of one that is gone on with.

        Operational settings may differ: they are in use from now on, `changes.jsonl` keeps what they were, and a line
        for each is returned.

        Raises:
            UserError: the run was begun with other settings, or no run can have this name.
        """
        check_run_id(self.run_id)
        if not self.config_path.exists():
            atomic_write_json(self.config_path, config.model_dump(mode="json"))
            return ()
        begun = self.config()
        if differing := _differing(begun.identity(), config.identity()):
            raise ConfigError(
                f"run {self.path} was begun with other settings: {', '.join(map(_line, differing))}. A run never "
                "changes what its results depend on: leave them out to go on with it, or begin a new run with "
                "`visionthink label` or `visionthink run`"
            )
        if changed := _differing(begun.model_dump(mode="json"), config.model_dump(mode="json")):
            self._keep_changes(changed)
            atomic_write_json(self.config_path, config.model_dump(mode="json"))
        return tuple(map(_line, changed))

    def _keep_changes(self, changed: "Sequence[_Change]") -> None:
        path = self.path / "changes.jsonl"
        earlier = path.read_text(encoding="utf-8") if path.exists() else ""
        line = json.dumps({key: {"was": was, "now": now} for key, was, now in changed}) + "\n"
        if not earlier.endswith(line):  # a kill between the two files: it is told once all the same
            atomic_write(path, (earlier + line).encode())

    def config(self) -> RunConfig:
        """The settings of the run.

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
        return StageResult.from_dict(read_json(self._result_path(stage)), self.path) if self.is_done(stage) else None

    def is_done(self, stage: Stage) -> bool:
        """Whether a stage has left its result."""
        return self._result_path(stage).exists()

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


class _Change(NamedTuple):
    key: str
    was: object
    now: object


def _line(change: _Change) -> str:
    return without_secrets(f"{change.key} was {json.dumps(change.was)}, now {json.dumps(change.now)}")


def _differing(old: object, new: object, prefix: str = "") -> list[_Change]:
    """Which keys differ, each with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(old | new)
        return [change for key in keys for change in _differing(old.get(key), new.get(key), f"{prefix}{key}.")]
    return [] if old == new else [_Change(prefix.rstrip("."), old, new)]
