"""SparseVLM (arXiv 2410.04417v4, sections 3.2 and 3.3). Pure.

Rule: text rates pictures. The words that the picture is about (the raters) are chosen once, from the embeddings. Before
each of a few layers, visual tokens are scored by the attention that the raters gave them; the rank of that matrix says
how many are redundant; the best of those that go are merged into a few that stay, by density-peak clustering.

What the paper leaves open is taken from its released code: 30 % of the dropped tokens are recycled, ten of them into
one, and distances are over sqrt(D). So is the mean of a cluster, where equation 10 writes a sum: that would grow with
the cluster, and no token that the model knows weighs as much.
"""

from typing import Final, NamedTuple

import torch

from visionthink.engines.pruning.reduction import Reduction, top

_SCALE: Final = 0.5
"""Lambda, the share of the redundant tokens that a layer drops (equation 7). With it the released lists come out: 300
of LLaVA's 576 tokens pass the first layer where some twenty raters look on."""
_RECYCLED_RATIO: Final = 0.3
"""Tau: the share of the dropped tokens that are recycled (3.3)."""
_CLUSTER_SIZE: Final = 10
"""Recycled tokens that become one (1 / theta)."""

_ROUNDING: Final = 1e-5
"""Where all texts are alike each is the mean, up to rounding, and all rate."""


class Clusters(NamedTuple):
    """M tokens in C groups."""

    centres: torch.Tensor
    """int64 [C]."""
    group: torch.Tensor
    """int64 [M]: the group of each token, a centre being in its own."""


def raters(visual: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Bool [t]: the text tokens that are at least as relevant to the picture as the mean (equations 5 and 6).

    Relevance is the mean over the visual tokens, [n, D], of softmax(H_v H_q^T) over the text tokens, [t, D].
    """
    relevance = (visual.float() @ text.float().T).softmax(dim=-1).mean(dim=0)
    return relevance >= relevance.mean() * (1 - _ROUNDING)


def num_after(num_tokens: int, rank: int, *, budget: int, is_last: bool) -> int:
    """How many of `num_tokens` pass a layer (equation 7: N = lambda * (L_v - rank(P)) go).

    Never fewer than `budget`; the last layer leaves just these. The paper fits lambda to a budget, this cuts off at it.
    """
    if is_last:
        return min(budget, num_tokens)
    return max(min(budget, num_tokens), num_tokens - int(_SCALE * max(0, num_tokens - rank)))


def rank_of(ratings: torch.Tensor) -> int:
    """Rank of the raters' attention to the visual tokens, [r, n]: how many of these say something of their own."""
    return int(torch.linalg.matrix_rank(ratings.float()))


def reduce_sparsevlm(ratings: torch.Tensor, hidden: torch.Tensor, num_left: int) -> Reduction:
    """`num_left` of `hidden` [n, D], recycled ones among them, by the attention of the raters, `ratings` [r, n]."""
    num_tokens = hidden.shape[0]
    num_dropped = num_tokens - num_left
    if not num_dropped:
        return Reduction(torch.ones(num_tokens, dtype=torch.bool, device=hidden.device), hidden)
    scores = ratings.mean(dim=0)  # equation 3
    num_recycled = int(_RECYCLED_RATIO * num_dropped) + 1
    num_clusters = min(num_recycled // _CLUSTER_SIZE + 1, num_left - 1)
    kept = top(scores, num_left - num_clusters)
    if not num_clusters:
        return Reduction(kept, hidden)
    pool = top(scores.masked_fill(kept, -torch.inf), max(num_recycled, num_clusters)).nonzero().flatten()
    found = clusters(hidden[pool], num_clusters)
    centres = pool[found.centres]
    merged = hidden.clone()
    merged[centres] = _means(hidden[pool], found.group, num_clusters).to(hidden.dtype)
    kept[centres] = True
    return Reduction(kept, merged)


def clusters(hidden: torch.Tensor, num_clusters: int) -> Clusters:
    """Density peaks: centres are dense and far from anything denser (equations 8 and 9).

    The rest joins the centre that it is most like, by cosine. The neighbours that make a density are the nearest
    `num_clusters`, as released.
    """
    distance = torch.cdist(hidden.float(), hidden.float(), compute_mode="donot_use_mm_for_euclid_dist")
    distance = distance / hidden.shape[1] ** 0.5
    density = (-distance.topk(num_clusters, largest=False).values.square().mean(dim=-1)).exp()
    place = torch.arange(len(density), device=hidden.device)
    ties = (density[None] == density[:, None]) & (place[None] < place[:, None])
    is_denser = (density[None] > density[:, None]) | ties
    peak = distance.masked_fill(~is_denser, torch.inf).amin(dim=-1).clamp(max=float(distance.max()))
    centres = (peak * density).argsort(descending=True, stable=True)[:num_clusters]
    unit = torch.nn.functional.normalize(hidden.float(), dim=-1)
    group = (unit @ unit[centres].T).argmax(dim=-1)
    group[centres] = torch.arange(num_clusters, device=hidden.device)
    return Clusters(centres, group)


def _means(hidden: torch.Tensor, group: torch.Tensor, num_groups: int) -> torch.Tensor:
    members = torch.nn.functional.one_hot(group, num_groups).T.float()
    return (members @ hidden.float()) / members.sum(dim=1, keepdim=True)
