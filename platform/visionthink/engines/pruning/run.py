"""Takes one batch through the language model and drops visual tokens on the way.

Rule: dropping is exact. What is left computes what it would compute if the dropped tokens were masked out instead:
positions (time, height, width) stay those of the whole conversation, each layer's cache holds what this layer computed,
and rows that keep different numbers of tokens are padded on the left anew. Decoding takes the caches as they are.

How: the language model's `forward` is replaced on the one instance for the time of a `generate`, so that sampling,
stopping and streaming are the engine's own. Needs a model without sliding-window layers.

Shapes: B rows of L columns, V views in the batch.
"""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, assert_never, cast

import torch
import transformers
from transformers import DynamicCache, Qwen2_5_VLForConditionalGeneration
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

from visionthink.core.pruning import Pruning, num_retained
from visionthink.engines.encoding import Pixels
from visionthink.engines.pruning.attention import given
from visionthink.engines.pruning.fastv import reduce_fastv
from visionthink.engines.pruning.reduction import Reduction, packed
from visionthink.engines.pruning.sparsevlm import num_after, rank_of, raters, reduce_sparsevlm
from visionthink.engines.pruning.tower import TowerTokens, TowerWatch, watched
from visionthink.engines.pruning.visionzip import reduce_visionzip
from visionthink.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Where the views of a batch are."""

    views: tuple[Pixels, ...]
    """V views, row after row."""
    view_of: torch.Tensor
    """int64 [B, L]: which view a visual token belongs to; -1 on text and padding."""
    prunable: torch.Tensor
    """Bool [V]: whether the view may lose tokens."""


def layout_of(is_visual: torch.Tensor, rows: Sequence[Sequence[Pixels]], pruning: Pruning, *, unit: int) -> Layout:
    """The layout of a batch whose row r shows the views `rows[r]`; `is_visual` (bool [B, L]) marks their tokens.

    `unit` is the number of patches of a visual token.
    """
    views = tuple(view for row in rows for view in row)
    sizes = torch.tensor([len(view.patches) // unit for view in views], dtype=torch.int64)
    view_of = torch.full(is_visual.shape, -1)
    view_of[is_visual] = torch.arange(len(views)).repeat_interleave(sizes)
    prunable = [index > 0 or not pruning.spares_first for row in rows for index in range(len(row))]
    return Layout(views=views, view_of=view_of, prunable=torch.tensor(prunable, dtype=torch.bool))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Columns:
    """A batch between two layers: all that stands column by column."""

    hidden: torch.Tensor
    valid: torch.Tensor
    """Bool [B, L]: false on padding."""
    view_of: torch.Tensor
    is_rater: torch.Tensor
    """Bool [B, L]: text that rates the visual tokens."""
    cos: torch.Tensor
    sin: torch.Tensor

    def only(self, keep: torch.Tensor) -> "_Columns":
        """Those of `keep` (bool [B, L]), in rows padded on the left."""
        source, valid = packed(keep)
        wide = source[:, :, None]
        return _Columns(
            hidden=self.hidden.gather(1, wide.expand(-1, -1, self.hidden.shape[2])),
            valid=valid,
            view_of=self.view_of.gather(1, source).masked_fill(~valid, -1),
            is_rater=self.is_rater.gather(1, source) & valid,
            cos=self.cos.gather(1, wide.expand(-1, -1, self.cos.shape[2])),
            sin=self.sin.gather(1, wide.expand(-1, -1, self.sin.shape[2])),
        )


class _LayerBefore(NamedTuple):
    """The layer whose attention tells what may go before the next one."""

    number: int
    columns: _Columns
    """What went into it."""
    keys: torch.Tensor
    """[B, G, L, d]: what it looked at."""


@dataclass(slots=True, kw_only=True, eq=False)
class PrunedRun:
    """One batch from its prompt to its last token."""

    model: Any
    """The language model."""
    pruning: Pruning
    layout: Layout
    watch: TowerWatch | None = None
    """What the vision tower saw, for the method that asks it."""
    num_computed: list[list[int]] = field(default_factory=list)
    """By layer and row, how many visual tokens were computed."""
    _valid: list[torch.Tensor] = field(default_factory=list)
    """By layer, bool [B, columns in its cache]."""

    def num_visual_tokens(self) -> list[float]:
        """By row, the visual tokens that a layer computed, mean over all layers."""
        return [sum(row) / len(row) for row in zip(*self.num_computed, strict=True)]

    def forward(
        self,
        *,
        inputs_embeds: torch.Tensor,
        position_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Any = None,
        **_: object,
    ) -> BaseModelOutputWithPast:
        """Stands in for the language model's own: the prompt first, then token after token."""
        cache = DynamicCache(config=self.model.config) if past_key_values is None else past_key_values
        positions = self.model.rotary_emb(inputs_embeds, position_ids[-3:])
        if self._valid:
            hidden = self._next(inputs_embeds, positions, cache)
        else:
            hidden = self._prompt(inputs_embeds, positions, attention_mask, cache)
        return BaseModelOutputWithPast(last_hidden_state=self.model.norm(hidden), past_key_values=cache)

    def _prompt(
        self,
        embeds: torch.Tensor,
        positions: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None,
        cache: Any,
    ) -> torch.Tensor:
        valid = torch.ones(embeds.shape[:2], dtype=torch.bool, device=embeds.device)
        now = _Columns(
            hidden=embeds,
            valid=valid if attention_mask is None else attention_mask.bool(),
            view_of=self.layout.view_of.to(embeds.device),
            is_rater=torch.zeros_like(valid),
            cos=positions[0],
            sin=positions[1],
        )
        if self.pruning.method == "sparsevlm":
            now = replace(now, is_rater=self._raters(now))
        counts = self._in_rows(now).sum(dim=1).tolist()
        before, mask = now, self._causal_mask(now)
        for number, layer in enumerate(self.model.layers):
            if number in self.pruning.layers:
                keys = cache.layers[number - 1].keys if number else embeds.new_zeros(0)
                now = self._reduced(now, _LayerBefore(number - 1, before, keys), counts)
                mask = self._causal_mask(now)
            before = now
            hidden = layer(
                now.hidden, attention_mask=mask, position_embeddings=(now.cos, now.sin), past_key_values=cache
            )
            now = replace(now, hidden=hidden)
            self._valid.append(now.valid)
            self.num_computed.append((now.view_of >= 0).sum(dim=1).tolist())
        return now.hidden

    def _next(self, hidden: torch.Tensor, positions: tuple[torch.Tensor, torch.Tensor], cache: Any) -> torch.Tensor:
        for number, layer in enumerate(self.model.layers):
            valid = torch.nn.functional.pad(self._valid[number], (0, hidden.shape[1]), value=True)
            self._valid[number] = valid
            mask = None
            if not valid.all():
                mask = torch.zeros(valid.shape, dtype=hidden.dtype, device=hidden.device)
                mask = mask.masked_fill(~valid, torch.finfo(hidden.dtype).min)[:, None, None]
            hidden = layer(hidden, attention_mask=mask, position_embeddings=positions, past_key_values=cache)
        return hidden

    def _causal_mask(self, now: _Columns) -> Any:
        return create_causal_mask(
            config=self.model.config,
            inputs_embeds=now.hidden,
            attention_mask=now.valid.long(),
            past_key_values=None,
        )

    def _in_rows(self, now: _Columns) -> torch.Tensor:
        """Bool [B, L]: the tokens that may be dropped."""
        prunable = torch.cat([self.layout.prunable, self.layout.prunable.new_zeros(1)])  # -1: text
        return prunable.to(now.view_of.device)[now.view_of]

    def _raters(self, now: _Columns) -> torch.Tensor:
        """Who rates: of the text behind the last prunable view, which alone can see it, what is relevant to it."""
        tokens = self._in_rows(now)
        behind = tokens.flip(1).long().cumsum(1).flip(1) == 0
        found = behind & now.valid & (now.view_of < 0)
        for row in tokens.any(dim=1).nonzero().flatten().tolist():
            columns = found[row].nonzero().flatten()
            found[row, columns] = raters(now.hidden[row, tokens[row]], now.hidden[row, columns])
        return found

    def _reduced(self, now: _Columns, before: _LayerBefore, counts: Sequence[int]) -> _Columns:
        """What goes into the next layer; `counts` tells how many prunable tokens the rows of the prompt had."""
        tokens, keep, hidden = self._in_rows(now), now.valid.clone(), now.hidden.clone()
        for row in tokens.any(dim=1).nonzero().flatten().tolist():
            columns = tokens[row].nonzero().flatten()
            left = self._left(now, row, before, num_retained(counts[row], self.pruning.retained_ratio))
            keep[row, columns] = left.kept
            hidden[row, columns] = left.hidden
        return replace(now, hidden=hidden).only(keep)

    def _left(self, now: _Columns, row: int, before: _LayerBefore, budget: int) -> Reduction:
        """What is left of the prunable tokens of a row."""
        columns = self._in_rows(now)[row].nonzero().flatten()
        hidden = now.hidden[row, columns]
        match self.pruning.method:
            case "fastv":
                last = torch.tensor([now.hidden.shape[1] - 1], device=columns.device)
                return reduce_fastv(self._given(row, last, before)[0, columns], hidden, budget)
            case "sparsevlm":
                ratings = self._given(row, now.is_rater[row].nonzero().flatten(), before)[:, columns]
                is_last = before.number + 1 == self.pruning.layers[-1]
                num_left = num_after(len(columns), rank_of(ratings), budget=budget, is_last=is_last)
                return reduce_sparsevlm(ratings, hidden, num_left)
            case "visionzip":
                return self._zipped(now.view_of[row, columns], hidden)
            case method:
                assert_never(method)

    def _given(self, row: int, givers: torch.Tensor, before: _LayerBefore) -> torch.Tensor:
        """[givers, L]: the attention that some columns of a row gave in the layer before."""
        layer, columns, keys = self.model.layers[before.number], before.columns, before.keys[row]
        attention = layer.self_attn
        queries = attention.q_proj(layer.input_layernorm(columns.hidden[row, givers]))
        queries = queries.view(1, len(givers), -1, attention.head_dim).transpose(1, 2)
        cos, sin = columns.cos[row, givers][None], columns.sin[row, givers][None]
        queries, _ = qwen.apply_rotary_pos_emb(queries, queries, cos, sin)
        places = torch.arange(keys.shape[1], device=givers.device)
        allowed = (places[None] <= givers[:, None]) & columns.valid[row]
        return given(queries[0], keys, allowed, scaling=attention.scaling)

    def _zipped(self, view_of: torch.Tensor, hidden: torch.Tensor) -> Reduction:
        """VisionZip, view after view: each was seen by itself."""
        kept, merged = torch.ones_like(view_of, dtype=torch.bool), hidden.clone()
        for view in sorted(set(view_of.tolist())):
            own, seen = view_of == view, self._seen(view)
            budget = num_retained(int(own.sum()), self.pruning.retained_ratio)
            left = reduce_visionzip(seen.attention, seen.keys, hidden[own], budget)
            kept[own], merged[own] = left.kept, left.hidden
        return Reduction(kept, merged)

    def _seen(self, view: int) -> TowerTokens:
        """What the tower made of a view; equal views were encoded once."""
        assert self.watch is not None
        places = {id(one): place for place, one in enumerate({id(one): one for one in self.layout.views}.values())}
        shared = len(self.watch.views) == len(places)
        return self.watch.views[places[id(self.layout.views[view])] if shared else view]


def check_prunable(model: Qwen2_5_VLForConditionalGeneration, pruning: Pruning) -> None:
    """Refuse a model that cannot drop tokens so.

    Raises:
        ConfigError: it has too few layers, or such as see a window of the text alone; or transformers is too old.
    """
    # Before that, each layer joined the three axes of the positions itself, and takes others than are made here.
    if not hasattr(qwen, "apply_rotary_pos_emb"):
        raise ConfigError(
            f"dropping visual tokens needs transformers 5.17 or newer, found {transformers.__version__}; "
            "update it, or ask with pruning off"
        )
    text: Any = model.config.text_config
    pruning.check_depth(int(text.num_hidden_layers))
    if "sliding_attention" in (text.layer_types or ()):
        raise ConfigError("the model has layers with sliding windows, in which no tokens can be dropped; take another")


@contextmanager
def pruned(model: Qwen2_5_VLForConditionalGeneration, pruning: Pruning, layout: Layout) -> Generator[PrunedRun]:
    """Let `model` drop tokens of one batch; encode its views and generate within."""
    language_model = cast("Any", model).model.language_model
    with ExitStack() as stack:
        watch = stack.enter_context(watched(model)) if pruning.method == "visionzip" else None
        run = PrunedRun(model=language_model, pruning=pruning, layout=layout, watch=watch)
        language_model.forward = run.forward
        try:
            yield run
        finally:
            del language_model.forward
