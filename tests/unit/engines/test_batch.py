"""Padding never changes what a model computes."""

from typing import Literal

import pytest
import torch
from tests.unit.engines.conversation import noise, reply, user, view
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.engines.batch import collate
from visionthink.engines.encoding import Encoder

PICTURE = noise(224, 224)
ROWS = [
    [user(view(56, 56), "what color is it ?")],
    [user(view(28, 84), "?"), reply("the", (300, 301)), user(view(112, 56), "here is the larger image .")],
    [user("what is nine ?")],
]


@pytest.mark.parametrize("padding", ["left", "right"])
def test_collate_changes_no_logit_of_any_row(padding: Literal["left", "right"]) -> None:
    encoder, model = Encoder(tiny_processor()), tiny_model()
    rows = [encoder.encode(messages, PICTURE, add_generation_prompt=True) for messages in ROWS]
    batch = collate(rows, encoder, padding=padding)
    with torch.no_grad():
        together = model(**batch.model_inputs()).logits
        for index, row in enumerate(rows):
            alone = model(**collate([row], encoder, padding=padding).model_inputs()).logits[0]
            torch.testing.assert_close(together[index][batch.attention_mask[index].bool()], alone, rtol=1e-4, atol=1e-4)


def test_collate_pads_the_reply_mask_with_the_ids() -> None:
    encoder = Encoder(tiny_processor())
    rows = [encoder.encode(messages, PICTURE) for messages in ROWS]
    batch = collate(rows, encoder, padding="right")
    assert batch.input_ids[batch.reply_mask].tolist() == [300, 301, encoder.end_id]
    assert not batch.reply_mask[~batch.attention_mask.bool()].any()


def test_collate_keeps_the_order_of_views() -> None:
    encoder = Encoder(tiny_processor())
    batch = collate([encoder.encode(messages, PICTURE) for messages in ROWS], encoder, padding="left")
    assert batch.model_inputs()["image_grid_thw"].tolist() == [[1, 4, 4], [1, 6, 2], [1, 4, 8]]


@pytest.mark.parametrize("max_pixel_bytes", [2**20, 0], ids=["views shared", "nothing to share"])
def test_sharing_views_changes_neither_logits_nor_gradients(max_pixel_bytes: int) -> None:
    encoder, model = Encoder(tiny_processor(), max_pixel_bytes=max_pixel_bytes), tiny_model()
    conversations = [(messages, picture) for messages in ROWS for picture in (PICTURE, noise(seed=2), PICTURE)]
    batch = collate([encoder.encode(*conversation) for conversation in conversations], encoder, padding="right")
    assert len({id(view) for view in batch.views}) == (6 if max_pixel_bytes else 9)
    results = []
    for inputs in (batch.model_inputs(), batch.shared_inputs(model)):
        logits = model(**inputs).logits
        logits[batch.attention_mask.bool()].square().mean().backward()
        results.append((logits.detach(), [weight.grad for weight in model.parameters()]))
        model.zero_grad()
    torch.testing.assert_close(results[1], results[0])


def test_texts_alone_have_no_pixels_to_share() -> None:
    encoder = Encoder(tiny_processor())
    batch = collate([encoder.encode(ROWS[2], PICTURE)], encoder, padding="right")
    assert batch.shared_inputs(tiny_model()).keys() == {"input_ids", "attention_mask", "mm_token_type_ids"}
