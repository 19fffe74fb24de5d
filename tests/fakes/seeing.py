"""An engine that sees what a good base model sees: fine print in the full view or its region, the rest in any view.

It answers from the ground truth of the samples it was told about, so a stage around it can be checked to the number.
"""

from collections.abc import Mapping, Sequence

from visionthink.core.episode import BackendFailed
from visionthink.core.sample import Sample
from visionthink.engines import Request, ScriptedEngine
from visionthink.engines.scripted import ScriptLine
from visionthink.picture import decode

_CALL = '<tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'


def seeing_engine(samples: Sequence[Sample], *, asks: bool = True, fails_on: Sequence[str] = ()) -> ScriptedEngine:
    """Knows `samples`; asks where the full view is needed, if it `asks` at all; fails on the ids in `fails_on`."""
    known = {_key(sample): sample for sample in samples}

    def reply(request: Request) -> ScriptLine:
        sample = _found(known, request)
        if sample.id in fails_on:
            return BackendFailed(error="out of order")
        views = [view for message in request.messages for view in message.views]
        is_full = max(view.size.pixels for view in views) >= request.picture.width * request.picture.height
        is_there = any(view.box and sample.region and view.box.contains(sample.region) for view in views)
        if sample.needs_high_res and not (is_full or is_there):
            may_ask = "more pixels" in request.messages[0].text
            return f"<think>small</think>{_CALL}" if asks and may_ask else "<think>hm</think><answer>?</answer>"
        return f"<think>clear</think><answer>{sample.answer}</answer>"

    return ScriptedEngine(reply, model="seeing")


def _key(sample: Sample) -> tuple[bytes, str]:
    return decode(sample.picture).tobytes(), sample.question


def _found(known: Mapping[tuple[bytes, str], Sample], request: Request) -> Sample:
    pixels, text = request.picture.tobytes(), request.messages[0].text
    return next(sample for (data, question), sample in known.items() if data == pixels and text.startswith(question))
