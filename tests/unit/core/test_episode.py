"""The loop, step by step: what the model is asked, how each reply ends or continues it, and what is left of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.core.played_episode import (
    ANSWER,
    BAD_CALL,
    CALL,
    FULL,
    QUARTER,
    SPEC,
    asked_of,
    finish_of,
    played,
    reply_of,
)

from visionthink.core import (
    TRANSITIONS,
    Action,
    BackendFailed,
    EpisodeState,
    Event,
    FinishReason,
    ModelReply,
    Outcome,
    Phase,
    Protocol,
    Role,
    Signal,
    Size,
    ToolBox,
    ViewRule,
    advance,
    get_protocol,
    render_call,
    start,
)
from visionthink.errors import ConfigError, DataError, EpisodeError


def test_first_ask_shows_the_quarter_view() -> None:
    ask = asked_of(start(SPEC))
    assert (ask.turn, ask.forced) == (1, False)
    assert [message.role for message in ask.messages] == [Role.SYSTEM, Role.USER]
    assert ask.messages[-1].views == (QUARTER,)


def test_first_ask_shows_the_full_view_when_told_to() -> None:
    assert asked_of(start(replace(SPEC, first_view="full"))).messages[-1].views == (FULL,)


def test_an_answer_ends_the_episode() -> None:
    finish = finish_of(played(SPEC, ANSWER))
    assert (finish.outcome, finish.answer, finish.error) == (Outcome.ANSWERED, "red", None)
    assert finish.trace.views == (QUARTER,)
    assert finish.trace.messages[-1].text == ANSWER


def test_a_call_shows_the_full_view_next_to_the_first_one() -> None:
    ask = asked_of(played(SPEC, CALL))
    assert (ask.turn, ask.forced) == (2, False)
    assert [view for message in ask.messages for view in message.views] == [QUARTER, FULL]


def test_a_call_costs_its_view_on_top_of_the_first() -> None:
    trace = finish_of(played(SPEC, CALL, ANSWER)).trace
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
    ask = asked_of(played(SPEC, call))
    assert ask.messages[-1] == SPEC.protocol.tool_error_message(want)
    trace = finish_of(played(SPEC, call, ANSWER)).trace
    assert (trace.turns[0].signal, trace.turns[0].error) == (Signal.BAD_CALL, want)
    assert (trace.num_tool_calls, trace.num_views_asked) == (1, 0)


@pytest.mark.parametrize("last_call", [CALL, BAD_CALL], ids=["good", "bad"])
def test_a_call_in_the_last_turn_forces_the_answer(last_call: str) -> None:
    ask = asked_of(played(SPEC, CALL, last_call))
    assert (ask.turn, ask.forced) == (3, True)
    assert ask.messages[-1] == SPEC.protocol.force_answer_message()
    finish = finish_of(played(SPEC, CALL, last_call, ANSWER))
    assert (finish.outcome, finish.answer) == (Outcome.ANSWERED, "red")
    assert finish.trace.views == (QUARTER, FULL)  # The call in the last turn was granted nothing.
    assert [turn.forced for turn in finish.trace.turns] == [False, False, True]


@pytest.mark.parametrize("forced_call", [CALL, BAD_CALL], ids=["good", "bad"])
def test_a_call_when_the_answer_is_forced_ends_without_one(forced_call: str) -> None:
    finish = finish_of(played(SPEC, CALL, CALL, forced_call))
    assert (finish.outcome, finish.answer) == (Outcome.NO_ANSWER, None)
    assert finish.trace.num_tool_calls == 3


@pytest.mark.parametrize("so_far", [(), (CALL,), (CALL, CALL)], ids=["first turn", "last turn", "forced turn"])
@pytest.mark.parametrize(
    ("event", "want", "answer"),
    [
        (reply_of(" it is red "), Outcome.UNTAGGED, "it is red"),
        (reply_of(""), Outcome.EMPTY, None),
        (reply_of(" \n"), Outcome.EMPTY, None),
        (reply_of("<think>and on and on", FinishReason.LENGTH), Outcome.TRUNCATED, None),
        (reply_of("<answer>re", FinishReason.LENGTH), Outcome.TRUNCATED, None),
        (reply_of(f"{ANSWER} and on and on", FinishReason.LENGTH), Outcome.TRUNCATED, "red"),
        (reply_of(CALL, FinishReason.LENGTH), Outcome.TRUNCATED, None),
        (reply_of("", FinishReason.LENGTH), Outcome.EMPTY, None),
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
    finish = finish_of(played(SPEC, *so_far, event))
    assert (finish.outcome, finish.answer) == (want, answer)
    assert len(finish.trace.turns) == len(so_far) + 1


@pytest.mark.parametrize("so_far", [(), (CALL,), (CALL, CALL)], ids=["first turn", "last turn", "forced turn"])
def test_a_failed_backend_fails_the_episode_and_keeps_its_trace(so_far: tuple[str, ...]) -> None:
    step = played(SPEC, *so_far, BackendFailed(error="no answer within 5 s"))
    finish = finish_of(step)
    assert (finish.outcome, finish.answer, finish.error) == (Outcome.FAILED, None, "no answer within 5 s")
    assert finish.trace.replies == so_far
    assert step.state.phase is Phase.FAILED


@pytest.mark.parametrize("event", [reply_of(ANSWER), BackendFailed(error="gone")], ids=["reply", "failure"])
@pytest.mark.parametrize("ending", [reply_of(ANSWER), BackendFailed(error="gone")], ids=["done", "failed"])
def test_an_ended_episode_takes_nothing_more(ending: Event, event: Event) -> None:
    ended = played(SPEC, ending).state
    for _ in range(2):  # It stays ended.
        with pytest.raises(EpisodeError, match=f"an episode that is {ended.phase.value} was sent"):
            advance(ended, event)


def test_only_events_are_taken() -> None:
    with pytest.raises(EpisodeError, match="takes a ModelReply, NoRoom or BackendFailed, not str"):
        advance(start(SPEC).state, "red")  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["general-v1", "compact-general-v1"])
def test_without_tools_a_call_forces_the_answer_at_once(protocol: str) -> None:
    spec = replace(SPEC, protocol=get_protocol(protocol), toolbox=ToolBox(), max_turns=5)
    assert asked_of(played(spec, CALL)).forced
    trace = finish_of(played(spec, CALL, ANSWER)).trace
    assert (trace.turns[0].error, trace.num_views_asked) == ('there is no function "resize_image", available: none', 0)


def test_one_turn_leaves_only_the_forced_answer_after_a_call() -> None:
    assert asked_of(played(replace(SPEC, max_turns=1), CALL)).forced


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
    ask = asked_of(advance(start(SPEC).state, reply))
    assert [message.token_ids for message in ask.messages] == [None, None, (1, 2, 3), None]


def test_advance_leaves_the_old_state_alone() -> None:
    before = start(SPEC).state
    first, second = advance(before, reply_of(CALL)), advance(before, reply_of(CALL))
    assert first == second
    assert before == start(SPEC).state


def test_trace_is_json_with_its_sums() -> None:
    reply = ModelReply(
        text=CALL, finish_reason=FinishReason.STOP, num_prompt_tokens=300, num_reply_tokens=20, latency_s=0.5
    )
    trace = finish_of(played(SPEC, reply, replace(reply, text=ANSWER, num_prompt_tokens=1400))).trace
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


@pytest.mark.parametrize("shrink", [1, 2, 3, 4, 8])
def test_a_resize_shows_the_full_view_however_small_the_first_look_was(shrink: int) -> None:
    spec = replace(SPEC, rule=ViewRule(shrink=shrink))
    first, second = finish_of(played(spec, CALL, ANSWER)).trace.views
    assert second == FULL
    assert first.visual_tokens == pytest.approx(FULL.visual_tokens / shrink**2, rel=0.1)


def test_an_aborted_reply_fails_the_episode_and_is_no_part_of_it() -> None:
    step = played(SPEC, CALL, reply_of(ANSWER, FinishReason.ABORTED))
    finish = finish_of(step)
    assert (finish.outcome, finish.answer, finish.retryable) == (Outcome.FAILED, None, True)
    assert finish.error == "the engine gave up in mid-reply"
    assert finish.trace.replies == (CALL,)
    assert finish.trace.messages == asked_of(played(SPEC, CALL)).messages
    assert step.state.phase is Phase.FAILED


def test_a_reply_keeps_a_log_probability_per_token() -> None:
    reply = ModelReply(text=ANSWER, finish_reason=FinishReason.STOP, token_ids=(1, 2), log_probs=(-0.5, 0.0))
    assert finish_of(played(SPEC, reply)).trace.turns[0].reply.log_probs == (-0.5, 0.0)


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
    ask = asked_of(played(replace(SPEC, protocol=protocol), CALL))
    assert ask.messages[-1].text == "more: "
    assert isinstance(start(replace(SPEC, protocol=protocol)).state, EpisodeState)
