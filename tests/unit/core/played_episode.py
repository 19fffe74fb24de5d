"""An episode, and what it takes to play one by hand."""

from visionthink.core import (
    AskModel,
    EpisodeSpec,
    Event,
    Finish,
    FinishReason,
    ModelReply,
    ResizeImage,
    Size,
    Step,
    ToolBox,
    ViewRule,
    advance,
    full_view,
    get_protocol,
    quarter_view,
    render_call,
    start,
)

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


def reply_of(text: str, finish_reason: FinishReason = FinishReason.STOP) -> ModelReply:
    return ModelReply(text=text, finish_reason=finish_reason)


def played(spec: EpisodeSpec, *events: str | Event) -> Step:
    """The step after these events; a text stands for a reply that the model ended itself."""
    step = start(spec)
    for event in events:
        step = advance(step.state, reply_of(event) if isinstance(event, str) else event)
    return step


def asked_of(step: Step) -> AskModel:
    assert isinstance(step.command, AskModel)
    return step.command


def finish_of(step: Step) -> Finish:
    assert isinstance(step.command, Finish)
    return step.command
