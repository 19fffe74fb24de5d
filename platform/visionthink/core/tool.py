"""The tools that a model may call to see more of the picture.

Rule: a tool turns arguments into a *view*; it opens no picture and writes no text. That is all an episode needs, so a
crop tool or a zoom factor joins by being put into a ``ToolBox``, and nothing else changes. Whatever is wrong with a
call ends in one ``ToolArgumentError``, whose message is fed back to the model word for word in every driver.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from visionthink.core.geometry import Size, View, ViewRule, full_view
from visionthink.core.json_schema import quoted, violation
from visionthink.core.json_value import Json, JsonObject
from visionthink.errors import ConfigError, DataError, ToolArgumentError

_MAX_COMPLAINT_CHARS = 300
"""A complaint may quote numbers of the model's choosing, and becomes part of the next prompt."""


class Tool(Protocol):
    """Something a model may call."""

    @property
    def name(self) -> str:
        """Function name that the model writes."""
        ...

    def schema(self) -> dict[str, Json]:
        """Function description in OpenAI's shape: ``{"type": "function", "function": {"name", "parameters", ...}}``."""
        ...

    def view(self, arguments: JsonObject, original: Size, rule: ViewRule) -> View:
        """View to show next. ``arguments`` already fit the schema; ``original`` is the oriented picture.

        Raises:
            ToolArgumentError: the arguments make no sense for this picture.
            DataError: from geometry; the tool box turns it into a ToolArgumentError.
        """
        ...


class ResizeImage:
    """The paper's only tool: the whole picture again, at full size.

    Source: VisionThink table 4. Key order and texts are those that the released weights were trained with.
    """

    @property
    def name(self) -> str:
        """The released name."""
        return "resize_image"

    def schema(self) -> dict[str, Json]:
        """The released function description."""
        action: dict[str, Json] = {
            "description": (
                "The action to perform. The available actions are:\n* `resize`: Double the resolution of the current "
                "image. You should only use this tool if you are unable to obtain the critical information needed to "
                "answer the question from the current resolution."
            ),
            "enum": ["resize"],
            "type": "string",
        }
        return {
            "type": "function",
            "function": {
                "name_for_human": "resize_image",
                "name": self.name,
                "description": "Resize the image resolution.",
                "parameters": {"properties": {"action": action}, "required": ["action"], "type": "object"},
                "args_format": "Format the arguments as a JSON object.",
            },
        }

    def view(self, arguments: JsonObject, original: Size, rule: ViewRule) -> View:
        """The full view, cut from the original and not scaled up from the first look."""
        del arguments  # The schema leaves one choice.
        return full_view(original, rule)


class ToolBox:
    """The tools of one episode, in the order in which the model is told of them."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        """Register ``tools``.

        Raises:
            ConfigError: two tools have one name.
        """
        by_name: dict[str, Tool] = {}
        for tool in tools:
            if tool.name in by_name:
                raise ConfigError(f"two tools are named {tool.name!r}; rename one")
            by_name[tool.name] = tool
        self._tools: Mapping[str, Tool] = by_name

    def __iter__(self) -> Iterator[Tool]:
        """Tools in order of registration."""
        return iter(self._tools.values())

    def __len__(self) -> int:
        """Number of tools."""
        return len(self._tools)

    @property
    def names(self) -> tuple[str, ...]:
        """Tool names in order of registration."""
        return tuple(self._tools)

    def schemas(self) -> list[dict[str, Json]]:
        """Function descriptions, for a chat template or an OpenAI request."""
        return [tool.schema() for tool in self]

    def check(self, name: str, arguments: JsonObject) -> None:
        """Say whether a call names a known tool and fits its schema.

        Raises:
            ToolArgumentError: it does not; the message says which part.
        """
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(json.dumps(known) for known in self._tools) or "none"
            raise ToolArgumentError(f"there is no function {quoted(name)}, available: {known}")
        function = tool.schema().get("function")
        parameters = function.get("parameters") if isinstance(function, dict) else None
        complaint = violation(dict(arguments), parameters) if isinstance(parameters, dict) else None
        if complaint is not None:
            raise ToolArgumentError(complaint)

    def view(self, name: str, arguments: JsonObject, original: Size, rule: ViewRule) -> View:
        """View that a call asks for.

        Raises:
            ToolArgumentError: unknown name, arguments off the schema, or a view that this picture does not have.
        """
        self.check(name, arguments)
        try:
            return self._tools[name].view(arguments, original, rule)
        except DataError as error:
            raise ToolArgumentError(str(error)[:_MAX_COMPLAINT_CHARS]) from error
