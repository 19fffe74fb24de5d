"""Messages: text and views apart, and both as JSON."""

import json

from visionthink.core import Box, ImagePart, Message, Role, Size, TextPart, View
from visionthink.core.message import message_to_dict

VIEW = View(size=Size(width=56, height=28))
CROP = View(size=Size(width=28, height=28), box=Box(left=1, top=2, right=3, bottom=4))
MESSAGE = Message(role=Role.USER, parts=(TextPart(text="a"), ImagePart(view=VIEW), TextPart(text="b")))


def test_message_gives_its_text_and_its_views() -> None:
    assert (MESSAGE.text, MESSAGE.views) == ("ab", (VIEW,))


def test_message_to_dict_keeps_the_order_of_parts() -> None:
    view = {"width": 56, "height": 28, "visual_tokens": 2, "box": None}
    want = {"role": "user", "parts": [{"text": "a"}, {"view": view}, {"text": "b"}], "token_ids": None}
    assert json.loads(json.dumps(message_to_dict(MESSAGE))) == want


def test_message_to_dict_keeps_boxes_and_token_ids() -> None:
    written = message_to_dict(Message(role=Role.ASSISTANT, parts=(ImagePart(view=CROP),), token_ids=(7, 8)))
    assert written["token_ids"] == [7, 8]
    assert written["parts"] == [{"view": {"width": 28, "height": 28, "visual_tokens": 1, "box": [1, 2, 3, 4]}}]
