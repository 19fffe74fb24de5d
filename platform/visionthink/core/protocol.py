"""The texts around a picture and a question: what the model is told, and what it is told after each reply.

Rule: a protocol is data with a name and a version. No stage has a text of its own, and a text is never edited in place:
a model was trained with these exact characters, so a better wording is a new version.

Templates hold ``{question}``, ``{tools}``, ``{error}`` and ``{told}``, which are replaced literally, and ``<image>``,
where the view goes; of several pictures all views go there, one after the other. A user turn whose template has no
``<image>`` takes the markers of the question itself (data sets carry one per picture), or shows the views directly
before the question.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from visionthink.core.geometry import View
from visionthink.core.message import IMAGE_MARKER, ImagePart, Message, Role, TextPart
from visionthink.core.tool import ToolBox
from visionthink.errors import ConfigError, DataError, UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One set of texts; see the module for what the templates may hold."""

    name: str
    """Ends in ``-v`` and the version."""
    version: int
    system: str | None
    """System text, with ``{tools}`` where tools are offered; ``None`` sends no system message."""
    user: str
    """First turn, with ``{question}``."""
    tool_result: str
    """Turn after a good call, with one ``<image>``; of a tool that has no words of its own."""
    tool_error: str
    """Turn after a bad call, with ``{error}``. It shows no view."""
    force_answer: str
    """Turn that asks for the final answer when the turn budget is used up."""
    offers_tools: bool
    """Whether a call is a legal reply."""
    tool_frame: str | None = None
    """Turn after a good call of a tool that has words of its own, which go to ``{told}`` and bring the ``<image>``.
    ``None`` says ``tool_result`` after every tool's call."""

    def __post_init__(self) -> None:
        """Refuse a protocol that would lose a question, a view or an error."""
        problems = {
            f"name must end in -v{self.version}": not self.name.endswith(f"-v{self.version}"),
            "user must hold {question} once": self.user.count("{question}") != 1,
            "user may hold <image> once": self.user.count(IMAGE_MARKER) > 1,
            "tool_result must hold <image> once": self.tool_result.count(IMAGE_MARKER) != 1,
            "tool_error must hold {error} once": self.tool_error.count("{error}") != 1,
            "tool_frame must hold {told} once and no <image>": self.tool_frame is not None
            and (self.tool_frame.count("{told}") != 1 or IMAGE_MARKER in self.tool_frame),
        }
        found = [problem for problem, present in problems.items() if present]
        if found:
            raise ConfigError(f"protocol {self.name!r}: {'; '.join(found)}")

    def first_messages(self, question: str, views: Sequence[View], toolbox: ToolBox) -> tuple[Message, ...]:
        """The system message, if there is one, and the question with the first view of each picture.

        Raises:
            DataError: the question holds ``<image>`` markers, and not one per picture.
        """
        user = Message(role=Role.USER, parts=_with_views(self._user_text(question, len(views)), views))
        if self.system is None:
            return (user,)
        system = self.system.replace("{tools}", rendered_tools(toolbox))
        return (Message(role=Role.SYSTEM, parts=(TextPart(text=system),)), user)

    def tool_result_message(self, views: Sequence[View], *, number: int = 2, told: str | None = None) -> Message:
        """The turn that shows what a call asked for.

        Args:
            views: what is shown.
            number: which of all views shown the first of them is, from 1.
            told: the tool's own words, said of each view; see ``Tool.told``.
        """
        if told is None or self.tool_frame is None:
            text = self.tool_result.replace(IMAGE_MARKER, IMAGE_MARKER * len(views))
        else:
            said = "\n".join(_told_of(view, told, place) for place, view in enumerate(views, start=number))
            text = self.tool_frame.replace("{told}", said)
        return Message(role=Role.USER, parts=_with_views(text, views))

    def tool_error_message(self, error: str) -> Message:
        """The turn that says what was wrong with a call."""
        return _user_message(self.tool_error.replace("{error}", error))

    def force_answer_message(self) -> Message:
        """The turn that asks for the final answer."""
        return _user_message(self.force_answer)

    def _user_text(self, question: str, num_views: int) -> str:
        """The template filled, with one marker per view."""
        num_markers = question.count(IMAGE_MARKER)
        if num_markers not in (0, num_views):
            raise DataError(
                f"the question holds {num_markers} {IMAGE_MARKER} markers, but is about {num_views} picture"
                f"{'s' if num_views > 1 else ''}; write one marker per picture or none"
            )
        markers = IMAGE_MARKER * num_views
        if IMAGE_MARKER in self.user:
            question = question.replace(IMAGE_MARKER, "").strip()
        elif not num_markers:
            question = markers + question
        return self.user.replace(IMAGE_MARKER, markers).replace("{question}", question)


def rendered_tools(toolbox: ToolBox) -> str:
    r"""One line of JSON per tool, as the released system prompt holds it.

    The released text was built from a string in which a line break inside a description is a real one, not ``\n``.
    The weights were trained with that, so it is kept.
    """
    lines = (json.dumps(schema, ensure_ascii=False) for schema in toolbox.schemas())
    # Escapes are taken whole, so that a backslash before an n stays one.
    return "\n".join(re.sub(r"\\(.)", lambda escape: "\n" if escape[1] == "n" else escape[0], line) for line in lines)


def get_protocol(name: str, protocols: Sequence[Protocol] | None = None) -> Protocol:
    """The protocol called ``name``, of the shipped ones if no others are given.

    Raises:
        UserError: there is none; the message lists those that exist.
    """
    protocols = PROTOCOLS if protocols is None else protocols
    for protocol in protocols:
        if protocol.name == name:
            return protocol
    known = ", ".join(protocol.name for protocol in protocols)
    raise UserError(f"there is no protocol {name!r}; choose one of: {known}")


def _user_message(text: str) -> Message:
    return Message(role=Role.USER, parts=(TextPart(text=text),))


def _told_of(view: View, told: str, number: int) -> str:
    facts = {"number": number, "width": view.size.width, "height": view.size.height}
    for name, value in facts.items():
        told = told.replace(f"{{{name}}}", str(value))
    return told


def _with_views(text: str, views: Sequence[View]) -> tuple[TextPart | ImagePart, ...]:
    """The text as parts, each marker in it replaced by the next of as many views."""
    before, *after = text.split(IMAGE_MARKER)
    parts: list[TextPart | ImagePart] = [TextPart(text=before)]
    for view, piece in zip(views, after, strict=True):
        parts += [ImagePart(view=view), TextPart(text=piece)]
    return tuple(part for part in parts if isinstance(part, ImagePart) or part.text)


_GENERAL_SYSTEM = (
    "You FIRST think about the reasoning process as an internal monologue and then provide the final answer.\n"
    "The reasoning process MUST BE enclosed within <think> </think> tags. The final answer MUST BE put within <answer> "
    "</answer> tags. For mathematical or multiple-choice problem, wrap the answer value or choice with \\boxed{}."
)

_EFFICIENT_SYSTEM = """You are a helpful assistant.

# Tools

You may call the function tool shown below to assist with the user query.

You are provided with the function signature within <tools></tools> XML tags:
<tools>
{tools}
</tools>
For each function call, return a json object with the function name and the corresponding argument within \
<tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""

_EFFICIENT_USER = (
    "Answer the question based on the image provided. You must conduct reasoning within <think> and </think> first in "
    "each of your reasoning steps. You may call ONE function tool per step to help you better solve the problem. Place "
    "the function tool within <tool_call> and </tool_call> at the end of each step to perform a function call. You "
    "should continue your reasoning process based on the content returned by the function tool. Once you confirm your "
    "final answer, place the final answer inside <answer> and </answer>. For mathematical or multiple-choice problem, "
    "wrap the answer value or choice with \\boxed{}. Here is the image and question:\n{question}"
)

_TOOL_RESULT = (
    "<tool_response>\nThe resized image is shown below:\n<image>\n</tool_response>\n"
    "Please carefully analyze the content returned from the image resize tool in combination with the original "
    "question and image from the user, continue your reasoning process inside <think> and </think> and then write your "
    "final answer inside <answer> and </answer>."
)

# "Countinue" stands in the released training code, and the released weights have read it.
_TOOL_ERROR = (
    "<tool_response>\nERROR occurs during the function tool call. Error Information: {error}.\n</tool_response>\n"
    "Please analyze the error information obtained from the function tool and adjust your response. Countinue your "
    "reasoning process inside <think> and </think>."
)

# Ours: the released loop has no forced final answer. It names the tags in the words of the other turns.
_FORCE_ANSWER = (
    "No further function call is possible. Continue your reasoning process inside <think> and </think> and then write "
    "your final answer inside <answer> and </answer>."
)

# Ours: the paper has one tool. Its texts, with several tools in them and none of them named.
_TOOLS_SYSTEM = """You are a helpful assistant.

# Tools

You may call the function tools shown below, one per step, to assist with the user query.

You are provided with the function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>
For each function call, return a json object with the function name and the corresponding argument within \
<tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""

_TOOL_FRAME = (
    "<tool_response>\n{told}\n</tool_response>\n"
    "Please carefully analyze the content returned from the function tool in combination with the original question "
    "and the images shown before, continue your reasoning process inside <think> and </think> and then call another "
    "function tool or write your final answer inside <answer> and </answer>."
)

# Ours: where to look is to be thought about, and a small region is to be preferred.
_REGION_USER = _EFFICIENT_USER.replace(
    "You may call ONE function tool per step to help you better solve the problem.",
    "The image is shown at a low resolution first. If what the question is about is too small to be seen in it, think "
    "about where in the image it lies, and call ONE function tool per step for the smallest region that holds it.",
)

_TOOLS_RESULT = _TOOL_FRAME.replace("{told}", "The requested view is shown below:\n<image>")

_COMPACT_TOOL_RESULT = "<image>here is the larger image ."
_COMPACT_TOOL_ERROR = "that call failed : {error} . answer now ."
_COMPACT_FORCE_ANSWER = "answer now ."

PROTOCOLS: tuple[Protocol, ...] = (
    # Source: VisionThink table 5; released system prompt "general_qa" with prompt type "original".
    Protocol(
        name="general-v1",
        version=1,
        system=_GENERAL_SYSTEM,
        user="{question}",
        tool_result=_TOOL_RESULT,
        tool_error=_TOOL_ERROR,
        force_answer=_FORCE_ANSWER,
        offers_tools=False,
    ),
    # Source: VisionThink table 4; released system prompt and prompt type "tool_agent", turn texts of its rollout.
    Protocol(
        name="efficient-v1",
        version=1,
        system=_EFFICIENT_SYSTEM,
        user=_EFFICIENT_USER,
        tool_result=_TOOL_RESULT,
        tool_error=_TOOL_ERROR,
        force_answer=_FORCE_ANSWER,
        offers_tools=True,
        tool_frame=_TOOL_FRAME,
    ),
    # Short texts for a model of a few million parameters, whose whole context is a few hundred tokens.
    Protocol(
        name="compact-general-v1",
        version=1,
        system=None,
        user="<image>{question}",
        tool_result=_COMPACT_TOOL_RESULT,
        tool_error=_COMPACT_TOOL_ERROR,
        force_answer=_COMPACT_FORCE_ANSWER,
        offers_tools=False,
    ),
    Protocol(
        name="compact-efficient-v1",
        version=1,
        system=None,
        user="<image>{question} you may ask for more pixels .",
        tool_result=_COMPACT_TOOL_RESULT,
        tool_error=_COMPACT_TOOL_ERROR,
        force_answer=_COMPACT_FORCE_ANSWER,
        offers_tools=True,
    ),
    # Several tools; the system text says which.
    Protocol(
        name="tools-v1",
        version=1,
        system=_TOOLS_SYSTEM,
        user=_EFFICIENT_USER,
        tool_result=_TOOLS_RESULT,
        tool_error=_TOOL_ERROR,
        force_answer=_FORCE_ANSWER,
        offers_tools=True,
        tool_frame=_TOOL_FRAME,
    ),
    # Several tools, in few words; a tool's own would be too many.
    Protocol(
        name="compact-tools-v1",
        version=1,
        system=None,
        user="<image>{question} you may ask to see more .",
        tool_result="<image>here is what you asked for .",
        tool_error="that call failed : {error} . ask again or answer .",
        force_answer=_COMPACT_FORCE_ANSWER,
        offers_tools=True,
    ),
    # A region as a box (`crop_image`).
    Protocol(
        name="region-v1",
        version=1,
        system=_TOOLS_SYSTEM,
        user=_REGION_USER,
        tool_result=_TOOLS_RESULT,
        tool_error=_TOOL_ERROR,
        force_answer=_FORCE_ANSWER,
        offers_tools=True,
        tool_frame=_TOOL_FRAME,
    ),
    # A region by its name (`look_at`), in few words.
    Protocol(
        name="compact-region-v1",
        version=1,
        system=None,
        user="<image>{question} you may look closer .",
        tool_result="<image>here is a closer look .",
        tool_error="that call failed : {error} . ask again or answer .",
        force_answer=_COMPACT_FORCE_ANSWER,
        offers_tools=True,
    ),
)
