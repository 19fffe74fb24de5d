"""The state machine under every input: a legal state or the protocol error, never more asks than the budget."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.property.core.strategies import sizes, view_rules

from visionthink.core import (
    PROTOCOLS,
    TOOLS,
    TRANSITIONS,
    AskModel,
    BackendFailed,
    Box,
    EpisodeSpec,
    Event,
    Finish,
    FinishReason,
    Json,
    ModelReply,
    NoRoom,
    Outcome,
    Phase,
    Role,
    Signal,
    Size,
    Step,
    ToolBox,
    advance,
    get_protocol,
    render_call,
    shown_box,
    start,
)
from visionthink.errors import EpisodeError

TEXTS = {
    Signal.ANSWER: "<think>clear</think><answer>red</answer>",
    Signal.CALL: render_call("resize_image", {"action": "resize"}),
    Signal.BAD_CALL: "<tool_call>{broken</tool_call>",
    Signal.UNTAGGED: "red",
    Signal.EMPTY: " ",
}
OUTCOMES_OF_PHASES = {Phase.DONE: set(Outcome) - {Outcome.FAILED}, Phase.FAILED: {Outcome.FAILED}}


def _event_of(signal: Signal) -> Event:
    """An event that means ``signal`` while tools are on offer."""
    if signal is Signal.BACKEND_FAILED:
        return BackendFailed(error="gone")
    if signal is Signal.NO_ROOM:
        return NoRoom(error="1030 tokens do not fit 1024")
    if signal is Signal.TRUNCATED:
        return ModelReply(text="<think>and on", finish_reason=FinishReason.LENGTH)
    return ModelReply(text=TEXTS[signal], finish_reason=FinishReason.STOP)


def _any_text() -> st.SearchStrategy[str]:
    tags = [
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<answer>",
        "</answer>",
        "{",
        "}",
        '"name"',
        "<image>",
    ]
    pieces = st.sampled_from([*tags, *TEXTS.values()]) | st.text(max_size=5)
    return st.lists(pieces, max_size=8).map("".join)


@st.composite
def crops(draw: st.DrawFn) -> str:
    """A crop of any box, most of them bad, in any view; or a zoom."""
    if draw(st.integers(0, 3)) == 0:
        return render_call("zoom_image", {"factor": draw(st.integers(1, 5))})
    sides: list[Json] = [draw(st.integers(-2, 300)) for _ in range(4)]
    numbers: dict[str, Json] = {"view": draw(st.integers(0, 5))} if draw(st.booleans()) else {}
    return render_call("crop_image", {"bbox_2d": sides, **numbers})


@st.composite
def events(draw: st.DrawFn) -> Event:
    if draw(st.integers(0, 9)) == 0:
        error = draw(st.text(max_size=9))
        return BackendFailed(error=error) if draw(st.booleans()) else NoRoom(error=error)
    token_ids = draw(st.none() | st.lists(st.integers(0, 999), max_size=3).map(tuple))
    return ModelReply(
        text=draw(_any_text() | st.sampled_from(list(TEXTS.values())) | crops()),
        finish_reason=draw(st.sampled_from(FinishReason)),
        token_ids=token_ids,
        log_probs=draw(st.none() | st.just((-0.5,) * len(token_ids))) if token_ids is not None else None,
        num_prompt_tokens=draw(st.integers(0, 9999)),
        num_reply_tokens=draw(st.integers(0, 999)),
        latency_s=draw(st.floats(0, 9)),
    )


@st.composite
def specs(draw: st.DrawFn) -> EpisodeSpec:
    original, *further = draw(st.lists(sizes(), min_size=1, max_size=3))
    return EpisodeSpec(
        question=draw(st.sampled_from(["what ?", "<image>" * (len(further) + 1) + "\nwhat ?", ""])),
        original=original,
        further_originals=tuple(further),
        protocol=draw(st.sampled_from(PROTOCOLS)),
        toolbox=ToolBox(TOOLS.values()),
        rule=draw(view_rules()),
        first_view=draw(st.sampled_from(["quarter", "full"])),
        max_turns=draw(st.integers(1, 5)),
    )


def _played(spec: EpisodeSpec, inputs: list[Event]) -> list[Step]:
    """All steps, up to the end of the episode or of the inputs."""
    steps = [start(spec)]
    for event in inputs:
        if isinstance(steps[-1].command, Finish):
            break
        steps.append(advance(steps[-1].state, event))
    return steps


class EpisodeMachine(RuleBasedStateMachine):
    """Sends any event at any time, also after the end, and checks each step against the table."""

    @initialize(spec=specs())
    def begin(self, spec: EpisodeSpec) -> None:
        self.spec = spec
        self.step = start(spec)
        self.num_asks = 1

    @rule(event=events())
    def send(self, event: Event) -> None:
        before = self.step.state
        if isinstance(self.step.command, Finish):
            with pytest.raises(EpisodeError):
                advance(before, event)
            return
        self.step = advance(before, event)
        assert self.step == advance(before, event)  # The same event again gives the same step.
        self.num_asks += isinstance(self.step.command, AskModel)

    @rule(signal=st.sampled_from(Signal))
    def send_meaning(self, signal: Signal) -> None:
        before = self.step.state
        if isinstance(self.step.command, Finish) or (signal is Signal.CALL and not self.spec.protocol.offers_tools):
            return
        self.step = advance(before, _event_of(signal))
        self.num_asks += isinstance(self.step.command, AskModel)
        target = TRANSITIONS[before.phase][signal]
        if isinstance(self.step.command, Finish):
            assert self.step.command.outcome is target
        else:
            assert not isinstance(target, Outcome)

    @invariant()
    def the_state_is_legal(self) -> None:
        phase, command = self.step.state.phase, self.step.command
        if isinstance(command, Finish):
            assert command.outcome in OUTCOMES_OF_PHASES[phase]
            assert not TRANSITIONS[phase]
        else:
            assert phase in {Phase.ASKING, Phase.LAST, Phase.FORCED}
            assert command.forced is (phase is Phase.FORCED)
            assert command.turn == self.num_asks
            assert command.messages == self.step.state.messages
            assert command.messages[-1].role is Role.USER

    @invariant()
    def the_budget_holds(self) -> None:
        assert self.num_asks <= self.spec.max_turns + 1
        assert len(self.step.state.views) <= self.spec.max_turns * len(self.spec.originals)

    @invariant()
    def every_view_was_shown_once_and_in_order(self) -> None:
        state = self.step.state
        assert tuple(view for message in state.messages for view in message.views) == state.views
        pictures = [view.picture for view in state.views]
        assert pictures[: len(self.spec.originals)] == [*range(len(self.spec.originals))]
        assert set(pictures) <= {*range(len(self.spec.originals))}


TestEpisodeMachine = EpisodeMachine.TestCase
TestEpisodeMachine.settings = settings(max_examples=50, deadline=None)  # Of up to 50 steps each.


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("phase", Phase)
@settings(max_examples=20)  # Of each of the 35 pairs.
@given(spec=specs().filter(lambda spec: spec.protocol.offers_tools and spec.max_turns > 1))
def test_every_pair_of_phase_and_signal_is_a_legal_state_or_the_error(
    phase: Phase, signal: Signal, spec: EpisodeSpec
) -> None:
    roads = {
        Phase.ASKING: [],
        Phase.LAST: [Signal.CALL] * (spec.max_turns - 1),
        Phase.FORCED: [Signal.CALL] * spec.max_turns,
        Phase.DONE: [Signal.ANSWER],
        Phase.FAILED: [Signal.BACKEND_FAILED],
    }
    state = _played(spec, [_event_of(earlier) for earlier in roads[phase]])[-1].state
    assert state.phase is phase
    if signal not in TRANSITIONS[phase]:
        with pytest.raises(EpisodeError):
            advance(state, _event_of(signal))
        return
    step = advance(state, _event_of(signal))
    target = TRANSITIONS[phase][signal]
    assert (isinstance(step.command, Finish) and step.command.outcome is target) or not isinstance(target, Outcome)


@given(specs(), st.lists(events(), min_size=6, max_size=6))
def test_an_episode_ends_within_its_turns_and_one_more(spec: EpisodeSpec, inputs: list[Event]) -> None:
    steps = _played(spec, inputs)
    assert isinstance(steps[-1].command, Finish)
    assert len(steps) - 1 <= spec.max_turns + 1


@given(specs(), st.lists(events(), min_size=6, max_size=6))
def test_replay_takes_the_same_decisions(spec: EpisodeSpec, inputs: list[Event]) -> None:
    assert _played(spec, inputs) == _played(spec, inputs)


@given(specs(), st.lists(events(), min_size=6, max_size=6))
def test_accounts_are_the_sums_of_their_parts(spec: EpisodeSpec, inputs: list[Event]) -> None:
    steps = _played(spec, inputs)
    finish = steps[-1].command
    assert isinstance(finish, Finish)
    replies = [
        event
        for event in inputs[: len(steps) - 1]
        if isinstance(event, ModelReply) and event.finish_reason is not FinishReason.ABORTED
    ]
    trace = finish.trace
    assert [turn.reply for turn in trace.turns] == replies
    assert trace.num_prompt_tokens == sum(reply.num_prompt_tokens for reply in replies)
    assert trace.num_reply_tokens == sum(reply.num_reply_tokens for reply in replies)
    assert trace.latency_s == sum(reply.latency_s for reply in replies)
    assert trace.visual_tokens == sum(view.visual_tokens for view in trace.views)
    granted = tuple(view for turn in trace.turns for view in turn.views)
    assert trace.views_asked == granted
    assert trace.visual_tokens_asked == sum(view.visual_tokens for view in granted)
    assert trace.visual_tokens == sum(view.visual_tokens for step in trace.messages for view in step.views)
    assert trace.num_views_asked == len(granted) == len(trace.views) - len(spec.originals)
    assert trace.num_tool_calls >= sum(turn.view is not None for turn in trace.turns)
    written = trace.to_dict()
    assert json.loads(json.dumps(written)) == written


@given(specs(), st.lists(events(), min_size=6, max_size=6))
def test_only_what_can_be_graded_has_an_answer(spec: EpisodeSpec, inputs: list[Event]) -> None:
    finish = _played(spec, inputs)[-1].command
    assert isinstance(finish, Finish)
    if finish.outcome in {Outcome.ANSWERED, Outcome.UNTAGGED}:
        assert finish.answer
    if finish.outcome in {Outcome.EMPTY, Outcome.NO_ANSWER, Outcome.NO_ROOM, Outcome.FAILED}:
        assert finish.answer is None
    assert (finish.error is not None) is (finish.outcome in {Outcome.FAILED, Outcome.NO_ROOM})


@given(specs(), st.lists(events(), min_size=6, max_size=6))
def test_every_view_lies_in_the_picture_and_the_rule(spec: EpisodeSpec, inputs: list[Event]) -> None:
    for view in _played(spec, inputs)[-1].state.views:
        original = spec.originals[view.picture]
        whole = Box(left=0, top=0, right=original.width, bottom=original.height)
        assert whole.contains(shown_box(view, original))
        assert view.size.pixels <= spec.rule.max_pixels
        assert view.size.aspect_ratio <= spec.rule.max_aspect


@given(specs(), st.sampled_from(["resize_image", "zoom_image"]))
def test_what_is_called_without_a_picture_is_what_each_alone_would_be_shown(spec: EpisodeSpec, name: str) -> None:
    arguments: dict[str, Json] = {"action": "resize"} if name == "resize_image" else {"factor": 2}
    call = ModelReply(text=render_call(name, arguments), finish_reason=FinishReason.STOP)
    spec = replace(spec, protocol=get_protocol("tools-v1"), max_turns=3)
    together = _played(spec, [call])[-1].state.turns[0].views
    alone = [
        replace(view, picture=number)
        for number, original in enumerate(spec.originals)
        for view in _played(_about(spec, original), [call])[-1].state.turns[0].views
    ]
    assert list(together) == alone


def _about(spec: EpisodeSpec, original: Size) -> EpisodeSpec:
    return replace(spec, question="what ?", original=original, further_originals=())


@given(specs(), st.lists(events(), min_size=6, max_size=6))
def test_a_turn_with_a_view_holds_the_call_that_it_answers(spec: EpisodeSpec, inputs: list[Event]) -> None:
    for turn in _played(spec, inputs)[-1].state.turns:
        assert turn.view is None or turn.call is not None
        assert (turn.signal is Signal.CALL) <= (turn.call is not None) <= (turn.signal in CALLS)


CALLS = {Signal.CALL, Signal.BAD_CALL}
