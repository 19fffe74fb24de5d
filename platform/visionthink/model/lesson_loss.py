"""Lessons as tensors: weighted cross entropy on the replies. B lessons, L ids, T reply tokens of the whole batch."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, cast

import torch
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration

from visionthink.core.message import Message, Role
from visionthink.engines.batch import collate
from visionthink.engines.encoding import Encoder
from visionthink.model.gaze import gaze_loss, gazes, watched
from visionthink.model.lesson import Lesson

_END_WEIGHT = 1.0
_IS_ANSWER = 2.0
"""Weights above this mark the tokens of answers."""


def lesson_loss(
    model: Qwen2_5_VLForConditionalGeneration, encoder: Encoder, lessons: Sequence[Lesson], *, gaze_weight: float = 0.0
) -> tuple[torch.Tensor, float]:
    """The weighted mean cross entropy of a batch, and the share of answer tokens that the model would have written.

    With `gaze_weight` the loss also says where to look (`gaze`); call it under `shown_attention`.
    """
    written = [_written(lesson, encoder) for lesson in lessons]
    rows = [encoder.encode(messages, lesson.picture) for (messages, _), lesson in zip(written, lessons, strict=True)]
    batch = collate(rows, encoder, padding="right")
    with ExitStack() as stack:
        attention = stack.enter_context(watched(model)) if gaze_weight else []
        logits = cast("Any", model)(**batch.model_inputs(model.device)).logits[:, :-1]
    mask = batch.reply_mask[:, 1:]
    logits, ids = logits[mask].float(), batch.input_ids[:, 1:][mask]
    weights = torch.tensor([weight for _, row in written for weight in row])
    losses = functional.cross_entropy(logits, ids, reduction="none")
    is_answer = weights > _IS_ANSWER
    right = (logits.argmax(-1) == ids)[is_answer].float().mean().item()
    loss = (losses * weights).sum() / weights.sum()
    if gaze_weight:
        marks = [mark for row, each in enumerate(lessons) for mark in gazes(each, rows[row], encoder, row=row)]
        loss = loss + gaze_weight * gaze_loss(attention[0], marks)
    return loss, right


def _written(lesson: Lesson, encoder: Encoder) -> tuple[list[Message], list[float]]:
    """The messages with the replies' own ids, and a weight for every reply token, in order."""
    tokenizer = encoder.processor.tokenizer
    messages: list[Message] = []
    weights: list[float] = []
    replies = iter(lesson.replies)
    for message in lesson.messages:
        if message.role is not Role.ASSISTANT:
            messages.append(message)
            continue
        ids: list[int] = []
        for piece in next(replies):
            piece_ids = tokenizer(piece.text, add_special_tokens=False)["input_ids"]
            ids += piece_ids
            weights += [piece.weight] * len(piece_ids)
        weights.append(_END_WEIGHT)
        messages.append(replace(message, token_ids=tuple(ids)))
    return messages, weights
