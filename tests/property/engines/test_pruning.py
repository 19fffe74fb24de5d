"""Dropping tokens is exact: the same as masking them out, in any batch, while tokens are generated from the cache."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, cast

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.property.engines.masked_reference import masked_logits
from tests.unit.engines.conversation import noise, reply, user, view
from tests.unit.engines.tiny_model import tiny_model, tiny_processor
from transformers import GenerationConfig

from visionthink.core.message import Message
from visionthink.core.pruning import Pruning, num_retained
from visionthink.engines.batch import collate
from visionthink.engines.encoding import Encoded, Encoder
from visionthink.engines.pruning.reduction import packed, top
from visionthink.engines.pruning.run import layout_of, pruned
from visionthink.engines.pruning.sparsevlm import clusters, num_after, raters, reduce_sparsevlm
from visionthink.engines.pruning.visionzip import num_contextual, reduce_visionzip

PICTURE = noise(224, 224)
ENCODER = Encoder(tiny_processor())
UNIT = 4
_SIDES = st.integers(1, 6).map(lambda side: 28 * side)
_VIEWS = st.builds(view, _SIDES, _SIDES)
_NUMBERS = st.floats(-4.0, 4.0, width=32)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    match draw(st.sampled_from(["text", "one view", "two views"])):
        case "text":
            return [user("what is nine ?")]
        case "one view":
            return [user("look: ", draw(_VIEWS), draw(st.sampled_from(["?", "what is printed on the tag ?"])))]
        case _:
            return [user(draw(_VIEWS), "?"), reply("the", (300, 301)), user(draw(_VIEWS), "here is the larger one .")]


@st.composite
def prunings(draw: st.DrawFn) -> Pruning:
    method, layers = draw(
        st.sampled_from(
            [("fastv", (1,)), ("fastv", (2,)), ("sparsevlm", (1, 2)), ("sparsevlm", (2,)), ("visionzip", (0,))]
        )
    )
    ratio = draw(st.sampled_from([0.05, 0.3, 0.5, 0.7, 1.0]))
    return Pruning(method=method, layers=layers, retained_ratio=ratio, spares_first=draw(st.booleans()))  # type: ignore[arg-type]


class Spoken(NamedTuple):
    """What a batch came to."""

    ids: list[list[int]]
    logits: torch.Tensor
    """[B, tokens, V]."""
    num_visual_tokens: list[float]


def spoken(rows: Sequence[Encoded], pruning: Pruning | None, num_tokens: int) -> Spoken:
    """Greedy replies."""
    model, batch = tiny_model(), collate(rows, ENCODER, padding="left")
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=num_tokens, pad_token_id=ENCODER.pad_id, output_logits=True, return_dict_in_generate=True
    )
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        run = None
        if pruning is not None:
            layout = layout_of(batch.input_ids == ENCODER.image_id, [row.views for row in rows], pruning, unit=UNIT)
            run = stack.enter_context(pruned(model, pruning, layout))
        made: Any = cast("Any", model).generate(**batch.shared_inputs(model), generation_config=config)
    ids = made.sequences[:, batch.input_ids.shape[1] :].tolist()
    return Spoken(ids, torch.stack(made.logits, dim=1), [] if run is None else run.num_visual_tokens())


_LONG = [user(view(168, 140), "what is printed on the tag ?")]
_SHORT = [user(view(56, 84), "?")]


@settings(max_examples=25, deadline=None)
@example(  # rows that drop different numbers, twice: what was dropped must not come back as padding
    rows=[_LONG, _SHORT], pruning=Pruning(method="sparsevlm", layers=(1, 2), retained_ratio=0.3)
)
@given(rows=st.lists(conversations(), min_size=1, max_size=3), pruning=prunings())
def test_dropping_says_what_masking_says(rows: list[list[Message]], pruning: Pruning) -> None:
    encoded = [ENCODER.encode(row, PICTURE, add_generation_prompt=True) for row in rows]
    ids, logits, _ = spoken(encoded, pruning, 3)
    reference = tiny_model()
    reference.set_attn_implementation("eager")
    for row, (prompt, written) in enumerate(zip(encoded, ids, strict=True)):
        with torch.inference_mode():
            want = masked_logits(reference, prompt, written[:-1], pruning, ENCODER.image_id)
        torch.testing.assert_close(logits[row], want, rtol=1e-3, atol=1e-3)


@given(count=st.integers(0, 10_000), ratio=st.floats(0.001, 1.0))
def test_a_ratio_keeps_the_nearest_number_and_never_nothing(count: int, ratio: float) -> None:
    got = num_retained(count, ratio)
    assert got == min(count, max(1, math.floor(count * ratio + 0.5)))
    assert num_retained(count, 1.0) == count


@given(scores=st.lists(_NUMBERS, min_size=1, max_size=30), data=st.data())
def test_the_highest_stay_and_of_equal_ones_the_first(scores: list[float], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(scores)))
    want = sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:count]
    assert top(torch.tensor(scores), count).nonzero().flatten().tolist() == sorted(want)


@given(rows=st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=5))
def test_packing_keeps_the_order_and_pads_on_the_left(rows: list[list[bool]]) -> None:
    index, valid = packed(torch.tensor(rows))
    for row, places, is_valid in zip(rows, index.tolist(), valid.tolist(), strict=True):
        want = [place for place, is_kept in enumerate(row) if is_kept]
        assert [place for place, is_kept in zip(places, is_valid, strict=True) if is_kept] == want
        assert is_valid == sorted(is_valid)


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@given(num_tokens=st.integers(1, 60), data=st.data())
def test_sparsevlm_leaves_exactly_so_many(num_tokens: int, data: st.DataObject) -> None:
    num_left = data.draw(st.integers(1, num_tokens))
    left = reduce_sparsevlm(_random(4, num_tokens), _random(num_tokens, 8), num_left)
    assert int(left.kept.sum()) == num_left


@given(num_tokens=st.integers(1, 60), data=st.data())
def test_visionzip_leaves_exactly_so_many(num_tokens: int, data: st.DataObject) -> None:
    num_left = data.draw(st.integers(1, num_tokens))
    hidden = _random(num_tokens, 8)
    left = reduce_visionzip(_random(num_tokens), _random(num_tokens, 4), hidden, num_left)
    assert int(left.kept.sum()) == num_left
    assert int((left.hidden != hidden).any(dim=1).sum()) <= num_contextual(num_left)


@given(num_tokens=st.integers(1, 30), data=st.data())
def test_what_visionzip_merges_keeps_its_sum(num_tokens: int, data: st.DataObject) -> None:
    """Each token that is not dominant is in one mean: these, times their sizes, add up to all of them."""
    num_left = data.draw(st.integers(1, num_tokens))
    hidden = torch.eye(num_tokens)
    left = reduce_visionzip(_random(num_tokens), _random(num_tokens, 4), hidden, num_left)
    weights = left.hidden[left.kept]
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(num_left))
    lost = ~left.kept & (weights.sum(dim=0) == 0)
    assert not lost.any() or not num_contextual(num_left)


@given(num_tokens=st.integers(1, 40), data=st.data())
def test_every_recycled_token_joins_the_centre_that_it_is_most_like(num_tokens: int, data: st.DataObject) -> None:
    hidden, count = _random(num_tokens, 5), data.draw(st.integers(1, num_tokens))
    found = clusters(hidden, count)
    assert len(set(found.centres.tolist())) == count
    assert found.group[found.centres].tolist() == list(range(count))
    likeness = torch.nn.functional.cosine_similarity(hidden[:, None], hidden[found.centres][None], dim=-1)
    own = likeness.gather(1, found.group[:, None]).flatten()
    torch.testing.assert_close(own, likeness.amax(dim=1), atol=1e-5, rtol=1e-5)


@given(num_tokens=st.integers(1, 600), rank=st.integers(0, 40), ratio=st.sampled_from([0.1, 0.5, 1.0]))
def test_sparsevlm_drops_half_of_what_is_redundant_but_never_below_its_budget(
    num_tokens: int, rank: int, ratio: float
) -> None:
    budget = num_retained(num_tokens, ratio)
    assert num_after(num_tokens, rank, budget=budget, is_last=True) == budget
    got = num_after(num_tokens, rank, budget=budget, is_last=False)
    assert budget <= got <= num_tokens
    assert got == max(budget, num_tokens - max(0, num_tokens - rank) // 2)


@given(num_visual=st.integers(1, 9), num_text=st.integers(1, 9))
def test_somebody_always_rates(num_visual: int, num_text: int) -> None:
    assert raters(_random(num_visual, 6), _random(num_text, 6)).any()
    assert raters(torch.zeros(num_visual, 6), _random(num_text, 6)).all()


@pytest.mark.parametrize("method", ["fastv", "sparsevlm", "visionzip"])
def test_all_tokens_kept_is_the_model_itself_to_the_bit(method: str) -> None:
    conversations = [[user(view(112, 56), "what is it ?")], [user(view(56, 84), view(28, 28), "?")]]
    rows = [ENCODER.encode(one, PICTURE, add_generation_prompt=True) for one in conversations]
    pruning = Pruning(method=method, retained_ratio=1.0, layers=(0,) if method == "visionzip" else (1,))  # type: ignore[arg-type]
    got, want = spoken(rows, pruning, 3), spoken(rows, None, 3)
    assert torch.equal(got.logits, want.logits)
    assert got.num_visual_tokens == [8.0, 7.0]
