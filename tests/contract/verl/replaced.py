"""Run in veRL's environment: what of veRL is replaced, against what it replaces. Answers in JSON on standard output.

Rule: everything is asked for in one process, because importing veRL takes many seconds.
"""

import contextlib
import json
import sys
from typing import Any

with contextlib.redirect_stdout(sys.stderr):
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen
    from verl.utils import tensordict_utils, torch_functional  # type: ignore[import-not-found, unused-ignore]
    from verl.utils.tokenizer import (  # type: ignore[import-not-found, unused-ignore]
        build_multimodal_processor_inputs as their_inputs,
    )

    their_log_probs, their_positions = (
        torch_functional.logprobs_from_logits_v2,
        tensordict_utils.maybe_fix_3d_position_ids,
    )

    from visionthink.config import RunConfig
    from visionthink.core.geometry import Size, full_view, quarter_view
    from visionthink.datasets.world import generate
    from visionthink.engines.encoding import Encoder
    from visionthink.model.bundled import bundled_path
    from visionthink.picture import cut, decode
    from visionthink.training.verl import agent_loop, patches, trainer_engine, vision_attention


def log_probs() -> dict[str, float]:
    """Largest difference of values and of gradients, and whether halves of precision are taken."""
    torch.manual_seed(0)
    made = [torch.randn(3, 7, 50, requires_grad=True)]
    made.append(made[0].detach().clone().requires_grad_())
    labels = torch.randint(50, (3, 7))
    values = [of(logits, labels) for of, logits in zip((trainer_engine.log_probs, their_log_probs), made, strict=True)]
    for value in values:
        value.square().sum().backward()
    halves = made[0].detach().bfloat16()
    return {
        "value": float((values[0] - values[1]).abs().max()),
        "gradient": float((made[0].grad - made[1].grad).abs().max()),  # type: ignore[operator]
        "half": float((trainer_engine.log_probs(halves, labels) - their_log_probs(halves, labels)).abs().max()),
    }


def pixels() -> dict[str, bool]:
    """Whether our inputs of two views are veRL's, number for number."""
    processor: Any = AutoProcessor.from_pretrained(bundled_path())  # type: ignore[no-untyped-call]
    sample = next(iter(generate("train", 1, seed=3, families=RunConfig().data.families)))
    picture = decode(sample.picture)
    size, rule = Size(width=picture.width, height=picture.height), RunConfig().view.rule()
    views = (quarter_view(size, rule), full_view(size, rule))
    encoder = Encoder(processor)
    ours = agent_loop.MadeViews([encoder._pixels.get(picture, view) for view in views]).inputs()
    text = processor.image_token * len(views)
    theirs = their_inputs(processor, text=[text], images=[cut(picture, view) for view in views])
    return {name: torch.equal(ours[name], torch.as_tensor(theirs[name])) for name in ("pixel_values", "image_grid_thw")}


def vision() -> float:
    """Largest difference of what the bundled model's tower sees in two views, with our attention and with theirs."""
    processor: Any = AutoProcessor.from_pretrained(bundled_path())  # type: ignore[no-untyped-call]
    model = AutoModelForImageTextToText.from_pretrained(bundled_path(), attn_implementation="sdpa")
    sample = next(iter(generate("train", 1, seed=3, families=RunConfig().data.families)))
    picture = decode(sample.picture)
    size, rule = Size(width=picture.width, height=picture.height), RunConfig().view.rule()
    images = [cut(picture, view) for view in (quarter_view(size, rule), full_view(size, rule))]
    given = processor.image_processor(images=images, return_tensors="pt")
    seen = []
    for attention in (vision_attention.forward, vision_attention._theirs):
        qwen.Qwen2_5_VLVisionAttention.forward = attention  # type: ignore[method-assign, assignment]
        with torch.no_grad():
            seen.append(model.model.visual(given["pixel_values"], given["image_grid_thw"]).pooler_output)
    vision_attention.replace()
    return float((seen[0] - seen[1]).abs().max())


def positions() -> dict[str, bool]:
    """Whether rows come back as they were, of different lengths (where veRL's own function does it too) and of one."""

    def kept(lengths: tuple[int, ...], mend: Any) -> bool:
        rows = [torch.arange(4 * length).view(4, length) + 100 * number for number, length in enumerate(lengths)]
        same = len(set(lengths)) == 1
        nested = (
            torch.nested.as_nested_tensor(rows, layout=torch.jagged)
            if same
            else tensordict_utils.nested_tensor_from_tensor_list(rows, ragged_idx=2)
        )
        data = {"position_ids": nested}
        mend(data)
        try:
            got = list(data["position_ids"].unbind())
        except RuntimeError:
            return False
        return len(got) == len(rows) and all(torch.equal(one, row) for one, row in zip(got, rows, strict=True))

    return {
        "mended, different": kept((3, 5, 2), patches.mended_positions),
        "mended, equal": kept((4, 4, 4), patches.mended_positions),
        "veRL's, equal": kept((4, 4, 4), their_positions),
    }


with contextlib.redirect_stdout(sys.stderr):
    answers = {
        "log_probs": log_probs(),
        "pixels": pixels(),
        "positions": positions(),
        "vision": vision(),
        "in_use": [
            torch_functional.logprobs_from_logits_v2 is trainer_engine.log_probs,
            tensordict_utils.maybe_fix_3d_position_ids is patches.mended_positions,
            qwen.Qwen2_5_VLVisionAttention.forward is vision_attention.forward,
        ],
    }
json.dump(answers, sys.stdout)
