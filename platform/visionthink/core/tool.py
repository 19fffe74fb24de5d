"""The tools that a model may call to see more of the picture.

Rule: a tool turns arguments into a *view*, and may have words of its own for showing it; it opens no picture. That is
all an episode needs, so a tool joins by being put into a ``ToolBox``, and nothing else changes. Whatever is wrong with
a call ends in one ``ToolArgumentError``, whose message is fed back to the model word for word in every driver.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from visionthink.core.geometry import Size, View, ViewRule, full_view
from visionthink.core.json_schema import quoted, violation
from visionthink.core.json_value import Json, JsonObject
from visionthink.core.message import IMAGE_MARKER
from visionthink.errors import ConfigError, DataError, EpisodeError, ToolArgumentError

_MAX_COMPLAINT_CHARS = 300
"""A complaint may quote numbers of the model's choosing, and becomes part of the next prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What has been looked at when a tool is called about a picture."""

    original: Size
    """The picture with its EXIF orientation applied."""
    rule: ViewRule
    views: tuple[View, ...]
    """Everything that the model was shown so far, the first view included, in order; of other pictures too."""
    picture: int = 0
    """Which of the question's pictures it is, from 0."""

    def __post_init__(self) -> None:
        """Refuse a look at nothing: an episode begins with a view."""
        if not self.views:
            raise EpisodeError("a tool was called before the first view was shown; start the episode first")


class Tool(Protocol):
    """Something a model may call."""

    @property
    def name(self) -> str:
        """Function name that the model writes."""
        ...

    @property
    def told(self) -> str | None:
        """The tool's own words for the view it gave, for a protocol's ``tool_frame``.

        They hold ``<image>`` once, and may hold ``{number}``, ``{width}`` and ``{height}``: which of the views shown
        it is, from 1, and its sides in pixels. ``None`` leaves the words to the protocol's ``tool_result``.
        """
        ...

    def schema(self) -> dict[str, Json]:
        """Function description in OpenAI's shape: ``{"type": "function", "function": {"name", "parameters", ...}}``."""
        ...

    def view(self, arguments: JsonObject, look: Look) -> View:
        """View to show next. ``arguments`` already fit the schema.

        Coordinates in arguments, and in complaints, are in the pixels of a view that the model saw.

        Raises:
            ToolArgumentError: the arguments make no sense for this picture, or for what was shown of it.
            DataError: from geometry; the tool box turns it into a ToolArgumentError.
        """
        ...


@runtime_checkable
class ChoosesPicture(Protocol):
    """A tool whose arguments say which picture they are about. A call of any other one is about all of them."""

    def picture(self, arguments: JsonObject, views: Sequence[View]) -> int:
        """The picture's number, from 0; ``views`` are those of ``Look``, and ``arguments`` fit the schema.

        Raises:
            ToolArgumentError: they point to nothing.
        """
        ...


class ResizeImage:
    """The paper's only tool: the whole picture again, at full size.

    Calling it again shows the full view again: the released rollout does, and the weights were trained with that.
    Source: VisionThink table 4. Key order and texts are those that the released weights were trained with.
    """

    @property
    def name(self) -> str:
        """The released name."""
        return "resize_image"

    @property
    def told(self) -> None:
        """The protocols' own ``tool_result`` texts speak of this tool."""
        return

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

    def view(self, arguments: JsonObject, look: Look) -> View:
        """The full view, cut from the original and not scaled up from the first look."""
        del arguments  # The schema leaves one choice.
        return full_view(look.original, look.rule)


class ToolBox:
    """The tools of one episode, in the order in which the model is told of them."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        """Register ``tools``.

        Raises:
            ConfigError: two tools have one name, or a tool's own words would not show its view.
        """
        by_name: dict[str, Tool] = {}
        for tool in tools:
            if tool.told is not None and tool.told.count(IMAGE_MARKER) != 1:
                raise ConfigError(
                    f"tool {tool.name!r} must tell of its view with {IMAGE_MARKER} once, not {tool.told!r}"
                )
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

    def told(self, name: str) -> str | None:
        """The tool's own words for the view that a call of it was granted; see ``Tool``."""
        return self._tools[name].told

    def views(self, name: str, arguments: JsonObject, looks: Sequence[Look]) -> tuple[View, ...]:
        """What a call asks for, ``looks`` holding one look per picture.

        One view of the picture that the call is about; where it is about all of them, one of each that has more to
        show.

        Raises:
            ToolArgumentError: see ``view``; of several pictures, each is refused, the first one for this reason.
        """
        self.check(name, arguments)
        tool = self._tools[name]
        if isinstance(tool, ChoosesPicture):
            looks = (looks[tool.picture(arguments, looks[0].views)],)
        found: list[View] = []
        refusals: list[ToolArgumentError] = []
        for look in looks:
            try:
                found.append(replace(self.view(name, arguments, look), picture=look.picture))
            except ToolArgumentError as error:
                refusals.append(error)
        if not found:
            raise refusals[0]
        return tuple(found)

    def view(self, name: str, arguments: JsonObject, look: Look) -> View:
        """View that a call about one picture asks for.

        Raises:
            ToolArgumentError: unknown name, arguments off the schema, or a view that this picture does not have.
        """
        self.check(name, arguments)
        try:
            return self._tools[name].view(arguments, look)
        except (DataError, ToolArgumentError) as error:
            raise ToolArgumentError(str(error)[:_MAX_COMPLAINT_CHARS]) from error
