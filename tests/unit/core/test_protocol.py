"""The texts: every conversation word for word, and where the picture goes in it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from visionthink.core import (
    LOOK_AT,
    PROTOCOLS,
    AskModel,
    CropImage,
    EpisodeSpec,
    Finish,
    FinishReason,
    ImagePart,
    Json,
    Message,
    ModelReply,
    Protocol,
    ResizeImage,
    Role,
    Size,
    TextPart,
    ToolBox,
    View,
    ViewRule,
    ZoomImage,
    advance,
    get_protocol,
    render_call,
    start,
)
from visionthink.core.protocol import rendered_tools
from visionthink.errors import ConfigError, DataError, UserError

TOOLBOX = ToolBox([ResizeImage()])
VIEW = View(size=Size(width=28, height=28))

GOOD_CALL = render_call("resize_image", {"action": "resize"})
BAD_CALL = "<tool_call>\n{'name': resize_image}\n</tool_call>"
CROP = render_call("crop_image", {"bbox_2d": [0, 0, 100, 100]})
LOOK = render_call("look_at", {"region": "top left"})
ANSWER = "<think>I see it.</think>\n<answer>red</answer>"
CONVERSATIONS = {
    "answer": (ANSWER,),
    "call": (GOOD_CALL, ANSWER),
    "bad_call": (BAD_CALL, ANSWER),
    "forced": (GOOD_CALL, GOOD_CALL, ANSWER),
    "crop": (CROP, ANSWER),
}
_SEVERAL = ToolBox([ResizeImage(), ZoomImage(), CropImage()])
BOXES = {
    "tools-v1": _SEVERAL,
    "compact-tools-v1": _SEVERAL,
    "region-v1": ToolBox([CropImage()]),
    "compact-region-v1": ToolBox([LOOK_AT]),
}
"""The tools of protocols that do not go with the paper's only one."""
OF_REGIONS = {
    "region-v1": {"call": (CROP, ANSWER), "forced": (CROP, CROP, ANSWER)},
    "compact-region-v1": {"call": (LOOK, ANSWER), "forced": (LOOK, LOOK, ANSWER)},
}
"""Conversations of protocols that know no `resize_image`."""


def _played(protocol: Protocol, replies: Sequence[str]) -> tuple[Message, ...]:
    """The conversation in which the model gives these replies, as far as the protocol lets it come."""
    spec = EpisodeSpec(
        question="What colour is the sign?",
        original=Size(width=1024, height=768),
        protocol=protocol,
        toolbox=BOXES.get(protocol.name, TOOLBOX),
        rule=ViewRule(),
        first_view="quarter" if protocol.offers_tools else "full",
    )
    step = start(spec)
    for reply in replies:
        if isinstance(step.command, AskModel):
            step = advance(step.state, ModelReply(text=reply, finish_reason=FinishReason.STOP))
    return step.command.trace.messages if isinstance(step.command, Finish) else step.command.messages


def _shown(messages: Sequence[Message]) -> str:
    """A conversation as text. Each view is shown by its size, and a bar marks where a part ends."""
    lines: list[str] = []
    for message in messages:
        parts = [
            part.text if isinstance(part, TextPart) else f"[view {part.view.size.width} x {part.view.size.height}]"
            for part in message.parts
        ]
        lines += [f"--- {message.role.value}", "|".join(parts)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("protocol", "conversation"),
    [
        pytest.param(protocol, conversation, id=f"{protocol.name}-{conversation}")
        for protocol in PROTOCOLS
        for conversation in CONVERSATIONS
        if conversation != "crop" or protocol.name in ("tools-v1", "compact-tools-v1")
    ],
)
def test_conversation_is_word_for_word(
    protocol: Protocol, conversation: str, golden: Callable[[str, str], None]
) -> None:
    replies = OF_REGIONS.get(protocol.name, {}).get(conversation, CONVERSATIONS[conversation])
    text = _shown(_played(protocol, replies))
    golden(f"protocols/{protocol.name}.{conversation}.txt", text)


def test_no_two_protocols_share_a_name() -> None:
    assert len({protocol.name for protocol in PROTOCOLS}) == len(PROTOCOLS)


def test_get_protocol_finds_one_among_others() -> None:
    mine = replace(get_protocol("efficient-v1"), name="mine-v1")
    assert get_protocol("mine-v1", (*PROTOCOLS, mine)) is mine


def test_a_tools_own_words_name_the_view_and_fill_the_frame() -> None:
    told = "view {number} of {width} x {height} : <image>"
    message = get_protocol("tools-v1").tool_result_message((VIEW,), number=3, told=told)
    assert "<tool_response>\nview 3 of 28 x 28 : \n</tool_response>" in message.text
    assert message.views == (VIEW,)


@pytest.mark.parametrize("name", ["compact-efficient-v1", "compact-tools-v1"])
def test_a_protocol_without_a_frame_keeps_its_own_words(name: str) -> None:
    protocol = get_protocol(name)
    assert protocol.tool_result_message((VIEW,), told="mine : <image>") == protocol.tool_result_message((VIEW,))


@pytest.mark.parametrize("name", ["general-v1", "efficient-v1", "compact-general-v1", "compact-efficient-v1"])
def test_get_protocol_finds_it_by_name(name: str) -> None:
    assert get_protocol(name).name == name


def test_get_protocol_lists_the_known_names() -> None:
    with pytest.raises(UserError, match=r"no protocol 'efficient'.*general-v1, efficient-v1, compact-general-v1"):
        get_protocol("efficient")


@pytest.mark.parametrize(
    ("question", "want"),
    [
        ("What is it?", ("", "What is it?")),
        ("<image>\nWhat is it?", ("", "\nWhat is it?")),
        ("Look: <image> What is it?", ("Look: ", " What is it?")),
        ("What is it? <image>", ("What is it? ", "")),
    ],
    ids=["no marker", "marker first", "marker inside", "marker last"],
)
def test_paper_protocol_shows_the_view_where_the_question_wants_it(question: str, want: tuple[str, str]) -> None:
    *_, user = get_protocol("general-v1").first_messages(question, (VIEW,), TOOLBOX)
    place = user.parts.index(ImagePart(view=VIEW))
    texts = [
        "".join(part.text for part in half if isinstance(part, TextPart))
        for half in (user.parts[:place], user.parts[place:])
    ]
    assert tuple(texts) == want


@pytest.mark.parametrize("question", ["what is it ?", "<image>\nwhat is it ?", "what is it ? <image>"])
def test_compact_protocol_shows_the_view_first(question: str) -> None:
    (user,) = get_protocol("compact-general-v1").first_messages(question, (VIEW,), TOOLBOX)
    assert user == Message(role=Role.USER, parts=(ImagePart(view=VIEW), TextPart(text="what is it ?")))


def test_a_question_about_two_pictures_is_refused() -> None:
    with pytest.raises(DataError, match="holds 2 <image> markers"):
        get_protocol("general-v1").first_messages("<image><image> same?", (VIEW,), TOOLBOX)


def test_a_question_is_never_read_as_a_template() -> None:
    *_, user = get_protocol("efficient-v1").first_messages("{question} {tools} {error}", (VIEW,), TOOLBOX)
    assert user.text.endswith("Here is the image and question:\n{question} {tools} {error}")


def test_a_second_tool_gets_a_line_of_its_own() -> None:
    class Named(ResizeImage):
        @property
        def name(self) -> str:
            return "other"

        def schema(self) -> dict[str, Json]:
            return {"type": "function", "function": {"name": self.name, "description": "a\nb \\n"}}

    first, *rest = rendered_tools(ToolBox([ResizeImage()])).split("\n")
    assert rendered_tools(ToolBox([ResizeImage(), Named()])).split("\n") == [
        first,
        *rest,
        '{"type": "function", "function": {"name": "other", "description": "a',
        'b \\\\n"}}',
    ]


@pytest.mark.parametrize(
    ("field", "text", "want"),
    [
        ("name", "efficient", "name must end in -v1"),
        ("user", "no place for it", "user must hold {question} once"),
        ("user", "<image><image>{question}", "user may hold <image> once"),
        ("tool_result", "no view", "tool_result must hold <image> once"),
        ("tool_error", "it failed", "tool_error must hold {error} once"),
        ("tool_frame", "no words", "tool_frame must hold {told} once and no <image>"),
        ("tool_frame", "{told} <image>", "tool_frame must hold {told} once and no <image>"),
    ],
)
def test_a_protocol_that_loses_something_is_refused(field: str, text: str, want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        replace(get_protocol("efficient-v1"), **{field: text})  # type: ignore[arg-type]
