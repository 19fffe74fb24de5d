"""Turns a conversation into the ids and pixels that a Qwen2.5-VL model takes; engine, trainer and tests share it.

Rule: the processor's own chat template decides every id that the model did not write, and the model's own ids are used
for what it did write. A template may rewrite a reply (some drop the thinking of earlier turns), and a tokenizer may cut
a reply's text into other tokens than the model chose; both would train or prompt on something that never happened. So
the template is rendered with a placeholder for each reply, and the reply's ids are spliced in.

Prompt and reply are tokenised apart, because that is how they come about: a model starts to write after the prompt's
last token. Without spliced ids the result equals the processor's own as long as no reply starts with white space.

Shapes: L ids of a conversation, P patches and N views of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import torch
from PIL import Image
from transformers import Qwen2_5_VLProcessor

from visionthink.core.geometry import View
from visionthink.core.message import ImagePart, Message, Role
from visionthink.core.trace import FinishReason, Trace
from visionthink.engines.view_cache import ViewCache
from visionthink.errors import ConfigError, DataError
from visionthink.picture import cut

END_OF_TURN: Final = "<|im_end|>"
_PLACEHOLDER: Final = "\ue000reply\ue001"  # private-use characters: no tokenizer, template or question holds them
_Turn: TypeAlias = tuple[str, tuple[str | None, ...]]  # role, and per part its text, or None for a view


class Pixels(NamedTuple):
    """One view as the vision tower takes it. Equal views of one picture share one object while it is cached."""

    patches: torch.Tensor
    """float32 [patches of the view, patch size]."""
    grid_thw: torch.Tensor
    """int64 [1, 3]: patches in time, height and width."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """One conversation as a model takes it."""

    input_ids: torch.Tensor
    """int64 [L], with as many image pads per view as it has visual tokens."""
    reply_mask: torch.Tensor
    """bool [L]: true exactly on what the model wrote, the end-of-turn token included when it wrote one."""
    views: tuple[Pixels, ...]
    """The views in the order in which the model sees them."""

    @property
    def pixel_values(self) -> torch.Tensor | None:
        """float32 [P, patch size], the views' patches one after the other; None without a view."""
        return torch.cat([view.patches for view in self.views]) if self.views else None

    @property
    def image_grid_thw(self) -> torch.Tensor | None:
        """int64 [N, 3]: patches of each view in time, height and width; None without a view."""
        return torch.cat([view.grid_thw for view in self.views]) if self.views else None

    @property
    def num_tokens(self) -> int:
        """L."""
        return int(self.input_ids.shape[0])


class Encoder:
    """Encodes conversations with one processor; keeps rendered texts and pixels. Safe to share between threads."""

    def __init__(
        self, processor: Qwen2_5_VLProcessor, *, max_pixel_bytes: int = 256 * 2**20, max_texts: int = 4096
    ) -> None:
        """Keep at most `max_pixel_bytes` of pixels (with their pictures) and `max_texts` tokenised texts of each kind.

        Raises:
            ConfigError: the processor lacks a chat template or one of Qwen2.5-VL's tokens.
        """
        self.processor = processor
        tokenizer = processor.tokenizer
        if not processor.chat_template:
            raise ConfigError("the processor has no chat template; save one beside it (chat_template.jinja)")
        self.end_id = _token_id(processor, END_OF_TURN)
        self.image_id = _token_id(processor, processor.image_token)
        self.pad_id = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.end_id)
        self.control_ids = tuple(sorted({*tokenizer.all_special_ids, self.end_id, self.image_id}))
        """Ids that structure a conversation; a text must hold none of them."""
        controls = tokenizer.convert_ids_to_tokens(list(self.control_ids))
        self._control = re.compile("|".join(map(re.escape, [*controls, _PLACEHOLDER])))
        self._pieces = lru_cache(maxsize=max_texts)(self._rendered)
        self._reply_ids = lru_cache(maxsize=max_texts)(self._tokenized)
        self._pixels: ViewCache[Pixels] = ViewCache(self._processed, size_bytes=_num_bytes, max_bytes=max_pixel_bytes)

    @property
    def held_pixel_bytes(self) -> int:
        """What the kept pixel tensors weigh."""
        return self._pixels.held_bytes

    def encode(
        self,
        messages: Sequence[Message],
        picture: Image.Image,
        *,
        further_pictures: Sequence[Image.Image] = (),
        add_generation_prompt: bool = False,
        open_end: bool = False,
    ) -> Encoded:
        """Ids, mask and pixels of a conversation about `picture`, and `further_pictures` where it is about several.

        `add_generation_prompt` ends it where the assistant starts to write. `open_end` says that the last message is a
        reply that ran out of tokens: the sequence stops with its last token, without an end-of-turn that nobody wrote.

        Raises:
            DataError: a text holds a control token, or a reply shows a view.
            ConfigError: processor and geometry disagree about a view, or the template drops or repeats a message.
        """
        pieces = self._pieces(tuple(self._turn(message) for message in messages), add_generation_prompt)
        replies = [self._written(message) for message in messages if message.role is Role.ASSISTANT]
        views = [view for message in messages for view in message.views]
        pictures = (picture, *further_pictures)
        ids, mask = self._joined(pieces, replies, views)
        if open_end:
            end = len(ids) - len(pieces[-1])
            ids, mask = ids[:end], mask[:end]
        return Encoded(
            input_ids=torch.tensor(ids, dtype=torch.int64),
            reply_mask=torch.tensor(mask, dtype=torch.bool),
            views=tuple(self._pixels.get(pictures[view.picture], view) for view in views),
        )

    def encode_trace(self, trace: Trace, picture: Image.Image) -> Encoded:
        """Ids, mask and pixels of a whole episode, for training on it. See `encode`."""
        is_cut = bool(trace.turns) and trace.turns[-1].reply.finish_reason is FinishReason.LENGTH
        return self.encode(trace.messages, picture, open_end=is_cut)

    def _turn(self, message: Message) -> _Turn:
        """What the template depends on: a reply's text is left out."""
        if message.role is Role.ASSISTANT:
            if message.views:
                raise DataError("an assistant message shows a view; only the user's side shows pictures")
            return message.role.value, (_PLACEHOLDER,)
        parts = tuple(None if isinstance(part, ImagePart) else part.text for part in message.parts)
        for text in parts:
            self._check(text or "")
        return message.role.value, parts

    def _check(self, text: str) -> None:
        if found := self._control.search(text):
            raise DataError(f"a text holds the control token {found.group()!r}, which would forge a turn; remove it")

    def _rendered(self, turns: tuple[_Turn, ...], add_generation_prompt: bool) -> tuple[tuple[int, ...], ...]:
        """Ids before, between and after the replies, each view as one image pad."""
        conversation: Any = [{"role": role, "content": _content(parts)} for role, parts in turns]
        text = self.processor.apply_chat_template(
            conversation, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        pieces = tuple(self._tokenized(piece) for piece in str(text).split(_PLACEHOLDER))
        num_replies = sum(parts == (_PLACEHOLDER,) for _, parts in turns)
        num_views = sum(parts.count(None) for _, parts in turns)
        if len(pieces) != num_replies + 1:
            raise ConfigError(
                f"the chat template renders {len(pieces) - 1} of {num_replies} replies; mend the template"
            )
        num_pads = sum(piece.count(self.image_id) for piece in pieces)
        if num_pads != num_views:
            raise ConfigError(f"the chat template renders {num_pads} of {num_views} views; mend the template")
        if any(piece[:1] != (self.end_id,) for piece in pieces[1:]):
            raise ConfigError(f"the chat template puts something between a reply and its {END_OF_TURN}; mend it")
        return pieces

    def _tokenized(self, text: str) -> tuple[int, ...]:
        return tuple(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _written(self, reply: Message) -> tuple[int, ...]:
        if reply.token_ids is not None:
            return reply.token_ids
        self._check(reply.text)
        return self._reply_ids(reply.text)

    def _joined(
        self, pieces: Sequence[tuple[int, ...]], replies: Sequence[tuple[int, ...]], views: Sequence[View]
    ) -> tuple[list[int], list[bool]]:
        """All ids with the views' pads spelled out, and the mask of the replies."""
        ids: list[int] = []
        mask: list[bool] = []
        left = iter(views)
        for index, piece in enumerate(pieces):
            start = len(ids)
            for token in piece:
                ids.extend([token] * next(left).visual_tokens if token == self.image_id else [token])
            mask.extend([False] * (len(ids) - start))
            if index > 0:
                mask[start] = True  # the end-of-turn token, which closes the reply before
            if index < len(replies):
                ids.extend(replies[index])
                mask.extend([True] * len(replies[index]))
        return ids, mask

    def _processed(self, picture: Image.Image, view: View) -> Pixels:
        made = self.processor.image_processor(images=[cut(picture, view)], return_tensors="pt")
        patches, grid = made["pixel_values"], made["image_grid_thw"]
        num_tokens = int(grid.prod()) // self.processor.image_processor.merge_size**2
        if num_tokens != view.visual_tokens:
            size = f"{view.size.width} x {view.size.height}"
            raise ConfigError(
                f"the processor makes {num_tokens} visual tokens of a view of {size} pixels where the geometry counts "
                f"{view.visual_tokens}; let the processor's min_pixels and max_pixels include {view.size.pixels}, and "
                f"the rule's multiple ({view.multiple}) equal patch_size * merge_size"
            )
        return Pixels(patches, grid)


def encode(messages: Sequence[Message], picture: Image.Image, processor: Qwen2_5_VLProcessor) -> Encoded:
    """One conversation, encoded without keeping anything; see `Encoder` for more than one."""
    return Encoder(processor).encode(messages, picture)


def _content(parts: tuple[str | None, ...]) -> str | list[dict[str, str]]:
    """A text alone as a string, which every template knows; else the list form."""
    if len(parts) == 1 and parts[0] is not None:
        return parts[0]
    return [{"type": "image"} if text is None else {"type": "text", "text": text} for text in parts]


def _token_id(processor: Qwen2_5_VLProcessor, token: str) -> int:
    found = processor.tokenizer.get_vocab().get(token)
    if found is None:
        raise ConfigError(f"the tokenizer has no token {token!r}; this needs a tokenizer of the Qwen2.5-VL family")
    return int(found)


def _num_bytes(pixels: Pixels) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in pixels)
