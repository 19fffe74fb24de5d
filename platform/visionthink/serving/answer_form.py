"""What a request wants its answer to look like: JSON of a schema, a pattern, one of several texts.

Rule: OpenAI's `response_format`, vLLM's `structured_outputs` and its older `guided_*` fields say the same thing, so
they are read into one; a request says it once.
"""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from visionthink.engines import AnswerForm
from visionthink.serving.api_error import bad_value


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class JsonSchemaFormat(_Form):
    """A schema under a name."""

    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None
    """The schema holds to the letter, whatever stands here."""


class ResponseFormat(_Form):
    """OpenAI's way to say it."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class StructuredOutputs(_Form):
    """vLLM's way to say it; one of the four."""

    json_: Any = Field(default=None, alias="json")
    """A schema, as an object or as its text."""
    regex: str | None = None
    choice: list[str] | None = Field(default=None, min_length=1)
    grammar: str | None = None
    """In EBNF."""


class FormFields(BaseModel):
    """The fields of a request that say it."""

    response_format: ResponseFormat | None = None
    """What the final answer must look like. How the model looks at the picture is its own business before that."""
    structured_outputs: StructuredOutputs | None = None
    """The same in vLLM's words."""
    guided_json: Any = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = Field(default=None, min_length=1)
    guided_grammar: str | None = None

    def form(self) -> tuple[str, AnswerForm] | None:
        """The field that says what the answer must look like, and what it says.

        Raises:
            ApiError: 400, several say it, or what is said is no schema.
        """
        own = self.structured_outputs or StructuredOutputs()
        found = [
            *self._response_format(),
            *_forms("structured_outputs", own.json_, own.regex, own.choice, own.grammar),
            *_forms("guided_{}", self.guided_json, self.guided_regex, self.guided_choice, self.guided_grammar),
        ]
        if len(found) > 1:
            (one, _), (other, _), *_ = found
            raise bad_value(f"{one} and {other} both say what the answer must look like; send one", param=other)
        return found[0] if found else None

    def _response_format(self) -> list[tuple[str, AnswerForm]]:
        asked = self.response_format
        if asked is None or asked.type == "text":
            return []
        if asked.type == "json_object":
            return [("response_format", AnswerForm(kind="json_object"))]
        if asked.json_schema is None:
            raise bad_value(
                'response_format has no schema; send {"type": "json_schema", "json_schema": {"name": ..., "schema": '
                "{...}}}",
                param="response_format.json_schema",
            )
        return [("response_format", AnswerForm(kind="json", rule=json.dumps(asked.json_schema.schema_)))]


def _forms(
    field: str, schema: Any, regex: str | None, choice: list[str] | None, grammar: str | None
) -> list[tuple[str, AnswerForm]]:
    """What is given of the four; `field` may hold the kind's name."""
    found: list[AnswerForm] = []
    if schema is not None:
        found.append(AnswerForm(kind="json", rule=_schema_text(schema, field.format("json"))))
    if regex is not None:
        found.append(AnswerForm(kind="regex", rule=regex))
    if choice is not None:
        found.append(AnswerForm(kind="choice", rule=json.dumps(choice)))
    if grammar is not None:
        found.append(AnswerForm(kind="grammar", rule=grammar))
    return [(field.format(form.kind), form) for form in found]


def _schema_text(schema: Any, field: str) -> str:
    try:
        schema = json.loads(schema) if isinstance(schema, str) else schema
    except ValueError:
        schema = None
    if not isinstance(schema, dict):
        raise bad_value(f"{field} holds no JSON schema; send an object", param=field)
    return json.dumps(schema)
