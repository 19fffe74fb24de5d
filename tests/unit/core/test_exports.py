"""The public face of the core: complete, sorted, and the same objects as in its modules."""

import importlib
import pkgutil
from collections.abc import Iterator

import visionthink.core

# Modules whose names other packages use through the module, not through the package.
INTERNAL = {"excerpt", "json_schema", "rollout", "rollout_gate", "rollout_step", "slo"}


def _defined() -> Iterator[str]:
    """Public names that the core's modules define themselves."""
    for module in pkgutil.iter_modules(visionthink.core.__path__):
        if module.name in INTERNAL:
            continue
        namespace = vars(importlib.import_module(f"visionthink.core.{module.name}"))
        for name, value in namespace.items():
            if not name.startswith("_") and getattr(value, "__module__", None) == f"visionthink.core.{module.name}":
                yield name


def test_exports_are_sorted_and_unique() -> None:
    exported = visionthink.core.__all__
    constants = [name for name in exported if name.isupper()]
    classes = [name for name in exported if not name.isupper() and name[0].isupper()]
    functions = [name for name in exported if name[0].islower()]
    assert exported == [*sorted(constants), *sorted(classes), *sorted(functions)]
    assert len(exported) == len(set(exported))


def test_every_export_exists() -> None:
    assert [name for name in visionthink.core.__all__ if not hasattr(visionthink.core, name)] == []


def test_every_public_definition_is_exported() -> None:
    known_elsewhere = {"decide", "message_to_dict", "view_to_dict", "rendered_tools"}
    assert set(_defined()) - known_elsewhere - set(visionthink.core.__all__) == set()


def test_label_decision_is_exported_under_a_name_that_says_what_it_decides() -> None:
    assert visionthink.core.decide_label is importlib.import_module("visionthink.core.label").decide
