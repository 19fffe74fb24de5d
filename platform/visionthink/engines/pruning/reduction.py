"""What a method decides about the visual tokens of one conversation, and how a batch is put together again. Pure.

Rule: every count is met exactly, and equal scores are told apart by place, so that a reduction repeats to the bit. A
token that is kept keeps its place in the order, and with it its position.

Shapes: n visual tokens of width D, B rows of L tokens.
"""

from typing import NamedTuple

import torch


class Reduction(NamedTuple):
    """What is left of n tokens."""

    kept: torch.Tensor
    """Bool [n]."""
    hidden: torch.Tensor
    """[n, D]: the tokens, those that others were merged into being changed."""


class Packing(NamedTuple):
    """Where each column of a smaller batch comes from."""

    source: torch.Tensor
    """int64 [B, M]: the column of the larger batch."""
    valid: torch.Tensor
    """Bool [B, M]: false on padding, which is on the left."""


def top(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Bool [n]: the `count` highest of `scores` [n]; of equal ones the first."""
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    chosen[scores.argsort(descending=True, stable=True)[:count]] = True
    return chosen


def packed(keep: torch.Tensor) -> Packing:
    """How rows of which only `keep` (bool [B, L]) is left stand side by side, padded on the left."""
    num_columns = int(keep.sum(dim=1).max())
    source = keep.long().argsort(dim=1, stable=True)[:, keep.shape[1] - num_columns :]
    return Packing(source, keep.gather(1, source))
