"""Crops, a chosen size and the paper's tool in one episode of up to eight turns."""

from dataclasses import replace

from tests.unit.core.played_episode import (
    ANSWER,
    BAD_CALL,
    CALL,
    FULL,
    ORIGINAL,
    RULE,
    SPEC,
    asked_of,
    finish_of,
    played,
)

from visionthink.core import (
    CallReply,
    CropImage,
    Outcome,
    ResizeImage,
    Role,
    Signal,
    Size,
    ToolBox,
    ZoomImage,
    get_protocol,
    quarter_view,
    render_call,
    start,
)


class TestSeveralTools:
    """Crops, a chosen size and the paper's tool in one episode of up to eight turns."""

    SPEC = replace(
        SPEC,
        protocol=get_protocol("tools-v1"),
        toolbox=ToolBox([ResizeImage(), CropImage(), ZoomImage()]),
        rule=replace(RULE, shrink=4),
        max_turns=8,
    )
    FIRST = quarter_view(ORIGINAL, SPEC.rule)
    CROP = render_call("crop_image", {"bbox_2d": [0, 0, 70, 56]})
    FAR_CROP = render_call("crop_image", {"bbox_2d": [126, 98, 252, 196], "view": 1})
    ZOOM = render_call("zoom_image", {"factor": 2})

    def test_the_model_is_told_of_every_tool(self) -> None:
        system = asked_of(start(self.SPEC)).messages[0].text
        assert [system.count(f'"name": "{tool.name}"') for tool in self.SPEC.toolbox] == [1, 1, 1]

    def test_every_call_adds_its_view(self) -> None:
        finish = finish_of(played(self.SPEC, self.CROP, self.FAR_CROP, self.ZOOM, CALL, ANSWER))
        assert finish.outcome is Outcome.ANSWERED
        assert [view.size for view in finish.trace.views] == [
            Size(width=252, height=196),
            Size(width=280, height=224),
            Size(width=504, height=392),
            Size(width=504, height=392),
            FULL.size,
        ]
        assert [view.box is None for view in finish.trace.views] == [True, False, False, True, True]
        assert (finish.trace.num_views_asked, finish.trace.num_tool_calls) == (4, 4)
        assert finish.trace.visual_tokens_asked == finish.trace.visual_tokens - self.FIRST.visual_tokens

    def test_the_trace_says_what_was_called(self) -> None:
        turns = finish_of(played(self.SPEC, self.CROP, self.CROP, BAD_CALL, ANSWER)).trace.turns
        crop = CallReply(name="crop_image", arguments={"bbox_2d": [0, 0, 70, 56]})
        assert [turn.call for turn in turns] == [crop, crop, None, None]
        assert [turn.signal for turn in turns[:3]] == [Signal.CALL, Signal.BAD_CALL, Signal.BAD_CALL]
        assert [turn.view is None for turn in turns] == [False, True, True, True]

    def test_a_view_is_shown_in_the_words_of_its_tool(self) -> None:
        step = played(self.SPEC, self.CROP, self.FAR_CROP, CALL)
        crop, far, resize = [message.text for message in asked_of(step).messages if message.role is Role.USER][1:]
        assert "View 2 shows the region in 280 x 224 pixels:" in crop
        assert "View 3 shows the region in 504 x 392 pixels:" in far
        assert "The requested view is shown below:" in resize

    def test_the_papers_own_texts_hold_another_tools_words_too(self) -> None:
        told = asked_of(played(replace(self.SPEC, protocol=get_protocol("efficient-v1")), self.CROP)).messages[-1].text
        assert "View 2 shows the region" in told
        assert "resize" not in told

    def test_a_bad_box_costs_a_turn_and_is_told_in_pixels_that_were_seen(self) -> None:
        bad = render_call("crop_image", {"bbox_2d": [0, 0, 300, 20]})
        ask = asked_of(played(self.SPEC, self.CROP, bad))
        assert ask.turn == 3
        assert "the box [0, 0, 300, 20] leaves view 2, which has 280 x 224 pixels" in ask.messages[-1].text

    def test_the_ninth_turn_is_the_forced_answer(self) -> None:
        step = played(self.SPEC, *[CALL] * 8)
        assert (asked_of(step).turn, asked_of(step).forced) == (9, True)
        assert len(step.state.views) == 8

    def test_tried_and_granted_are_told_apart(self) -> None:
        once = replace(self.SPEC, max_turns=1)
        for call in (self.CROP, BAD_CALL):  # a good call that came too late, and one that no tool takes
            trace = finish_of(played(once, call, ANSWER)).trace
            assert (trace.num_tool_calls, trace.num_views_asked, trace.asked) == (1, 0, False)
        trace = finish_of(played(self.SPEC, self.CROP, ANSWER)).trace
        assert (trace.num_tool_calls, trace.num_views_asked, trace.asked) == (1, 1, True)
