"""How much attention some tokens give to all. Pure.

Rule: computed for those who give it alone, so that a model may run any attention kernel, also one that keeps no scores.
"""

import torch


def given(
    queries: torch.Tensor, keys: torch.Tensor, allowed: torch.Tensor | None = None, *, scaling: float
) -> torch.Tensor:
    """[Q, K]: the attention that each of Q queries gives to each of K keys, mean over the heads.

    `queries` is [H, Q, d], `keys` [G, K, d] with G dividing H (grouped-query attention: H / G heads share a key);
    `allowed`, bool [Q, K], says who may see whom, None lets everybody.
    """
    keys = keys.repeat_interleave(queries.shape[0] // keys.shape[0], dim=0)
    scores = (queries.float() @ keys.float().transpose(1, 2)) * scaling
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -torch.inf)
    return scores.softmax(dim=-1).mean(dim=0)


def received(queries: torch.Tensor, keys: torch.Tensor, *, scaling: float, chunk: int = 128) -> torch.Tensor:
    """[K]: the attention that each key gets, mean over all queries and heads; `chunk` queries at a time."""
    total = torch.zeros(keys.shape[1], device=keys.device)
    for part in torch.split(queries, chunk, dim=1):
        total += given(part, keys, scaling=scaling).sum(dim=0)
    return total / queries.shape[1]
