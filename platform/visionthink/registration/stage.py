"""The stage `register`: the gate decides, the model is published, the alias moves if the gate says so.

Rule: every model is published and registered, also one that the gate refuses, so that it can be looked at; only the
alias says which one is in use. A published folder never changes: a stage that is started again adopts it.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from visionthink.core.gate import Decision, Figures, decide_promotion
from visionthink.core.json_value import Json
from visionthink.errors import DataError
from visionthink.evaluation.stage import model_to_judge
from visionthink.report.record import Row
from visionthink.runs import StageResult, StageTask
from visionthink.storage import atomic_dir, atomic_write_json, is_complete, open_store, publish_tree
from visionthink.tracking import RegisteredModel, keep_json

_CARD = "evaluation.json"
"""The file beside the weights with the figures that the gate decided by."""


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
    is_owed = registered.version is None or (decision.promote and not is_promoted)
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
    """Hold the trained model against the base model.

    Raises:
        DataError: the evaluation's facts are not of this version.
    """
    match facts.get("gate"):
        case {Row.TRAINED: dict() as trained, Row.ALWAYS_HIGH: dict() as high, Row.BASE: dict() as base}:
            return decide_promotion(
                _figures(trained),
                full_view=_figures(high),
                incumbent=_figures(base),
                rule=task.config.register_model.rule(),
            )
        case other:
            raise DataError(f"the evaluation of run {task.folder.path} has no figures for the gate, but {other!r}")


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
    if decision.promote:
        task.registry.set_alias(registered, settings.alias)
    return registered


def _is_in_use(registered: RegisteredModel, task: StageTask) -> bool:
    """Whether the alias stands at this version: a registry that was not there has moved nothing."""
    if registered.version is None:
        return False
    found = task.registry.find(registered.name, task.config.register_model.alias)
    return found is not None and found.version == registered.version


def _prefix(task: StageTask) -> str:
    return f"{task.config.register_model.name}/{task.folder.run_id}"
