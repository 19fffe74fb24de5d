"""The loop, step by step: what the model is asked, how each reply ends or continues it, and what is left of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from visionthink.core import (
    TRANSITIONS,
    Action,
    AskModel,
    BackendFailed,
    CallReply,
    CropImage,
    EpisodeSpec,
    EpisodeState,
    Event,
    Finish,
    FinishReason,
    ModelReply,
    Outcome,
    Phase,
    Protocol,
    ResizeImage,
    Role,
    Signal,
    Size,
    Step,
    ToolBox,
    ViewRule,
    ZoomImage,
    advance,
    full_view,
    get_protocol,
    quarter_view,
    render_call,
    start,
)
from visionthink.errors import ConfigError, DataError, EpisodeError

ORIGINAL = Size(width=1024, height=768)
RULE = ViewRule()
QUARTER, FULL = quarter_view(ORIGINAL, RULE), full_view(ORIGINAL, RULE)
SPEC = EpisodeSpec(
    question="What is it?",
    original=ORIGINAL,
    protocol=get_protocol("efficient-v1"),
    toolbox=ToolBox([ResizeImage()]),
    rule=RULE,
)
CALL = render_call("resize_image", {"action": "resize"})
BAD_CALL = "<tool_call>no json</tool_call>"
ANSWER = "<answer>red</answer>"


def _reply(text: str, finish_reason: FinishReason = FinishReason.STOP) -> ModelReply:
    return ModelReply(text=text, finish_reason=finish_reason)


def _played(spec: EpisodeSpec, *events: str | Event) -> Step:
    """The step after these events; a text stands for a reply that the model ended itself."""
    step = start(spec)
    for event in events:
        step = advance(step.state, _reply(event) if isinstance(event, str) else event)
    return step


def _ask(step: Step) -> AskModel:
    assert isinstance(step.command, AskModel)
    return step.command


def _finish(step: Step) -> Finish:
    assert isinstance(step.command, Finish)
    return step.command


def test_first_ask_shows_the_quarter_view() -> None:
    ask = _ask(start(SPEC))
    assert (ask.turn, ask.forced) == (1, False)
    assert [message.role for message in ask.messages] == [Role.SYSTEM, Role.USER]
    assert ask.messages[-1].views == (QUARTER,)


def test_first_ask_shows_the_full_view_when_told_to() -> None:
    assert _ask(start(replace(SPEC, first_view="full"))).messages[-1].views == (FULL,)


def test_an_answer_ends_the_episode() -> None:
    finish = _finish(_played(SPEC, ANSWER))
    assert (finish.outcome, finish.answer, finish.error) == (Outcome.ANSWERED, "red", None)
    assert finish.trace.views == (QUARTER,)
    assert finish.trace.messages[-1].text == ANSWER


def test_a_call_shows_the_full_view_next_to_the_first_one() -> None:
    ask = _ask(_played(SPEC, CALL))
    assert (ask.turn, ask.forced) == (2, False)
    assert [view for message in ask.messages for view in message.views] == [QUARTER, FULL]


def test_a_call_costs_its_view_on_top_of_the_first() -> None:
    trace = _finish(_played(SPEC, CALL, ANSWER)).trace
    assert trace.visual_tokens == QUARTER.visual_tokens + FULL.visual_tokens == 252 + 999
    assert (trace.num_tool_calls, trace.num_views_asked) == (1, 1)
    assert trace.replies == (CALL, ANSWER)


@pytest.mark.parametrize(
    ("call", "want"),
    [
        (BAD_CALL, "the call holds no JSON object"),
        (render_call("zoom", {}), 'there is no function "zoom", available: "resize_image"'),
        (render_call("resize_image", {"action": "x"}), 'arguments.action must be one of ["resize"]'),
    ],
    ids=["unreadable", "unknown function", "wrong argument"],
)
def test_a_bad_call_is_explained_and_shows_nothing(call: str, want: str) -> None:
    ask = _ask(_played(SPEC, call))
    assert ask.messages[-1] == SPEC.protocol.tool_error_message(want)
    trace = _finish(_played(SPEC, call, ANSWER)).trace
    assert (trace.turns[0].signal, trace.turns[0].error) == (Signal.BAD_CALL, want)
    assert (trace.num_tool_calls, trace.num_views_asked) == (1, 0)


@pytest.mark.parametrize("last_call", [CALL, BAD_CALL], ids=["good", "bad"])
def test_a_call_in_the_last_turn_forces_the_answer(last_call: str) -> None:
    ask = _ask(_played(SPEC, CALL, last_call))
    assert (ask.turn, ask.forced) == (3, True)
    assert ask.messages[-1] == SPEC.protocol.force_answer_message()
    finish = _finish(_played(SPEC, CALL, last_call, ANSWER))
    assert (finish.outcome, finish.answer) == (Outcome.ANSWERED, "red")
    assert finish.trace.views == (QUARTER, FULL)  # The call in the last turn was granted nothing.
    assert [turn.forced for turn in finish.trace.turns] == [False, False, True]


@pytest.mark.parametrize("forced_call", [CALL, BAD_CALL], ids=["good", "bad"])
def test_a_call_when_the_answer_is_forced_ends_without_one(forced_call: str) -> None:
    finish = _finish(_played(SPEC, CALL, CALL, forced_call))
    assert (finish.outcome, finish.answer) == (Outcome.NO_ANSWER, None)
    assert finish.trace.num_tool_calls == 3


@pytest.mark.parametrize("so_far", [(), (CALL,), (CALL, CALL)], ids=["first turn", "last turn", "forced turn"])
@pytest.mark.parametrize(
    ("event", "want", "answer"),
    [
        (_reply(" it is red "), Outcome.UNTAGGED, "it is red"),
        (_reply(""), Outcome.EMPTY, None),
        (_reply(" \n"), Outcome.EMPTY, None),
        (_reply("<think>and on and on", FinishReason.LENGTH), Outcome.TRUNCATED, None),
        (_reply("<answer>re", FinishReason.LENGTH), Outcome.TRUNCATED, None),
        (_reply(f"{ANSWER} and on and on", FinishReason.LENGTH), Outcome.TRUNCATED, "red"),
        (_reply(CALL, FinishReason.LENGTH), Outcome.TRUNCATED, None),
        (_reply("", FinishReason.LENGTH), Outcome.EMPTY, None),
    ],
    ids=[
        "no tag",
        "empty",
        "white space",
        "too long",
        "too long in the answer",
        "too long after the answer",
        "too long after a call",
        "empty and too long",
    ],
)
def test_odd_replies_are_outcomes(
    so_far: tuple[str, ...], event: ModelReply, want: Outcome, answer: str | None
) -> None:
    finish = _finish(_played(SPEC, *so_far, event))
    assert (finish.outcome, finish.answer) == (want, answer)
    assert len(finish.trace.turns) == len(so_far) + 1


@pytest.mark.parametrize("so_far", [(), (CALL,), (CALL, CALL)], ids=["first turn", "last turn", "forced turn"])
def test_a_failed_backend_fails_the_episode_and_keeps_its_trace(so_far: tuple[str, ...]) -> None:
    step = _played(SPEC, *so_far, BackendFailed(error="no answer within 5 s"))
    finish = _finish(step)
    assert (finish.outcome, finish.answer, finish.error) == (Outcome.FAILED, None, "no answer within 5 s")
    assert finish.trace.replies == so_far
    assert step.state.phase is Phase.FAILED


@pytest.mark.parametrize("event", [_reply(ANSWER), BackendFailed(error="gone")], ids=["reply", "failure"])
@pytest.mark.parametrize("ending", [_reply(ANSWER), BackendFailed(error="gone")], ids=["done", "failed"])
def test_an_ended_episode_takes_nothing_more(ending: Event, event: Event) -> None:
    ended = _played(SPEC, ending).state
    for _ in range(2):  # It stays ended.
        with pytest.raises(EpisodeError, match=f"an episode that is {ended.phase.value} was sent"):
            advance(ended, event)


def test_only_events_are_taken() -> None:
    with pytest.raises(EpisodeError, match="takes a ModelReply, NoRoom or BackendFailed, not str"):
        advance(start(SPEC).state, "red")  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["general-v1", "compact-general-v1"])
def test_without_tools_a_call_forces_the_answer_at_once(protocol: str) -> None:
    spec = replace(SPEC, protocol=get_protocol(protocol), toolbox=ToolBox(), max_turns=5)
    assert _ask(_played(spec, CALL)).forced
    trace = _finish(_played(spec, CALL, ANSWER)).trace
    assert (trace.turns[0].error, trace.num_views_asked) == ('there is no function "resize_image", available: none', 0)


def test_one_turn_leaves_only_the_forced_answer_after_a_call() -> None:
    assert _ask(_played(replace(SPEC, max_turns=1), CALL)).forced


def test_a_tool_box_without_tools_cannot_be_offered() -> None:
    with pytest.raises(ConfigError, match="'efficient-v1' offers tools, but the tool box is empty"):
        replace(SPEC, toolbox=ToolBox())


def test_an_episode_needs_a_turn() -> None:
    with pytest.raises(ConfigError, match="max_turns must be at least 1, got 0"):
        replace(SPEC, max_turns=0)


def test_a_picture_that_no_view_fits_is_refused_at_the_start() -> None:
    with pytest.raises(DataError, match="longer than 200 times"):
        start(replace(SPEC, original=Size(width=5000, height=10)))


@pytest.mark.parametrize("counts", [{"num_prompt_tokens": -1}, {"num_reply_tokens": -1}])
def test_a_reply_cannot_cost_less_than_nothing(counts: dict[str, int]) -> None:
    with pytest.raises(EpisodeError, match="mend the engine's counting"):
        ModelReply(text="", finish_reason=FinishReason.STOP, **counts)  # type: ignore[arg-type]


@pytest.mark.parametrize("latency_s", [-0.1, float("nan")])
def test_a_reply_takes_a_time_that_can_be_summed(latency_s: float) -> None:
    with pytest.raises(EpisodeError, match="mend the engine's counting"):
        ModelReply(text="", finish_reason=FinishReason.STOP, latency_s=latency_s)


def test_replies_keep_the_models_own_token_ids() -> None:
    reply = ModelReply(text=CALL, finish_reason=FinishReason.STOP, token_ids=(1, 2, 3))
    ask = _ask(advance(start(SPEC).state, reply))
    assert [message.token_ids for message in ask.messages] == [None, None, (1, 2, 3), None]


def test_advance_leaves_the_old_state_alone() -> None:
    before = start(SPEC).state
    first, second = advance(before, _reply(CALL)), advance(before, _reply(CALL))
    assert first == second
    assert before == start(SPEC).state


def test_trace_is_json_with_its_sums() -> None:
    reply = ModelReply(
        text=CALL, finish_reason=FinishReason.STOP, num_prompt_tokens=300, num_reply_tokens=20, latency_s=0.5
    )
    trace = _finish(_played(SPEC, reply, replace(reply, text=ANSWER, num_prompt_tokens=1400))).trace
    written = json.loads(json.dumps(trace.to_dict()))
    assert {name: written[name] for name in ("visual_tokens", "num_tool_calls", "num_views_asked")} == {
        "visual_tokens": 1251,
        "num_tool_calls": 1,
        "num_views_asked": 1,
    }
    assert (written["num_prompt_tokens"], written["num_reply_tokens"], written["latency_s"]) == (1700, 40, 1.0)
    assert written["turns"][0] == {
        "turn": 1,
        "forced": False,
        "signal": "call",
        "call": {"name": "resize_image", "arguments": {"action": "resize"}},
        "error": None,
        "view": {"width": 1036, "height": 756, "visual_tokens": 999, "box": None},
        "reply": CALL,
        "finish_reason": "stop",
        "num_prompt_tokens": 300,
        "num_reply_tokens": 20,
        "latency_s": 0.5,
    }
    assert [message["role"] for message in written["messages"]] == ["system", "user", "assistant", "user", "assistant"]


def test_table_covers_every_phase_and_signal() -> None:
    assert set(TRANSITIONS) == set(Phase)
    for phase in (Phase.ASKING, Phase.LAST, Phase.FORCED):
        assert set(TRANSITIONS[phase]) == set(Signal)


def test_table_of_the_decision_record_is_the_table_of_the_code() -> None:
    words = {
        Action.SHOW_VIEW: "show the view, ask again",
        Action.TELL_ERROR: "say what was wrong, ask again",
        Action.FORCE_ANSWER: "demand the answer",
        Outcome.NO_ANSWER: "end: no answer",
        Outcome.FAILED: "end: failed",
        Outcome.ANSWERED: "end with that outcome",
        None: "`EpisodeError`",
    }
    record = (Path(__file__).parents[3] / "docs/adr/0003-episode-state-machine.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in record.splitlines() if line.startswith("| ")]
    columns = (Signal.ANSWER, Signal.CALL, Signal.BAD_CALL, Signal.BACKEND_FAILED)
    for phase in Phase:
        (cells,) = [cells for first, *cells in rows if phase.value in first.split(":")[0].split(", ")]
        assert cells == [words[TRANSITIONS[phase].get(signal)] for signal in columns], phase


@pytest.mark.parametrize("phase", [Phase.ASKING, Phase.LAST, Phase.FORCED])
def test_what_is_no_call_ends_with_the_outcome_of_its_name(phase: Phase) -> None:
    for signal in (Signal.UNTAGGED, Signal.EMPTY, Signal.TRUNCATED):
        assert TRANSITIONS[phase][signal] is Outcome(signal.value)
    assert TRANSITIONS[phase][Signal.ANSWER] is Outcome.ANSWERED


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
        system = _ask(start(self.SPEC)).messages[0].text
        assert [system.count(f'"name": "{tool.name}"') for tool in self.SPEC.toolbox] == [1, 1, 1]

    def test_every_call_adds_its_view(self) -> None:
        finish = _finish(_played(self.SPEC, self.CROP, self.FAR_CROP, self.ZOOM, CALL, ANSWER))
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
        turns = _finish(_played(self.SPEC, self.CROP, self.CROP, BAD_CALL, ANSWER)).trace.turns
        crop = CallReply(name="crop_image", arguments={"bbox_2d": [0, 0, 70, 56]})
        assert [turn.call for turn in turns] == [crop, crop, None, None]
        assert [turn.signal for turn in turns[:3]] == [Signal.CALL, Signal.BAD_CALL, Signal.BAD_CALL]
        assert [turn.view is None for turn in turns] == [False, True, True, True]

    def test_a_view_is_shown_in_the_words_of_its_tool(self) -> None:
        step = _played(self.SPEC, self.CROP, self.FAR_CROP, CALL)
        crop, far, resize = [message.text for message in _ask(step).messages if message.role is Role.USER][1:]
        assert "View 2 shows the region in 280 x 224 pixels:" in crop
        assert "View 3 shows the region in 504 x 392 pixels:" in far
        assert "The requested view is shown below:" in resize

    def test_the_papers_own_texts_hold_another_tools_words_too(self) -> None:
        told = _ask(_played(replace(self.SPEC, protocol=get_protocol("efficient-v1")), self.CROP)).messages[-1].text
        assert "View 2 shows the region" in told
        assert "resize" not in told

    def test_a_bad_box_costs_a_turn_and_is_told_in_pixels_that_were_seen(self) -> None:
        bad = render_call("crop_image", {"bbox_2d": [0, 0, 300, 20]})
        ask = _ask(_played(self.SPEC, self.CROP, bad))
        assert ask.turn == 3
        assert "the box [0, 0, 300, 20] leaves view 2, which has 280 x 224 pixels" in ask.messages[-1].text

    def test_the_ninth_turn_is_the_forced_answer(self) -> None:
        step = _played(self.SPEC, *[CALL] * 8)
        assert (_ask(step).turn, _ask(step).forced) == (9, True)
        assert len(step.state.views) == 8

    def test_tried_and_granted_are_told_apart(self) -> None:
        once = replace(self.SPEC, max_turns=1)
        for call in (self.CROP, BAD_CALL):  # a good call that came too late, and one that no tool takes
            trace = _finish(_played(once, call, ANSWER)).trace
            assert (trace.num_tool_calls, trace.num_views_asked, trace.asked) == (1, 0, False)
        trace = _finish(_played(self.SPEC, self.CROP, ANSWER)).trace
        assert (trace.num_tool_calls, trace.num_views_asked, trace.asked) == (1, 1, True)


@pytest.mark.parametrize("shrink", [1, 2, 3, 4, 8])
def test_a_resize_shows_the_full_view_however_small_the_first_look_was(shrink: int) -> None:
    spec = replace(SPEC, rule=ViewRule(shrink=shrink))
    first, second = _finish(_played(spec, CALL, ANSWER)).trace.views
    assert second == FULL
    assert first.visual_tokens == pytest.approx(FULL.visual_tokens / shrink**2, rel=0.1)


def test_an_aborted_reply_fails_the_episode_and_is_no_part_of_it() -> None:
    step = _played(SPEC, CALL, _reply(ANSWER, FinishReason.ABORTED))
    finish = _finish(step)
    assert (finish.outcome, finish.answer, finish.retryable) == (Outcome.FAILED, None, True)
    assert finish.error == "the engine gave up in mid-reply"
    assert finish.trace.replies == (CALL,)
    assert finish.trace.messages == _ask(_played(SPEC, CALL)).messages
    assert step.state.phase is Phase.FAILED


def test_a_reply_keeps_a_log_probability_per_token() -> None:
    reply = ModelReply(text=ANSWER, finish_reason=FinishReason.STOP, token_ids=(1, 2), log_probs=(-0.5, 0.0))
    assert _finish(_played(SPEC, reply)).trace.turns[0].reply.log_probs == (-0.5, 0.0)


@pytest.mark.parametrize(
    ("token_ids", "log_probs", "want"),
    [
        (None, (-0.5,), "1 log-probabilities for no token ids"),
        ((1, 2), (-0.5,), "1 log-probabilities for 2 token ids"),
        ((1,), (float("nan"),), "not finite"),
        ((1,), (float("-inf"),), "not finite"),
    ],
    ids=["no ids", "too few", "no number", "impossible token"],
)
def test_log_probabilities_that_fit_no_tokens_are_refused(
    token_ids: tuple[int, ...] | None, log_probs: tuple[float, ...], want: str
) -> None:
    with pytest.raises(EpisodeError, match=want):
        ModelReply(text="", finish_reason=FinishReason.STOP, token_ids=token_ids, log_probs=log_probs)


def test_a_protocol_of_ones_own_needs_no_registration() -> None:
    protocol = Protocol(
        name="mine-v2",
        version=2,
        system=None,
        user="{question}",
        tool_result="more: <image>",
        tool_error="no: {error}",
        force_answer="now",
        offers_tools=True,
    )
    ask = _ask(_played(replace(SPEC, protocol=protocol), CALL))
    assert ask.messages[-1].text == "more: "
    assert isinstance(start(replace(SPEC, protocol=protocol)).state, EpisodeState)
