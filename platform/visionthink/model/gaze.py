"""A loss on the language model's attention: it is told where to look while it writes what is read off a picture.

What a token holds is worth nothing until it is looked at, and is not looked at until it is worth something. Asked for
what the tag of one of two colors holds, a model of three layers that is told nothing never gets beyond what either of
them holds; told, it looks at the right one within some hundred steps (docs/adr/0009). B rows, L ids, H heads.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, cast

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from visionthink.core.geometry import Box, Size, View
from visionthink.engines.encoding import Encoded, Encoder
from visionthink.model.lesson import Lesson, Piece

_LAYER: Final = 1
"""Of three: the first gathers what is asked for, the last says what was found."""
_LEAST: Final = 1e-4


class Gaze(NamedTuple):
    """Where to look from one position of a row."""

    row: int
    position: int
    columns: tuple[int, ...]
    """Of the row's visual tokens."""


class _Seen(NamedTuple):
    view: View
    columns: range


def gazes(lesson: Lesson, encoded: Encoded, encoder: Encoder, *, row: int) -> Iterator[Gaze]:
    """From where each token is foretold whose evidence lies somewhere, in the latest view that shows any of that."""
    seen = _views(lesson, encoded, encoder)
    written = iter(encoded.reply_mask.nonzero().flatten().tolist())
    for reply in lesson.replies:
        for piece in reply:
            for position in [next(written) for _ in range(_num_tokens(piece, encoder))]:
                if piece.box is not None and (columns := _latest(seen, piece.box, position, lesson.picture)):
                    yield Gaze(row, position - 1, columns)
        next(written)  # the end of the turn


def gaze_loss(attention: torch.Tensor, marks: Sequence[Gaze]) -> torch.Tensor:
    """How unlikely the right places are under `attention` [B, H, L, L], mean over `marks`; heads count alike."""
    if not marks:
        return attention.new_zeros(())
    rows, positions = torch.tensor([mark[:2] for mark in marks], device=attention.device).T
    right = torch.zeros(len(marks), attention.shape[-1], device=attention.device)
    for number, mark in enumerate(marks):
        right[number, list(mark.columns)] = 1.0
    share = (attention[rows, :, positions] * right.unsqueeze(1)).sum(-1).mean(-1)
    return -(share + _LEAST).log().mean()


@contextmanager
def shown_attention(model: Qwen2_5_VLForConditionalGeneration) -> Generator[None]:
    """Within it the language model's attention is computed so that it can be watched."""
    live = cast("Any", model)
    before = live.config.text_config._attn_implementation
    live.set_attn_implementation({"text_config": "eager"})
    try:
        yield
    finally:
        live.set_attn_implementation({"text_config": before})


@contextmanager
def watched(model: Qwen2_5_VLForConditionalGeneration) -> Generator[list[torch.Tensor]]:
    """The attention [B, H, L, L] of each call within it, under `shown_attention`."""
    found: list[torch.Tensor] = []
    layer = cast("Any", model).model.language_model.layers[_LAYER].self_attn
    hook = layer.register_forward_hook(lambda _module, _inputs, output: found.append(output[1]))
    try:
        yield found
    finally:
        hook.remove()


def _views(lesson: Lesson, encoded: Encoded, encoder: Encoder) -> list[_Seen]:
    """Views with the columns of their tokens, which stand together."""
    columns = (encoded.input_ids == encoder.image_id).nonzero().flatten().tolist()
    found: list[_Seen] = []
    for view in (view for message in lesson.messages for view in message.views):
        start = columns[sum(len(one.columns) for one in found)]
        found.append(_Seen(view, range(start, start + view.visual_tokens)))
    return found


def _latest(seen: Sequence[_Seen], box: Box, position: int, picture: Any) -> tuple[int, ...]:
    whole = Size(width=picture.width, height=picture.height)
    shown = (_showing(one, box, whole) for one in reversed(seen) if one.columns.start < position)
    return next((columns for columns in shown if columns), ())


def _showing(seen: _Seen, box: Box, whole: Size) -> tuple[int, ...]:
    """The tokens of a view that show some of a box."""
    frame = seen.view.box or Box(left=0, top=0, right=whole.width, bottom=whole.height)
    across, down = seen.view.size.width // seen.view.multiple, seen.view.size.height // seen.view.multiple
    x = _cells(frame.left, frame.right, across, box.left, box.right)
    y = _cells(frame.top, frame.bottom, down, box.top, box.bottom)
    return tuple(seen.columns[row * across + column] for row in y for column in x)


def _cells(start: int, end: int, num: int, low: int, high: int) -> list[int]:
    """Which of `num` equal parts of [start, end] share something with [low, high]."""
    side = (end - start) / num
    return [cell for cell in range(num) if start + cell * side < high and start + (cell + 1) * side > low]


def _num_tokens(piece: Piece, encoder: Encoder) -> int:
    return len(encoder.processor.tokenizer(piece.text, add_special_tokens=False)["input_ids"])
