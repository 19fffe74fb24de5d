"""Run in veRL's environment: adapters as veRL saves them, merged by us, against PEFT's own model. Answers in JSON."""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

with contextlib.redirect_stdout(sys.stderr):
    import torch
    from peft import LoraConfig, get_peft_model  # type: ignore[import-not-found, unused-ignore]
    from safetensors.torch import load_file, save_file
    from transformers import Qwen2_5_VLForConditionalGeneration

    from visionthink.config import RunConfig, override_config
    from visionthink.model.bundled import bundled_path
    from visionthink.training.verl.checkpoint import mark_saved, step_folder
    from visionthink.training.verl.merge import merge
    from visionthink.training.verl.overrides import overrides
    from visionthink.training.verl.plan import VerlPlan

CONFIG = override_config(RunConfig(), {"verl.lora_rank": 4, "verl.lora_alpha": 12, "train.freeze_vision": True})


def base() -> Any:
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(bundled_path(), dtype=torch.float32)


def adapted(told: dict[str, str]) -> Any:
    """A model with adapters as veRL makes them of the settings; what they add is not nothing."""
    prefix = "actor_rollout_ref.model"
    made = LoraConfig(
        r=int(told[f"{prefix}.lora_rank"]),
        lora_alpha=int(told[f"{prefix}.lora_alpha"]),
        target_modules=told[f"{prefix}.target_modules"].strip("'"),
        exclude_modules=told[f"{prefix}.exclude_modules"].strip("'"),
        bias="none",
    )
    model = get_peft_model(base(), made)
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        plan = VerlPlan(
            train_rows=Path(home),
            base_model=bundled_path(),
            output=Path(home) / "out",
            run_id="folded",
            overrides=CONFIG.verl.overrides(),
        )
        told = dict(line.lstrip("+").split("=", 1) for line in overrides(CONFIG, plan))
        model = adapted(told)
        step = step_folder(plan.checkpoints, 1)
        (step / "actor" / "huggingface").mkdir(parents=True)
        state = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
        save_file(state, step / "actor" / "huggingface" / "model.safetensors", metadata={"format": "pt"})
        meta = {"r": CONFIG.verl.lora_rank, "lora_alpha": CONFIG.verl.lora_alpha, "task_type": "CAUSAL_LM"}
        (step / "actor" / "lora_train_meta.json").write_text(json.dumps(meta))
        mark_saved(step, {})
        folder = merge(plan, CONFIG)
        names = [load_file(one / "model.safetensors").keys() for one in (folder, bundled_path())]
        merged = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    ids = torch.arange(5, 45).unsqueeze(0)
    with torch.inference_mode():
        got, want, untrained = (one(input_ids=ids).logits for one in (merged, model, base()))
    answer = {
        "difference": float((got - want).abs().max()),
        "learned": float((want - untrained).abs().max()),
        "same_names": names[0] == names[1],
        "adapted_tower": [name for name in state if "visual" in name and "lora_" in name],
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
