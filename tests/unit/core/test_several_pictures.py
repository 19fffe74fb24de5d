"""A question about several pictures: each has its views, and a call says or does not say which it is about."""

from dataclasses import replace

import pytest
from tests.unit.core.played_episode import (
    ANSWER,
    CALL,
    FULL,
    ORIGINAL,
    QUARTER,
    RULE,
    SPEC,
    asked_of,
    finish_of,
    played,
)

from visionthink.core import (
    CropImage,
    ImagePart,
    Message,
    Outcome,
    ResizeImage,
    Signal,
    Size,
    TextPart,
    ToolBox,
    ZoomImage,
    full_view,
    full_views,
    get_protocol,
    quarter_view,
    render_call,
    start,
)
from visionthink.errors import ConfigError, DataError

OTHER = Size(width=800, height=1600)
OTHER_QUARTER, OTHER_FULL = (replace(view(OTHER, RULE), picture=1) for view in (quarter_view, full_view))
TWO = replace(SPEC, further_originals=(OTHER,))
TOOLS = replace(
    TWO, protocol=get_protocol("tools-v1"), toolbox=ToolBox([ResizeImage(), CropImage(), ZoomImage()]), max_turns=8
)
ZOOM = render_call("zoom_image", {"factor": 2})


def shown(message: Message) -> str:
    """The message's text, with the number of its picture in the place of each view."""
    return "".join(part.text if isinstance(part, TextPart) else f"[{part.view.picture}]" for part in message.parts)


def test_the_first_turn_shows_the_quarter_view_of_each() -> None:
    ask = asked_of(start(TWO))
    assert ask.messages[-1].views == (QUARTER, OTHER_QUARTER)
    assert shown(ask.messages[-1]).endswith("Here is the image and question:\n[0][1]What is it?")


def test_a_view_of_one_picture_begins_no_question_about_several() -> None:
    assert asked_of(start(replace(SPEC, first_view=FULL))).messages[-1].views == (FULL,)
    with pytest.raises(ConfigError, match="name it instead"):
        replace(TWO, first_view=FULL)


def test_an_episode_may_begin_with_the_full_view_of_each() -> None:
    ask = asked_of(start(replace(TWO, first_view="full")))
    assert ask.messages[-1].views == (FULL, OTHER_FULL) == full_views(TWO)


def test_resizing_shows_all_of_them_again_at_full_size() -> None:
    finish = finish_of(played(TWO, CALL, ANSWER))
    assert finish.outcome is Outcome.ANSWERED
    trace = finish.trace
    assert trace.views == (QUARTER, OTHER_QUARTER, FULL, OTHER_FULL)
    assert trace.turns[0].views == trace.views_asked == (FULL, OTHER_FULL)
    assert (trace.num_views_asked, trace.num_tool_calls, trace.asked) == (2, 1, True)
    assert trace.visual_tokens_asked == FULL.visual_tokens + OTHER_FULL.visual_tokens
    assert "is shown below:\n[0][1]\n</tool_response>" in shown(trace.messages[-2])


def test_without_a_call_nothing_was_asked() -> None:
    trace = finish_of(played(TWO, ANSWER)).trace
    assert (trace.views_asked, trace.asked, trace.visual_tokens_asked) == ((), False, 0)


def test_a_region_is_of_the_picture_of_the_view_that_the_box_is_in() -> None:
    crop = render_call("crop_image", {"bbox_2d": [0, 0, 100, 100], "view": 2})
    trace = finish_of(played(TOOLS, crop, ANSWER)).trace
    (view,) = trace.turns[0].views
    assert view.picture == 1 and view.box is not None
    assert (view.box.right, view.box.bottom) == (-(-100 * 800 // 392), -(-100 * 1600 // 812)), "in pixels of 800 x 1600"
    assert "View 3 shows the region" in trace.messages[-2].text


def test_a_box_without_a_view_is_in_the_last_one() -> None:
    crop = render_call("crop_image", {"bbox_2d": [0, 0, 100, 100]})
    assert [view.picture for view in played(TOOLS, crop).state.views] == [0, 1, 1]


def test_every_view_is_told_by_its_number_and_size() -> None:
    told = shown(asked_of(played(TOOLS, ZOOM)).messages[-1])
    assert "View 3 shows the whole image in 1036 x 756 pixels:\n[0]\nView 4 shows the whole image in 812 x" in told


def test_a_picture_that_was_shown_as_large_is_left_out() -> None:
    whole = render_call("crop_image", {"bbox_2d": [0, 0, QUARTER.size.width, QUARTER.size.height], "view": 1})
    step = played(TOOLS, whole, ZOOM)
    assert [view.picture for view in step.state.turns[-1].views] == [1]
    again = played(TOOLS, whole, ZOOM, ZOOM)
    assert again.state.turns[-1].signal is Signal.BAD_CALL
    assert "view 3 shows that already" in asked_of(again).messages[-1].text


def test_a_view_of_another_picture_shows_nothing_of_this_one() -> None:
    whole = render_call("crop_image", {"bbox_2d": [0, 0, QUARTER.size.width, QUARTER.size.height], "view": 1})
    twins = replace(TOOLS, further_originals=(ORIGINAL,))
    assert [view.picture for view in played(twins, whole, ZOOM).state.turns[-1].views] == [1]


def test_a_view_that_is_not_there_is_a_complaint() -> None:
    crop = render_call("crop_image", {"bbox_2d": [0, 0, 9, 9], "view": 3})
    assert "there is no view 3, the last one shown so far is view 2" in asked_of(played(TOOLS, crop)).messages[-1].text


@pytest.mark.parametrize(
    ("name", "question", "want"),
    [
        ("general-v1", "Same?", "[0][1]Same?"),
        ("general-v1", "Is <image> like <image>?", "Is [0] like [1]?"),
        ("compact-general-v1", "same ?", "[0][1]same ?"),
        ("compact-general-v1", "same ?\n<image><image>", "[0][1]same ?"),
    ],
)
def test_views_go_where_question_or_protocol_wants_them(name: str, question: str, want: str) -> None:
    spec = replace(TWO, protocol=get_protocol(name), question=question)
    assert shown(asked_of(start(spec)).messages[-1]) == want


@pytest.mark.parametrize("question", ["<image> same?", "<image><image><image> same?"])
def test_a_question_has_a_marker_for_each_picture_or_none(question: str) -> None:
    with pytest.raises(DataError, match=r"but is about 2 pictures; write one marker per picture"):
        start(replace(TWO, question=question))


def test_a_trace_tells_the_picture_of_each_view() -> None:
    written = finish_of(played(TWO, CALL, ANSWER)).trace.to_dict()
    views, turns = written["views"], written["turns"]
    assert isinstance(views, list) and isinstance(turns, list)
    assert [view.get("picture", 0) for view in views if isinstance(view, dict)] == [0, 1, 0, 1]
    assert [turn.get("views") for turn in turns if isinstance(turn, dict)] == [views[2:], None]


def test_one_picture_is_told_as_ever() -> None:
    trace = finish_of(played(SPEC, CALL, ANSWER)).trace
    assert "picture" not in str(trace.to_dict()["views"])
    assert all("views" not in turn for turn in trace.to_dict()["turns"] if isinstance(turn, dict))  # type: ignore[union-attr]
    assert ImagePart(view=QUARTER) in trace.messages[1].parts and SPEC.originals[0] == ORIGINAL
