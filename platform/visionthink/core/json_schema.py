"""Check a tool call's arguments against the tool's own schema.

Rule: what a tool promises to the model in its schema is what it is held to, with one wording of each complaint for
every tool and every driver. Only the keywords that function schemas use are understood: ``type``, ``enum``,
``required``, ``properties``, ``items``, ``minItems``, ``maxItems``, ``minimum``, ``maximum``. Others are ignored.
"""

import json
import math
import re
from collections.abc import Mapping

from visionthink.core.json_value import Json, JsonObject

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def violation(value: Json, schema: JsonObject, path: str = "arguments") -> str | None:
    """First complaint about ``value``, or ``None`` when it fits ``schema``."""
    return (
        _type_violation(value, schema, path)
        or _enum_violation(value, schema, path)
        or _range_violation(value, schema, path)
        or _object_violation(value, schema, path)
        or _array_violation(value, schema, path)
    )


def quoted(text: str) -> str:
    """``text`` in quotes when it is a short plain word, else a neutral stand-in.

    Complaints are fed back to the model. A model's own text must not smuggle chat markers or an essay into them.
    """
    return json.dumps(text) if _PLAIN.fullmatch(text) else "of an unprintable or long name"


def _type_violation(value: Json, schema: JsonObject, path: str) -> str | None:
    want = schema.get("type")
    if not isinstance(want, str) or _is_of_type(value, want):
        return None
    return f"{path} must be of type {want}"


def _is_of_type(value: Json, want: str) -> bool:
    match want:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return _is_of_type(value, "integer") or (isinstance(value, float) and math.isfinite(value))
        case _:
            return True


def _enum_violation(value: Json, schema: JsonObject, path: str) -> str | None:
    choices = schema.get("enum")
    if not isinstance(choices, list) or value in choices:
        return None
    return f"{path} must be one of {json.dumps(choices)}"


def _range_violation(value: Json, schema: JsonObject, path: str) -> str | None:
    if not isinstance(value, int | float):
        return None
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(low, int | float) and value < low:
        return f"{path} must be at least {low}"
    if isinstance(high, int | float) and value > high:
        return f"{path} must be at most {high}"
    return None


def _object_violation(value: Json, schema: JsonObject, path: str) -> str | None:
    if not isinstance(value, dict):
        return None
    required = schema.get("required")
    for key in required if isinstance(required, list) else ():
        if isinstance(key, str) and key not in value:
            return f"{path}.{key} is missing"
    properties = schema.get("properties")
    for key, inner in properties.items() if isinstance(properties, Mapping) else ():
        if key in value and isinstance(inner, Mapping):
            complaint = violation(value[key], inner, f"{path}.{key}")
            if complaint is not None:
                return complaint
    return None


def _array_violation(value: Json, schema: JsonObject, path: str) -> str | None:
    if not isinstance(value, list):
        return None
    fewest, most = schema.get("minItems"), schema.get("maxItems")
    if (isinstance(fewest, int) and len(value) < fewest) or (isinstance(most, int) and len(value) > most):
        bounds = [f"at least {fewest}" if fewest is not None else "", f"at most {most}" if most is not None else ""]
        return f"{path} must hold {' and '.join(filter(None, bounds))} items"
    items = schema.get("items")
    if isinstance(items, Mapping):
        for index, item in enumerate(value):
            complaint = violation(item, items, f"{path}[{index}]")
            if complaint is not None:
                return complaint
    return None
