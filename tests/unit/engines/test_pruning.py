"""The local engine with tokens dropped: what it counts, what it refuses, and that it leaves the model alone."""

import asyncio
from typing import Any

import pytest
import torch
from tests.unit.engines.conversation import noise, reply, user, view
from tests.unit.engines.tiny_model import tiny_model, tiny_processor
from transformers import AttentionInterface

from visionthink.core.episode import ModelReply
from visionthink.core.message import Message
from visionthink.core.pruning import Pruning, PruningMethod, parse_pruning
from visionthink.engines.encoding import Encoder
from visionthink.engines.engine import CanPrune, Request, Sampling, pruned_engine
from visionthink.engines.pruning.tower import watched
from visionthink.engines.scripted import ScriptedEngine
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.errors import ConfigError

PICTURE = noise(224, 224)
ONE = (user(view(224, 112), "what is printed on the tag ?"),)
TWO = (user(view(112, 56), "?"), reply("the"), user(view(224, 112), "here is the larger image ."))
NONE = (user("what is nine ?"),)
LAYERS: dict[PruningMethod, tuple[int, ...]] = {"fastv": (1,), "sparsevlm": (1, 2), "visionzip": (0,)}


def pruning(method: PruningMethod, ratio: float = 0.5, *, spares_first: bool = False) -> Pruning:
    return Pruning(method=method, retained_ratio=ratio, layers=LAYERS[method], spares_first=spares_first)


async def replies(source: Any, conversations: list[tuple[Message, ...]], temperature: float = 1.0) -> list[ModelReply]:
    sampling = Sampling(max_tokens=6, seed=3, temperature=temperature)
    requests = [Request(messages=one, picture=PICTURE, sampling=sampling) for one in conversations]
    events = await asyncio.gather(*map(source.reply, requests))
    assert all(isinstance(event, ModelReply) for event in events), events
    return list(events)


def engine(of: Pruning | None, **options: int) -> TransformersEngine:
    return TransformersEngine(tiny_model(), tiny_processor(), pruning=of, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "want"),
    [
        pytest.param("fastv", [(32 + 16 + 16) / 3, (40 + 20 + 20) / 3, 0.0], id="fastv after the first layer"),
        pytest.param("visionzip", [16.0, 20.0, 0.0], id="visionzip before all of them"),
    ],
)
async def test_a_reply_tells_the_visual_tokens_of_a_layer(method: PruningMethod, want: list[float]) -> None:
    got = await replies(engine(pruning(method)), [ONE, TWO, NONE])
    assert [one.num_visual_tokens for one in got] == pytest.approx(want)


async def test_sparsevlm_ends_with_exactly_its_share() -> None:
    (got,) = await replies(engine(pruning("sparsevlm")), [ONE])
    assert got.num_visual_tokens is not None
    between = got.num_visual_tokens * 3 - 32 - 16
    assert between == pytest.approx(round(between)) and 16 <= between < 32


async def test_a_spared_first_view_keeps_all_its_tokens() -> None:
    got = await replies(engine(pruning("visionzip", spares_first=True)), [ONE, TWO])
    assert [one.num_visual_tokens for one in got] == [32.0, 8 + 16.0]


async def test_a_model_that_drops_nothing_tells_no_count() -> None:
    (got,) = await replies(engine(None), [ONE])
    assert got.num_visual_tokens is None


@pytest.mark.parametrize("method", ["fastv", "sparsevlm", "visionzip"])
async def test_all_tokens_kept_gives_the_replies_of_the_model_itself(method: PruningMethod) -> None:
    want = await replies(engine(None), [ONE, TWO, NONE])
    got = await replies(engine(pruning(method, 1.0)), [ONE, TWO, NONE])
    assert [one.token_ids for one in got] == [one.token_ids for one in want]


@pytest.mark.parametrize("method", ["fastv", "sparsevlm", "visionzip"])
async def test_a_reply_does_not_depend_on_its_batch(method: PruningMethod) -> None:
    conversations = [ONE, TWO, NONE, ONE, TWO]
    want = await replies(engine(pruning(method), batch_size=1), conversations)
    got = await replies(engine(pruning(method), batch_size=8), conversations)
    assert [one.token_ids for one in got] == [one.token_ids for one in want]
    assert [one.num_visual_tokens for one in got] == [one.num_visual_tokens for one in want]


@pytest.mark.parametrize("method", ["fastv", "sparsevlm", "visionzip"])
async def test_dropping_changes_what_is_said_and_leaves_the_model_as_it_was(method: PruningMethod) -> None:
    whole = engine(None)
    (before,) = await replies(whole, [ONE], temperature=0.0)
    (few,) = await replies(whole.pruned(pruning(method, 0.05)), [ONE], temperature=0.0)
    (after,) = await replies(whole, [ONE], temperature=0.0)
    assert after.token_ids == before.token_ids != few.token_ids


def test_an_engine_of_another_kind_is_refused() -> None:
    assert isinstance(engine(None), CanPrune)
    with pytest.raises(ConfigError, match="ScriptedEngine cannot drop visual tokens"):
        pruned_engine(ScriptedEngine([]), pruning("fastv"))


@pytest.mark.parametrize(
    ("options", "want"),
    [
        pytest.param({"method": "fastv", "layers": (3,)}, "the model has 3 layers", id="a layer that is not there"),
        pytest.param({"method": "sparsevlm", "layers": (2, 6, 15)}, "before layer 15", id="the paper's layers"),
        pytest.param({"method": "fastv", "layers": (0,)}, "from 1 on", id="fastv before any attention"),
        pytest.param({"method": "sparsevlm", "layers": (2, 1)}, "layers that rise", id="layers that fall"),
        pytest.param({"method": "fastv", "layers": ()}, "layers that rise", id="no layer"),
        pytest.param({"method": "fastv", "layers": (1,), "retained_ratio": 0.0}, "above 0", id="nothing kept"),
        pytest.param({"method": "fastv", "layers": (1,), "retained_ratio": 1.5}, "at most 1", id="more than all kept"),
    ],
)
def test_settings_that_no_model_can_follow_are_refused(options: dict[str, Any], want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        engine(Pruning(**{"retained_ratio": 0.5, **options}))


@pytest.mark.parametrize(
    ("text", "want"),
    [("fastv@0.5", "fastv@0.5"), ("visionzip@.70", "visionzip@0.7"), ("sparsevlm@1", "sparsevlm@1")],
)
def test_a_pruning_is_written_in_one_way(text: str, want: str) -> None:
    assert str(parse_pruning(text)) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("fastv", "not METHOD@RATIO"),
        ("fastv@50%", "not METHOD@RATIO"),
        ("fastv@-0.5", "not METHOD@RATIO"),
        ("fastv@nan", "not METHOD@RATIO"),
        ("pumer@0.5", "the methods are fastv, sparsevlm, visionzip"),
        ("fastv@0", "above 0"),
        ("fastv@50", "at most 1"),
    ],
)
def test_what_is_no_pruning_is_refused(text: str, want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        parse_pruning(text)


def test_the_tower_is_seen_as_its_own_attention_saw_it() -> None:
    """An attention kernel that keeps its weights is the oracle: what each patch got in the last full block."""
    weights: list[torch.Tensor] = []

    def spy(module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any) -> Any:
        scores = (query @ key.transpose(2, 3) * options["scaling"]).softmax(dim=-1)
        weights.append(scores[0].mean(dim=0).mean(dim=0))
        return (scores @ value).transpose(1, 2).contiguous(), None

    AttentionInterface.register("spy", spy)
    model, encoder = tiny_model(), Encoder(tiny_processor())
    model.model.visual.config._attn_implementation = "spy"
    prompt = encoder.encode([user(view(84, 56), view(140, 84), "?")], PICTURE)
    with torch.inference_mode(), watched(model) as watch:
        model.model.get_image_features(prompt.pixel_values, prompt.image_grid_thw)
    for seen, patches, (width, height) in zip(watch.views, weights[-2:], [(3, 2), (5, 3)], strict=True):
        blocks = _in_reading_order(patches.view(-1, 4).mean(dim=1), width, height)
        torch.testing.assert_close(seen.attention, blocks)
        assert seen.keys.shape == (width * height, 64)


def _in_reading_order(tokens: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Tokens that lie window by window (2 x 2 of them, cut at the edges) as the language model gets them."""
    places = [
        row * width + column
        for top in range(0, height, 2)
        for left in range(0, width, 2)
        for row in range(top, min(top + 2, height))
        for column in range(left, min(left + 2, width))
    ]
    return torch.zeros(width * height).index_put((torch.tensor(places),), tokens)
