"""What of a conversation is kept, and what is refused."""

import pytest

from visionthink.core.message import Message, Role, TextPart
from visionthink.serving.api_error import ApiError
from visionthink.serving.chat_request import ChatMessage
from visionthink.serving.conversation import Conversation, conversation_of
from visionthink.serving.turns import Preamble

PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def conversation(*messages: tuple[str, object]) -> Conversation:
    return conversation_of([ChatMessage.model_validate({"role": role, "content": said}) for role, said in messages])


def test_the_question_is_all_the_text_of_the_last_message() -> None:
    got = conversation(("user", [text("what color ?"), PICTURE, text("say it ")]))
    assert got.question == "what color ?\nsay it"
    assert [picture.where for picture in got.pictures] == ["messages.0.content.1.image_url"]
    assert got.preamble == Preamble()


def test_earlier_turns_and_system_texts_are_kept() -> None:
    got = conversation(
        ("system", "Be brief."),
        ("developer", [text("Be polite.")]),
        ("user", [PICTURE, text("what is it ?")]),
        ("assistant", [text("a cat")]),
        ("assistant", None),
        ("user", "which color ?"),
    )
    assert got.question == "which color ?" and got.preamble.system == "Be brief.\n\nBe polite."
    assert [(message.role, message.text) for message in got.preamble.earlier] == [
        (Role.USER, "what is it ?"),
        (Role.ASSISTANT, "a cat"),
    ]
    assert [picture.where for picture in got.pictures] == ["messages.2.content.0.image_url"]


def test_a_picture_may_come_before_its_question() -> None:
    got = conversation(("user", [PICTURE]), ("user", "which color ?"))
    assert len(got.pictures) == 1 and got.question == "which color ?" and got.preamble.earlier == ()


def test_a_question_without_a_picture_is_one() -> None:
    assert conversation(("user", "hello")).pictures == ()


@pytest.mark.parametrize(
    ("messages", "want"),
    [
        pytest.param([("user", [PICTURE, PICTURE, text("same ?")])], "same ?", id="pictures first"),
        pytest.param([("user", [PICTURE]), ("user", [PICTURE, text("same ?")])], "same ?", id="pictures earlier"),
        pytest.param([("user", [PICTURE, PICTURE]), ("user", "same ?")], "same ?", id="all pictures earlier"),
        pytest.param(
            [("user", [text("is"), PICTURE, text("like"), PICTURE])], "is\n<image>\nlike\n<image>", id="among texts"
        ),
        pytest.param([("user", [PICTURE, text("like"), PICTURE])], "<image>\nlike\n<image>", id="around a text"),
        pytest.param(
            [("user", [PICTURE, text("a")]), ("assistant", "b"), ("user", [text("and"), PICTURE])],
            "<image>\nand\n<image>",
            id="earlier and behind a text",
        ),
        pytest.param(
            [("user", [PICTURE, PICTURE, text("is <image> like <image> ?")])],
            "is <image> like <image> ?",
            id="the text's own places",
        ),
        pytest.param(
            [("user", [text("is <image> like <image> ?"), PICTURE, PICTURE])],
            "is <image> like <image> ?",
            id="the text's own places before the pictures",
        ),
    ],
)
def test_several_pictures_stand_where_they_were_sent(messages: list[tuple[str, object]], want: str) -> None:
    got = conversation(*messages)
    assert (len(got.pictures), got.question) == (2, want)


def test_several_pictures_keep_their_order_over_messages() -> None:
    got = conversation(("user", [PICTURE, text("a")]), ("assistant", "b"), ("user", [text("c"), PICTURE, PICTURE]))
    assert [picture.where for picture in got.pictures] == [
        "messages.0.content.0.image_url",
        "messages.2.content.1.image_url",
        "messages.2.content.2.image_url",
    ]


@pytest.mark.parametrize(
    ("messages", "match", "param"),
    [
        ([("user", [PICTURE])], "no question", "messages.0.content"),
        ([("user", None)], "no question", "messages.0.content"),
        ([("user", " \n")], "no question", "messages.0.content"),
        ([("system", [PICTURE]), ("user", "x")], "the system message holds", "messages.0.content.0.image_url"),
        (
            [("user", "x"), ("assistant", [PICTURE]), ("user", "y")],
            "the assistant message holds",
            "messages.1.content.0.image_url",
        ),
        ([("user", "x"), ("assistant", "a")], "end with the question", "messages.1.role"),
        ([("system", "x")], "end with the question", "messages.0.role"),
        ([("user", "x"), ("system", "y"), ("user", "z")], "put it first", "messages.1.role"),
        ([("user", "x"), ("tool", "y"), ("user", "z")], "'tool'", "messages.1.role"),
        ([("function", "y")], "'function'", "messages.0.role"),
        ([("user", [PICTURE, text("<|im_end|>")])], r"<\|im_end\|>", "messages.0.content"),
        ([("system", "<|image_pad|>"), ("user", "x")], r"<\|image_pad\|>", "messages.0.content"),
        ([("user", "x"), ("assistant", "a<|im_start|>b"), ("user", "y")], "control token", "messages.1.content"),
        ([("user", "\ue000reply\ue001")], "control token", "messages.0.content"),
        ([("user", "what is in <image> ?")], "no picture", "messages"),
    ],
)
def test_what_has_no_meaning_is_a_400_that_names_the_place(
    messages: list[tuple[str, object]], match: str, param: str
) -> None:
    with pytest.raises(ApiError, match=match) as caught:
        conversation(*messages)
    assert (caught.value.status, caught.value.param) == (400, param)


def said(role: Role, words: str) -> Message:
    return Message(role=role, parts=(TextPart(text=words),))


@pytest.mark.parametrize("own", [None, "Protocol."])
@pytest.mark.parametrize("theirs", [None, "Client."])
def test_a_preamble_goes_before_every_turn_alike(own: str | None, theirs: str | None) -> None:
    preamble = Preamble(system=theirs, earlier=(said(Role.USER, "q0"), said(Role.ASSISTANT, "a0")))
    first = ((said(Role.SYSTEM, own),) if own else ()) + (said(Role.USER, "q"),)
    second = (*first, said(Role.ASSISTANT, "call"), said(Role.USER, "shown"))
    one, two = preamble.before(first), preamble.before(second)
    system = "\n\n".join(filter(None, [own, theirs]))
    want = ["q0", "a0", "q"] if not system else [system, "q0", "a0", "q"]
    assert [message.text for message in one] == want
    assert two[: len(one)] == one and len(two) == len(one) + 2
