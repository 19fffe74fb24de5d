"""FastV (arXiv 2403.06764, section 4.1, "Dynamically Prune Vision Tokens"). Pure.

Rule: before the filtering layer K the visual tokens are ranked by the attention that they got in the layer before it,
mean over its heads, and only the first of them go on. The paper speaks of the attention from all other tokens, its
released code takes that from the last token of the prompt, and so does this: it is what its figures were made with.
"""

import torch

from visionthink.engines.pruning.reduction import Reduction, top


def reduce_fastv(attention: torch.Tensor, hidden: torch.Tensor, num_left: int) -> Reduction:
    """The `num_left` of `hidden` [n, D] that the last token looked at most; `attention` is what it gave them, [n]."""
    return Reduction(top(attention, num_left), hidden)
