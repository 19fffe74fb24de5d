"""All windows at once give what one after the other gives."""

from itertools import accumulate
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig

from visionthink.training.verl import vision_attention
from visionthink.training.verl.vision_attention import Layout, layout_of

HEADS, WIDTH = 2, 32
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def made(lengths: list[int], implementation: str = "sdpa") -> tuple[Any, torch.Tensor, dict[str, Any]]:
    """A layer, tokens for it, and what else it is given."""
    torch.manual_seed(sum(lengths))
    config = Qwen2_5_VLVisionConfig(hidden_size=WIDTH, num_heads=HEADS)
    config._attn_implementation = implementation
    layer = qwen.Qwen2_5_VLVisionAttention(config)
    num_tokens = sum(lengths)
    angles = torch.randn(num_tokens, WIDTH // HEADS)
    bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    more = {"cu_seqlens": bounds, "position_embeddings": (angles.cos(), angles.sin())}
    return layer, torch.randn(num_tokens, WIDTH, requires_grad=True), more


@given(LENGTHS)
@settings(deadline=None, max_examples=60)
def test_values_and_gradients_are_transformers(lengths: list[int]) -> None:
    layer, tokens, more = made(lengths)
    theirs = vision_attention._theirs(layer, tokens, **more)
    (want,) = torch.autograd.grad(theirs.square().sum(), tokens)
    ours = vision_attention.forward(layer, tokens, **more)
    (got,) = torch.autograd.grad(ours.square().sum(), tokens)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@given(LENGTHS.filter(lambda lengths: len(lengths) > 1))
def test_every_token_has_one_place(lengths: list[int]) -> None:
    layout = Layout.of(torch.tensor([0, *accumulate(lengths)]))
    assert layout is not None
    tokens = torch.arange(sum(lengths))
    assert torch.equal(tokens[layout.taken][layout.place], tokens)
    assert int(layout.is_there.sum()) == sum(lengths)


def test_windows_are_found_once_for_all_layers() -> None:
    bounds = torch.tensor([0, 3, 5])
    assert layout_of(bounds) is layout_of(bounds)
    assert layout_of(torch.tensor([0, 5])) is None


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_it_answers_for_its_own_implementation_alone(implementation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(vision_attention, "_theirs", lambda *_, **__: asked.append(implementation))
    layer, tokens, more = made([2, 3], implementation)
    vision_attention.forward(layer, tokens, **more)
    assert asked == (["eager"] if implementation == "eager" else [])


def test_it_takes_the_place_of_transformers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qwen.Qwen2_5_VLVisionAttention, "forward", vision_attention._theirs)
    vision_attention.replace()
    layer, tokens, more = made([2, 3])
    torch.testing.assert_close(layer(tokens, **more), vision_attention.forward(layer, tokens, **more))
    assert qwen.Qwen2_5_VLVisionAttention.forward is vision_attention.forward
