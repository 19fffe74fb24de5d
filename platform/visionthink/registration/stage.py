"""The stage `register`: the gate decides, the model is published, the alias moves if the gate says so.

Rule: every model is published and registered, also one that the gate refuses, so that it can be looked at; only the
alias says which one is in use. A published folder never changes: a stage that is started again adopts it. The alias
moves on from the version that the evaluation measured, and from no other: whoever registers an old run again finds
that its figures say nothing about the model that has come into use since. Where versions come into use by a rollout,
that moves the alias, and this stage none.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from visionthink.core.gate import ContenderRole, Decision, Figures, Unmeasured, decide_promotion
from visionthink.core.json_value import Json
from visionthink.errors import DataError, TrackingError
from visionthink.runs import StageResult, StageTask
from visionthink.runs.judged_model import model_to_judge
from visionthink.storage import atomic_dir, atomic_write_json, is_complete, open_store, publish_tree
from visionthink.tracking import RegisteredModel, TrackerRequiredError, keep_json

_CARD = "evaluation.json"
"""The file beside the weights with the figures that the gate decided by."""
_NEEDED: Final = (ContenderRole.CANDIDATE, ContenderRole.FULL_VIEW, ContenderRole.BASE)


def register_stage(task: StageTask) -> StageResult:
    """Decide, publish and register.

    Raises:
        UserError: the evaluation is not done, or its model is gone.
    """
    facts = task.folder.finished("evaluate").facts
    decision = decide(facts, task)
    model = task.folder.registered_model
    _publish(model, decision, facts, task)
    registered = _register(model, decision, task)
    is_promoted = decision.promote and _is_in_use(registered, task)
    decision_path = task.dir / "decision.json"
    keep_json(task.run, decision_path, decision.to_dict())
    for reason in decision.reasons:
        task.say(f"gate: {reason}")
    is_left = task.config.register_model.alias_moves_at == "rollout"
    is_owed = registered.version is None or (decision.promote and not is_promoted and not is_left)
    if is_owed:
        task.say(
            "register: the model is published, but the registry does not know it all: `visionthink register` again"
        )
    return StageResult(
        artifacts={"model": model, "decision": decision_path},
        facts={
            "promoted": is_promoted,
            "decision": decision.to_dict(),
            "name": registered.name,
            "version": registered.version,
            "owed": is_owed,
        },
    )


def decide(facts: Mapping[str, Json], task: StageTask) -> Decision:
    """Hold the candidate against the full view, the base model and the model in use.

    Raises:
        DataError: the evaluation's facts are not of this version.
    """
    gate = facts.get("gate")
    measured = gate.items() if isinstance(gate, dict) else ()
    figures = {role: _figures(one) for role, one in measured if isinstance(one, dict)}
    missing = [role.value for role in _NEEDED if role not in figures]
    if missing:
        raise DataError(
            f"the evaluation of run {task.folder.path} has no figures for the gate of {', '.join(missing)}; start a "
            "fresh run"
        )
    return decide_promotion(
        figures[ContenderRole.CANDIDATE],
        full_view=figures[ContenderRole.FULL_VIEW],
        base=figures[ContenderRole.BASE],
        incumbent=_incumbent(figures.get(ContenderRole.INCUMBENT), facts.get("incumbent"), task),
        rule=task.config.register_model.rule(),
    )


def _incumbent(figures: Figures | None, found: Json, task: StageTask) -> Figures | Unmeasured | None:
    """What the candidate has to stand against, as the alias stands now and as the evaluation found it."""
    settings = task.config.register_model
    try:
        current = task.registry.find(settings.name, settings.alias)
    except TrackerRequiredError:
        raise
    except TrackingError as error:
        return Unmeasured(reason=f"the registry cannot be asked which model is in use ({error})")
    if current is None:
        return None
    match found:
        case {"state": str() as state, "version": str() | None as version, "reason": str() as reason}:
            # Only this run moved the alias since: what it was measured against is what it replaced.
            is_own = current.run_id == task.folder.run_id
            if current.version != version and not is_own:
                return _moved(current, version, task)
            if state == "unmeasured":
                return None if is_own else Unmeasured(reason=reason)
            return figures
        case _:
            raise DataError(
                f"the evaluation of run {task.folder.path} does not say which model was in use, but {found!r}; "
                "start a fresh run"
            )


def _moved(current: RegisteredModel, version: str | None, task: StageTask) -> Unmeasured:
    before = "there was none" if version is None else f"it was version {version}"
    return Unmeasured(
        reason=f"version {current.version} is in use now ({task.config.register_model.alias}), and {before} when run "
        f"{task.folder.run_id} was evaluated; judge its model again, in a run of its own, with `visionthink evaluate "
        f"--model {task.folder.registered_model}`, and register that run"
    )


def _figures(values: Mapping[str, object]) -> Figures:
    return Figures(**values)  # type: ignore[arg-type]


def _publish(model: Path, decision: Decision, facts: Mapping[str, Json], task: StageTask) -> None:
    """Copy the model with its figures; the manifest comes last."""
    if not is_complete(model):
        with atomic_dir(model) as new:
            shutil.copytree(
                model_to_judge(task), new, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json")
            )
            atomic_write_json(
                new / _CARD, {"run_id": task.folder.run_id, "figures": facts.get("rows"), "gate": decision.to_dict()}
            )
    place = task.config.register_model.store
    if place is not None:
        publish_tree(open_store(place), _prefix(task), model)


def _register(model: Path, decision: Decision, task: StageTask) -> RegisteredModel:
    settings = task.config.register_model
    source: Path | str = model if settings.store is None else f"{settings.store.rstrip('/')}/{_prefix(task)}"
    tags = {"promoted": str(decision.promote).lower(), "config": task.config.digest()}
    registered = task.registry.register(settings.name, source, task.spec, tags=tags)
    if decision.promote and settings.alias_moves_at == "register":
        task.registry.set_alias(registered, settings.alias)
    return registered


def _is_in_use(registered: RegisteredModel, task: StageTask) -> bool:
    """Whether the alias stands at this version: a registry that was not there, or is not now, has moved nothing."""
    if registered.version is None:
        return False
    try:
        found = task.registry.find(registered.name, task.config.register_model.alias)
    except TrackerRequiredError:
        raise
    except TrackingError as error:
        task.say(f"register: whether version {registered.version} is in use cannot be told: {error}")
        return False
    return found is not None and found.version == registered.version


def _prefix(task: StageTask) -> str:
    return f"{task.config.register_model.name}/{task.folder.run_id}"
