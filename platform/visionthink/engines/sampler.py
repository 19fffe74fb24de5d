"""Draws the next token of every row of a batch, each row from its own stream of random numbers.

Rule: a row's draw depends on its own scores, settings and seed alone. So the same request with the same seed gets the
same reply in any batch and beside any other work, and nothing touches torch's global generator, which a trainer in the
same process relies on.

How: argmax(log p - log(-log u)) with u uniform is an exact draw from p (the Gumbel-max trick). `generate` may then stay
greedy: the noise makes its argmax a draw.
"""

from collections.abc import Callable, Sequence

import torch
from transformers import LogitsProcessor, StoppingCriteria

from visionthink.engines.engine import Sampling


class RowSampler(LogitsProcessor):
    """Rewrites scores so that each row's highest is its drawn token. B rows, V tokens."""

    def __init__(self, samplings: Sequence[Sampling], seeds: Sequence[int], forbidden: torch.Tensor) -> None:
        """One sampling and one seed a row; `forbidden` (bool [V]) marks what no reply may hold."""
        device = forbidden.device
        self._forbidden = forbidden
        self._temperature = torch.tensor([[1.0 if s.is_greedy else s.temperature] for s in samplings], device=device)
        self._top_p = torch.tensor([[s.top_p] for s in samplings], device=device)
        self._min_p = torch.tensor([[s.min_p] for s in samplings], device=device)
        self._top_k = torch.tensor([[s.top_k or len(forbidden)] for s in samplings], device=device)
        self._cuts_tail = any((s.top_p < 1.0 or s.top_k or s.min_p) and not s.is_greedy for s in samplings)
        self._streams = {
            row: torch.Generator(device=device).manual_seed(seed)
            for row, (sampling, seed) in enumerate(zip(samplings, seeds, strict=True))
            if not sampling.is_greedy
        }

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores [B, V] in, scores of which argmax is the draw out."""
        scores = scores.masked_fill(self._forbidden, -torch.inf)
        if not self._streams:
            return scores
        scores = scores / self._temperature
        if self._cuts_tail:
            scores = self._without_tail(scores)
        uniform = torch.full_like(scores, 0.5)  # the same for every token: a greedy row keeps its order
        for row, stream in self._streams.items():
            uniform[row].uniform_(generator=stream)
        return scores - uniform.log_().neg_().log_()

    def _without_tail(self, scores: torch.Tensor) -> torch.Tensor:
        """Keep each row's tokens that `min_p` and `top_k` allow, and of them the likeliest until they hold `top_p`.

        The likeliest one always stays.
        """
        ordered, order = scores.sort(dim=-1, descending=True)
        probabilities = ordered.softmax(dim=-1)
        rank = torch.arange(scores.shape[-1], device=scores.device)
        tail = (rank >= self._top_k) | (probabilities < self._min_p * probabilities[:, :1])
        probabilities = ordered.masked_fill(tail, -torch.inf).softmax(dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        tail |= before >= self._top_p
        return scores.masked_fill(torch.zeros_like(tail).scatter_(-1, order, tail), -torch.inf)


class StopWhen(StoppingCriteria):
    """Ends rows that nobody waits for any more, and hands out what was drawn."""

    def __init__(self, is_done: Callable[[int], bool], on_tokens: Callable[[list[int]], None] | None = None) -> None:
        """Ask `is_done(row)` after every token, and tell `on_tokens`, if anybody, the last token of each row."""
        self._is_done = is_done
        self._on_tokens = on_tokens

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: object) -> torch.Tensor:
        """Bool [B]: true ends a row."""
        if self._on_tokens is not None:  # reading them waits for the accelerator
            self._on_tokens(input_ids[:, -1].tolist())
        rows = range(input_ids.shape[0])
        return torch.tensor([self._is_done(row) for row in rows], dtype=torch.bool, device=input_ids.device)
