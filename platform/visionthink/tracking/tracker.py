"""What a stage needs from an experiment tracker, and nothing more.

Rule: a stage sees these two Protocols only. Every implementation refuses a metric that `visionthink.metrics` does not
name, gives a stage that is started again the run of its first try, and logs no step of a metric twice; one contract
test (tests/contract/tracking) holds them all to it.
"""

import json
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from visionthink.errors import DataError, UserError
from visionthink.network import without_secrets

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class RunStatus(StrEnum):
    """How a run ended; the names are MLflow's."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """Which run a stage wants: the pair (`run_id`, `stage`) names it for good, whatever process asks."""

    run_id: str
    """The pipeline run, the same for all of its stages."""
    stage: str
    tags: Mapping[str, str] = field(default_factory=dict)
    closes_pipeline: bool = False
    """True for the last stage: when it ends well, the pipeline's run ends too."""
    below: str | None = None
    """For a part of a stage with a run of its own, the stage whose run it hangs below; it closes nothing above it."""

    def __post_init__(self) -> None:
        """Refuse what can't stand in a query, a file name and a tag alike."""
        for name in (self.run_id, self.stage, *([] if self.below is None else [self.below])):
            if not _NAME.fullmatch(name):
                raise UserError(f"{name!r} cannot name a run; use letters, digits and . _ - (at most 200)")


class TrackedRun(Protocol):
    """The open run of one stage."""

    def log_params(self, params: Mapping[str, str]) -> None:
        """Record flat parameters (`flatten`); a name that the run already holds keeps its first value."""

    def log_metrics(self, values: Mapping[str, float], *, step: int | None = None) -> None:
        """Record numbers at a step (None: final numbers); steps that the run already holds are skipped.

        Raises:
            UserError: a key that `visionthink.metrics` does not know.
        """

    def log_artifact(self, path: Path, *, folder: str = "") -> None:
        """Keep a copy of a file, or of a folder under its own name, in the run's `folder`.

        Raises:
            DataError: nothing is there to keep.
        """

    def last_step(self, key: str) -> int | None:
        """Return the highest step that the run holds of a metric, None when it holds none or cannot tell."""

    def end(self, status: RunStatus) -> None:
        """Close the run; a second call changes nothing."""


class Tracker(Protocol):
    """Where runs are recorded."""

    def start_run(self, spec: RunSpec) -> TrackedRun:
        """Open the run of a stage: a new one, or the one that an earlier try of the same stage left.

        Raises:
            TrackingError: the tracker cannot be reached or refuses.
        """

    def catch_up(self, run_id: str) -> None:
        """Record what the stages of a pipeline run could not record when they ran; nobody may be working on them."""


@contextmanager
def tracked(tracker: Tracker, spec: RunSpec) -> Generator[TrackedRun]:
    """Open a run and close it with the status that the body earned; the body's exception goes on."""
    run = tracker.start_run(spec)
    try:
        yield run
    except (KeyboardInterrupt, SystemExit):
        run.end(RunStatus.KILLED)
        raise
    except BaseException:
        run.end(RunStatus.FAILED)
        raise
    run.end(RunStatus.FINISHED)


def flatten(config: Mapping[str, object], *, prefix: str = "") -> dict[str, str]:
    """Return nested settings as flat parameters: `{"train": {"lr": 1}}` becomes `{"train.lr": "1"}`, lists are JSON.

    They are made to be shown, so addresses come without their passwords and keys.
    """
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, prefix=f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            flat[f"{prefix}{name}"] = without_secrets(text)
    return flat


def require_artifact(path: Path) -> None:
    """Return when something is at `path`.

    Raises:
        DataError: nothing is, so there is nothing to keep.
    """
    if not path.exists():
        raise DataError(f"artifact {path} does not exist; write it before it is logged")
