"""The command `config`: every setting with its value and its meaning.

Rule: what is printed may be shown to anybody and handed to Kubeflow, so passwords and keys are left out, with a word
that they are.
"""

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer
from pydantic import BaseModel

from visionthink.cli.settings import Settings, takes_settings
from visionthink.config import OPERATIONAL, RunConfig
from visionthink.network import without_secrets

_LEFT_OUT: Final = (
    "note: passwords and keys are left out of the addresses; MLflow takes them from MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD, a judge from OPENAI_API_KEY"
)

_Json = Annotated[bool, typer.Option("--json", help="As JSON, without the meanings.")]
_Schema = Annotated[bool, typer.Option("--schema", help="The JSON schema of all settings instead.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(takes_settings(config))


def config(settings: Settings, as_json: _Json = False, schema: _Schema = False) -> None:
    """Print every setting as it would be used, with its meaning: a TOML file to start from."""
    if schema:
        print(json.dumps(RunConfig.model_json_schema(), indent=2))
        return
    from visionthink.pipelines.parameter import to_parameter

    resolved = settings.resolve()
    as_used = resolved.model_dump_json()
    if without_secrets(as_used) != as_used:
        print(_LEFT_OUT, file=sys.stderr)
    print(to_parameter(as_used, indent=2) if as_json else "\n".join(to_toml(resolved)))


def to_toml(section: BaseModel, name: str = "") -> Iterator[str]:
    """Lines of TOML with the meaning of each key above it; a key without a value is commented out."""
    values: dict[str, Any] = section.model_dump(mode="json")
    if name:
        yield from ("", f"[{name}]")
    inner = []
    for key, info in type(section).model_fields.items():
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            inner.append((key, value))
            continue
        yield from (f"# {line}" for line in (info.description or "").splitlines())
        if OPERATIONAL in info.metadata:
            yield "# (operational: may be changed when a run is gone on with)"
        yield f"# {key} =" if value is None else without_secrets(f"{key} = {json.dumps(values[key])}")
    for key, value in inner:
        yield from to_toml(value, f"{name}.{key}" if name else key)
