"""VisionZip (arXiv 2412.04467, section 2.3, "Informative Visual Token Zip", algorithms 1 and 2). Pure.

Rule: the vision tower alone decides, before the language model and without the question. Dominant tokens are those that
get the most attention in the tower; the others are not lost but merged by the likeness of their keys into a few
contextual tokens, spread evenly over what is left. Merging takes the mean of a target and all that join it, as the
paper says; its released code adds their mean to the target, which doubles what a token weighs.
"""

from typing import Final

import torch

from visionthink.engines.pruning.reduction import Reduction, top

_CONTEXTUAL_RATIO: Final = 10 / 64
"""Share of contextual tokens among those that stay: the paper's 54 dominant and 10 contextual ones of 64."""


def num_contextual(num_left: int) -> int:
    """How many of the tokens that stay are contextual."""
    return int(num_left * _CONTEXTUAL_RATIO + 0.5)


def reduce_visionzip(attention: torch.Tensor, keys: torch.Tensor, hidden: torch.Tensor, num_left: int) -> Reduction:
    """`num_left` of `hidden` [n, D], by the attention [n] that they got in the tower and their keys [n, d] there."""
    count = num_contextual(num_left)
    kept = top(attention, num_left - count)
    rest = (~kept).nonzero().flatten()
    if not count:
        return Reduction(kept, hidden)
    targets = (torch.arange(count, device=hidden.device) * len(rest)) // count
    unit = torch.nn.functional.normalize(keys[rest].float(), dim=-1)
    group = (unit @ unit[targets].T).argmax(dim=-1)
    group[targets] = torch.arange(count, device=hidden.device)
    members = torch.nn.functional.one_hot(group, count).T.float()
    means = (members @ hidden[rest].float()) / members.sum(dim=1, keepdim=True)
    merged = hidden.clone()
    merged[rest[targets]] = means.to(hidden.dtype)
    kept = kept.index_fill(0, rest[targets], True)
    return Reduction(kept, merged)
