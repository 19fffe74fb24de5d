"""An episode as the row that a trainer learns from: ids, what of them the model wrote, and with which probability.

Rule: token in, token out. What the model did not write has the ids that the encoder gives it, what it did write keeps
the engine's own. Pure: lists in, lists out.

    prompt     up to the first id that the model wrote
    response   from there to the last such id; what follows it (a line break of the template, a view that was never
               answered) teaches nothing and is cut off
"""

from collections.abc import Sequence
from dataclasses import dataclass

from visionthink.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One row."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    mask: tuple[bool, ...]
    """Of the response: true on what the model wrote, its ends of turn included."""
    log_probs: tuple[float, ...]
    """Of the response: of each id when it was drawn, 0 where the mask is false."""
    num_views: int
    """Views whose pads stand in prompt and response: the first ones of the episode."""


def trajectory_of(
    ids: Sequence[int],
    mask: Sequence[bool],
    log_probs: Sequence[float],
    *,
    image_id: int,
    view_tokens: Sequence[int],
) -> Trajectory:
    """The row of an episode in which the model wrote something.

    Args:
        ids: of the whole conversation.
        mask: of them.
        log_probs: one for each id that the model wrote, in order.
        image_id: the id of a view's pads.
        view_tokens: visual tokens of each view shown.

    Raises:
        EngineError: the engine told other log-probabilities than there are ids, or views and pads do not fit.
    """
    if sum(mask) != len(log_probs) or not log_probs:
        raise EngineError(
            f"the model wrote {sum(mask)} tokens and the engine told {len(log_probs)} log-probabilities of them; "
            "set actor_rollout_ref.rollout.calculate_log_probs",
            retryable=False,
        )
    start = list(mask).index(True)
    end = len(mask) - list(mask)[::-1].index(True)
    left = iter(log_probs)
    return Trajectory(
        prompt_ids=tuple(ids[:start]),
        response_ids=tuple(ids[start:end]),
        mask=tuple(mask[start:end]),
        log_probs=tuple(next(left) if own else 0.0 for own in mask[start:end]),
        num_views=_num_views(list(ids[:end]).count(image_id), view_tokens),
    )


def unwritten(ids: Sequence[int], *, end_id: int, num_views: int) -> Trajectory:
    """The row of an episode that failed: its first prompt `ids`, and one end of turn that nobody wrote.

    veRL takes no empty response; nothing of this row is learned from.
    """
    return Trajectory(
        prompt_ids=tuple(ids) or (end_id,),
        response_ids=(end_id,),
        mask=(False,),
        log_probs=(0.0,),
        num_views=num_views,
    )


def _num_views(num_pads: int, view_tokens: Sequence[int]) -> int:
    """How many of the views `num_pads` pads are of."""
    total = 0
    for number, tokens in enumerate(view_tokens):
        if total == num_pads:
            return number
        total += tokens
    if total != num_pads:
        raise EngineError(f"{num_pads} pads stand for views of {list(view_tokens)} tokens", retryable=False)
    return len(view_tokens)
