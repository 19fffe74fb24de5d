"""The model in use: which version the registry's alias stands at, and its files, to be measured beside the candidate.

Rule: a registry that cannot be asked is not a registry without a model in use, and a model that cannot be had is not
beaten. What was found is kept for later tries of the same stage: a champion that moves meanwhile does not move the
figures that are half measured.
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from visionthink.core.json_value import Json
from visionthink.errors import DataError, StorageError, TrackingError, UserError
from visionthink.model.bundled import check_model
from visionthink.model.content import content_of
from visionthink.runs import StageTask
from visionthink.storage import atomic_write_json, fetch_tree, open_store
from visionthink.storage.json_file import read_json
from visionthink.tracking import RegisteredModel, TrackerRequiredError

State: TypeAlias = Literal["none", "same", "measured", "unmeasured"]
"""none: no model is in use. same: the candidate itself is. measured: it stands beside the candidate. unmeasured: it is
there and does not, or nobody knows whether there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """What is known of the model in use."""

    state: State
    version: str | None = None
    """Where the alias stood; None where there is none or where nobody could be asked."""
    source: str = ""
    """Where the registry says that its files are."""
    reason: str = ""
    """Why it is not measured."""

    def to_dict(self) -> dict[str, Json]:
        """The finding as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Json) -> "Incumbent":
        """Read what `to_dict` made.

        Raises:
            DataError: it is something else.
        """
        match value:
            case {
                "state": "none" | "same" | "measured" | "unmeasured" as state,
                "version": str() | None as version,
                "source": str() as source,
                "reason": str() as reason,
            }:
                return cls(state=state, version=version, source=source, reason=reason)
            case _:
                raise DataError(f"not a record of the model in use: {str(value)[:200]}; start a fresh run")

    def unmeasured(self, reason: str) -> "Incumbent":
        """The same model, which could not be had."""
        return Incumbent(state="unmeasured", version=self.version, source=self.source, reason=reason)


def find_incumbent(task: StageTask, candidate: Path) -> tuple[Incumbent, Path | None]:
    """What is in use, and its folder where it is to be measured.

    Raises:
        TrackerRequiredError: the registry cannot be asked, and the settings forbid to go on without it.
    """
    kept = task.dir / "incumbent.json"
    if kept.exists():
        found = Incumbent.from_dict(read_json(kept))
    else:
        asked = _ask(task)
        if isinstance(asked, Incumbent):
            return _told(asked, task), None
        if asked is None or asked.run_id == task.folder.run_id:
            found = Incumbent(
                state="none" if asked is None else "same", version=None if asked is None else asked.version
            )
        else:
            found = Incumbent(state="measured", version=asked.version, source=asked.source)
    folder: Path | None = None
    if found.state == "measured":
        try:
            folder = _fetched(found, task)
        except (UserError, TrackingError, StorageError, OSError) as error:
            return _told(found.unmeasured(f"version {found.version} cannot be fetched: {error}"), task), None
        if content_of(folder) == content_of(candidate):
            found, folder = Incumbent(state="same", version=found.version, source=found.source), None
    atomic_write_json(kept, found.to_dict())
    return _told(found, task), folder


def forget_incumbent(task: StageTask) -> None:
    """Remove the fetched files; what they came to is in the result."""
    for folder in (_folder(task), task.dir / "incumbent.part"):
        shutil.rmtree(folder, ignore_errors=True)


def _told(found: Incumbent, task: StageTask) -> Incumbent:
    alias = task.config.register_model.alias
    match found.state:
        case "same":
            task.say(f"evaluate: the model in use ({alias}, version {found.version}) is the one that is judged")
        case "measured":
            task.say(f"evaluate: the model in use ({alias}, version {found.version}) answers the same questions")
        case "unmeasured":
            task.say(f"evaluate: the model in use ({alias}) is not measured: {found.reason}")
        case "none":
            pass
    return found


def _ask(task: StageTask) -> RegisteredModel | Incumbent | None:
    """The version at the alias, None where there is none; an `Incumbent` where nobody could be asked."""
    settings = task.config.register_model
    try:
        return task.registry.find(settings.name, settings.alias)
    except TrackerRequiredError:
        raise
    except TrackingError as error:
        return Incumbent(state="unmeasured", reason=f"the registry cannot be asked: {error}")


def _folder(task: StageTask) -> Path:
    return task.dir / "incumbent"


def _fetched(found: Incumbent, task: StageTask) -> Path:
    """The files of the model in use; what a killed try left half-fetched is fetched again."""
    folder, part = _folder(task), task.dir / "incumbent.part"
    if not folder.exists():
        shutil.rmtree(part, ignore_errors=True)
        fetch = _from_store if "://" in found.source else _from_registry
        fetch(found, part, task).rename(folder)
    check_model(folder)
    return folder


def _from_registry(found: Incumbent, target: Path, task: StageTask) -> Path:
    model = RegisteredModel(name=task.config.register_model.name, version=found.version, source=found.source)
    return task.registry.fetch(model, target)


def _from_store(found: Incumbent, target: Path, task: StageTask) -> Path:
    place, _, prefix = found.source.rpartition("/")
    fetch_tree(open_store(place), prefix, target)
    return target
