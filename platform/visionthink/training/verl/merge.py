"""From veRL's last checkpoint to a model folder that transformers, vLLM and the serving stack load as it is.

Rule: the weights are those of the checkpoint, number for number in the base's own format, adapters folded in; all else
is the base's, but for the forecast that labelling left. veRL's own merger writes bfloat16 whatever was trained, and the
configuration that veRL saves beside the weights names that format too, so neither is used.
"""

import tempfile
from pathlib import Path
from typing import Final

from visionthink.config import RunConfig
from visionthink.errors import DataError
from visionthink.model.card import CARD_NAME
from visionthink.model.folder import load_model, save_model
from visionthink.model.forecast import FORECAST_NAME, forecast_files
from visionthink.storage.manifest import MANIFEST
from visionthink.training.verl.checkpoint import saved_steps, step_folder
from visionthink.training.verl.lora import adapter_scale, fold
from visionthink.training.verl.plan import VerlPlan

_FORM: Final = "huggingface"
"""The folder that veRL saves weights to in Hugging Face's form."""
_WEIGHTS: Final = ("*.safetensors", "*.safetensors.index.json")
_LEFT_OUT: Final = (*_WEIGHTS, "*.bin", "*.bin.index.json", MANIFEST, CARD_NAME, FORECAST_NAME)


def merge(plan: VerlPlan, config: RunConfig) -> Path:
    """Make `plan.model` of the last checkpoint.

    Raises:
        DataError: there is none, or one without weights in Hugging Face's form, or its adapters cannot be folded into
            the weights, or the forecast is damaged.
        StorageError: there is no room for it.
    """
    steps = saved_steps(plan.checkpoints)
    actor = step_folder(plan.checkpoints, steps[-1]) / "actor" if steps else None
    if actor is None or not any((actor / _FORM).glob(_WEIGHTS[0])):
        raise DataError(
            f"{plan.checkpoints} holds no checkpoint with a model to merge; train at least train.checkpoint_every "
            "steps, with hf_model among actor_rollout_ref.actor.checkpoint.save_contents"
        )
    with tempfile.TemporaryDirectory(dir=plan.output, prefix=".tmp-merge-") as folder:
        scale = adapter_scale(actor)
        if scale is not None:
            fold(actor / _FORM, Path(folder), like=plan.base_model, scale=scale)
        for path in (*_without_weights(plan.base_model), *(_weights(actor / _FORM) if scale is None else ())):
            (Path(folder) / path.name).symlink_to(path.resolve())
        extra = {} if plan.forecast is None else forecast_files(plan.forecast)
        save_model(load_model(Path(folder)), plan.model, config, extra=extra)
    return plan.model


def _without_weights(base: Path) -> list[Path]:
    return [path for path in base.iterdir() if path.is_file() and not any(map(path.match, _LEFT_OUT))]


def _weights(folder: Path) -> list[Path]:
    return [path for pattern in _WEIGHTS for path in folder.glob(pattern)]
