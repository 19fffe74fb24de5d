"""The settings as a parameter of the pipeline: a text that Kubeflow keeps and shows, and that nothing replaces.

Rule: what passes through Kubeflow holds no password and no key; a step takes them from the run's own folder where the
run was begun there. And it holds nothing that Kubeflow, Argo or kfp.local would take for a word of theirs and replace
(`{{workflow.name}}`, say): JSON can write any character in another way.
"""

import json
import re
from pathlib import Path
from typing import Final

from visionthink.core.json_value import Json
from visionthink.network import without_secrets
from visionthink.runs.folder import RunFolder

_WORDS: Final = (
    # A placeholder of Kubeflow or Argo; in JSON two braces stand side by side within a string only.
    ("{{", "{\\u007b"),
    # kfp.local: the place of a shared volume, and the interpreter, which it replaces in arguments too.
    ("/kfp-workspace", "/\\u006bfp-workspace"),
    ("python3", "p\\u0079thon3"),
)
_PLAIN: Final = re.compile(r"[\w./ +,:=@~-]+", re.ASCII)


def to_parameter(config_json: str, *, indent: int | None = None) -> str:
    """The settings as they may be shown, in JSON that means the same and that nobody replaces anything in."""
    text = json.dumps(_shown(json.loads(config_json)), indent=indent)
    for word, other in _WORDS:
        text = text.replace(word, other)
    return text


def whole_config(parameter: str, folder: Path) -> str:
    """The settings with their passwords, where the run in `folder` was begun with settings that look the same."""
    try:
        own = json.loads(RunFolder(folder).config_path.read_text(encoding="utf-8"))
        is_same = _shown(own) == json.loads(parameter)
    except (OSError, ValueError):  # none was begun there, or the stage will say what is wrong with its settings
        return parameter
    return json.dumps(own) if is_same else parameter


def _shown(value: Json) -> Json:
    match value:
        case str():
            return without_secrets(value)
        case list():
            return [_shown(item) for item in value]
        case dict():
            return {key: _shown(item) for key, item in value.items()}
        case _:
            return value


def is_plain(path: Path) -> bool:
    """Whether nothing in a path would be replaced on its way to a step."""
    return bool(_PLAIN.fullmatch(str(path))) and not any(word in str(path) for word, _ in _WORDS)
