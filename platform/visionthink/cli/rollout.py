"""The commands `rollout ...`: a new version into use on a cluster, step by step, and back.

Rule: progress goes to standard error, the end to standard output. Each command may be killed and given again; it goes
on. A version that was rolled back by a rollout that somebody waits for is an error: exit code 1.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from visionthink.cli.settings import RUNS_DIR, Settings, takes_settings
from visionthink.config import RunConfig
from visionthink.core.json_value import Json
from visionthink.core.rollout import Phase
from visionthink.errors import ClusterError
from visionthink.rollout import Rollout, RolloutRecord
from visionthink.rollout.port import Look, RolloutCluster

app = typer.Typer(
    help="Bring a new version into use on a cluster, step by step, or the old one back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_OPTIONS: Final = ("config", "preset", "set_")

_Version = Annotated[str, typer.Argument(help="Number of the version in the registry; with --uri any name of yours.")]
_Uri = Annotated[
    str | None,
    typer.Option("--uri", help="Where the model lies, of a version that stands in no registry.", metavar="URI"),
]
_Again = Annotated[bool, typer.Option("--again", help="Try a version once more that was rolled back.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the end as JSON.")]
_Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Default: the pod's own cluster, or else yours.", metavar="FILE")
]
_Folder = Annotated[
    Path, typer.Option("--folder", help="Keeps the answers of the evaluation for a later try.", metavar="DIR")
]
_FOLDER: Final = RUNS_DIR / "rollout"


@app.callback()
def _group() -> None:
    """Bring a new version into use on a cluster, step by step, or the old one back."""


def start(
    settings: Settings,
    version: _Version,
    uri: _Uri = None,
    again: _Again = False,
    as_json: _Json = False,
    kubeconfig: _Kubeconfig = None,
    folder: _Folder = _FOLDER,
) -> None:
    """Roll VERSION out: dark, evaluated against the version in use, a rising share of the requests, in use."""
    from visionthink.rollout.opening import find_version

    config = settings.resolve()
    served = find_version(config, version, uri, env=os.environ, runs_dir=RUNS_DIR)
    record = _rollout(config, kubeconfig, folder, served.number).start(served, again=again)
    _show(record, as_json=as_json)
    _demand_promotion(record)


def status(settings: Settings, as_json: _Json = False, kubeconfig: _Kubeconfig = None) -> None:
    """Say where the last rollout is, and who gets requests."""
    look = _cluster(settings.resolve(), kubeconfig).look()
    if as_json:
        print(json.dumps(_status(look), indent=2))
    else:
        print("\n".join(_lines(look)))


def abort(
    settings: Settings, as_json: _Json = False, kubeconfig: _Kubeconfig = None, folder: _Folder = _FOLDER
) -> None:
    """End the rollout under way: the version in use gets everything back."""
    _show(_known(settings.resolve(), kubeconfig, folder).abort(), as_json=as_json)


def promote(
    settings: Settings, as_json: _Json = False, kubeconfig: _Kubeconfig = None, folder: _Folder = _FOLDER
) -> None:
    """Bring the canary into use now, without the rest of the shares."""
    record = _known(settings.resolve(), kubeconfig, folder).promote()
    _show(record, as_json=as_json)
    _demand_promotion(record)


def rollback(
    settings: Settings, as_json: _Json = False, kubeconfig: _Kubeconfig = None, folder: _Folder = _FOLDER
) -> None:
    """Bring the version from before the last promotion into use again, as soon as it runs."""
    record = _known(settings.resolve(), kubeconfig, folder).go_back()
    _show(record, as_json=as_json)
    _demand_promotion(record)


for _command in (start, status, abort, promote, rollback):
    app.command()(takes_settings(_command, only=_OPTIONS))


def _known(config: RunConfig, kubeconfig: Path | None, folder: Path) -> Rollout:
    """The driver of the rollout that is written down."""
    record = _cluster(config, kubeconfig).look().record
    return _rollout(config, kubeconfig, folder, record.version.number if record else None)


def _cluster(config: RunConfig, kubeconfig: Path | None) -> RolloutCluster:
    from visionthink.rollout.opening import open_cluster

    return open_cluster(config, kubeconfig)


def _rollout(config: RunConfig, kubeconfig: Path | None, folder: Path, number: str | None) -> Rollout:
    from visionthink.rollout.opening import open_cluster, open_registry, open_rollout

    cluster = open_cluster(config, kubeconfig)
    registry = open_registry(config, number, env=os.environ, runs_dir=RUNS_DIR)
    return open_rollout(config, cluster, registry, folder=folder, env=os.environ, say=_say)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _show(record: RolloutRecord, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(record.to_dict(), indent=2))
    else:
        print(_sentence(record))


def _demand_promotion(record: RolloutRecord) -> None:
    if record.state.phase is not Phase.PROMOTED:
        raise ClusterError(
            f"{record.version.label} was rolled back: {record.state.reason}; {record.incumbent.label} is in use",
            retryable=False,
        )


def _sentence(record: RolloutRecord) -> str:
    state = record.state
    share = f" at {state.percent} %" if state.phase is Phase.CANARY else ""
    why = f": {state.reason}" if state.reason else ""
    owed = "" if record.is_done else " (under way)"
    return f"{record.version.label}: {state.phase.value.replace('_', ' ')}{share}{owed}{why}"


def _status(look: Look) -> dict[str, Json]:
    return {
        "rollout": look.record.to_dict() if look.record else None,
        "in_use": {"name": look.stable.name, "uri": look.stable.uri, "runtime": look.stable.runtime},
        "canary": look.seen.canary,
        "shares": dict(look.seen.shares),
        "ready": dict(look.seen.num_ready),
        "trouble": look.trouble,
    }


def _lines(look: Look) -> list[str]:
    names = {"": look.stable.label, look.stable.name: look.stable.label}
    requests = ", ".join(f"{names.get(name, name)} {percent} %" for name, percent in look.seen.shares.items())
    ready = ", ".join(f"{names.get(name, name)} {count}" for name, count in look.seen.num_ready.items())
    return [
        _sentence(look.record) if look.record else "nothing was ever rolled out here",
        f"in use: {look.stable.label} ({look.stable.uri})",
        f"requests: {requests or 'no route of the platform'}",
        f"ready pods: {ready}",
        *([f"trouble: {look.trouble}"] if look.trouble else []),
    ]
