"""What of veRL is mended in every one of its processes.

Extension point: the environment variable VERL_USE_EXTERNAL_MODULES imports this file with veRL itself, so it is light.
Rule: one defect a function, named with how to see it.
"""

from typing import Any, Final

import torch
from verl.utils import tensordict_utils

_NUM_AXES: Final = 4
"""Of a position: text, time, height and width."""


def mended_positions(data: Any) -> None:
    """Give positions of three dimensions the shape that veRL means.

    Where all rows of a batch have one length, TransferQueue takes the axes for the ragged dimension: `values` is
    `[B * 4, L]` then, and veRL's own function, which only renames the dimension, makes nonsense of it
    ("split_with_sizes expects split_sizes to sum exactly to ..."). Small worlds meet that often.
    """
    positions = data["position_ids"] if "position_ids" in data.keys() else None  # noqa: SIM118 - no mapping
    if not isinstance(positions, torch.Tensor) or positions.dim() != 3:
        return
    if not positions.is_nested:
        data["position_ids"] = _ragged(list(positions.unbind()))
        return
    values, num_rows = positions.values(), positions.offsets().shape[0] - 1
    if values.shape[0] == num_rows * _NUM_AXES == int(positions.offsets()[-1]):
        data["position_ids"] = _ragged(list(values.view(num_rows, _NUM_AXES, values.shape[1]).unbind()))
    else:
        positions._ragged_idx = 2  # type: ignore[attr-defined]


def _ragged(rows: list[torch.Tensor]) -> torch.Tensor:
    made: torch.Tensor = tensordict_utils.nested_tensor_from_tensor_list(rows, ragged_idx=2)
    return made


tensordict_utils.maybe_fix_3d_position_ids = mended_positions
