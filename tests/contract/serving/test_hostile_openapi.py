"""What the OpenAPI document allows and forbids, sent by schemathesis: no answer is other than the document says."""

import os
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok
from tests.contract.serving.served import app_of, twice

from visionthink.engines import ScriptedEngine

NUM_EXAMPLES: Final = int(os.environ.get("HOSTILE_EXAMPLES", "100"))
"""Of each path and method."""
SCHEMA: Final = schemathesis.openapi.from_asgi("/openapi.json", app_of(ScriptedEngine(twice)))
OPERATIONS: Final = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)}


def test_every_path_is_there() -> None:
    assert {"POST /v1/chat/completions", "GET /v1/models", "GET /metrics"} <= set(OPERATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_path_answers_as_its_document_says(label: str) -> None:
    send(label, GenerationMode.POSITIVE)


@pytest.mark.slow
def test_what_the_document_forbids_is_refused() -> None:
    send("POST /v1/chat/completions", GenerationMode.NEGATIVE)


def send(label: str, mode: GenerationMode) -> None:
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    @settings(max_examples=NUM_EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def answers(case: schemathesis.Case[Any]) -> None:
        # A shape may be right and make no sense, such as a conversation without a question: no schema can tell.
        case.call_and_validate(excluded_checks=[CHECKS.get_one("positive_data_acceptance")])  # type: ignore[list-item]

    answers()
