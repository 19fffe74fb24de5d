"""A model that behaves like a base model without having learnt to see: made in seconds, for tests of whole stages.

It answers `red` to whatever is asked, but `A` to a question for a letter when it was shown the full view. Free to ask,
it tosses a coin. So of a world's questions for colour and mark some get the label "not needed", some "needed" and most
none, and its rollouts differ in reward: all that labelling, training and evaluation need to have something to do.
"""

import random
from pathlib import Path

import torch
from PIL import Image

from visionthink.config import RunConfig, load_config
from visionthink.core.episode import AskModel, FinishReason, ModelReply, advance, start
from visionthink.core.geometry import Size
from visionthink.core.trace import Trace
from visionthink.datasets.world import FAMILIES, draw_scene, paint
from visionthink.engines.batch import collate
from visionthink.engines.encoding import Encoder
from visionthink.episodes.prompting import ViewPolicy, prompting_of
from visionthink.model.architecture import build_config, build_model, build_processor
from visionthink.model.folder import LoadedModel, save_model
from visionthink.model.speech import CALL

NUM_STEPS = 160
_ASK = f"<think>i need more pixels .</think>{CALL}"
_LETTER_FAMILY = "mark"


def save_parrot(folder: Path, *, seed: int = 0) -> Path:
    """Make the model in `folder`."""
    config = load_config(None)
    processor = build_processor()
    settings = build_config(processor.tokenizer, width=64, layers=2, vision_width=64, depth=1)
    with torch.random.fork_rng():
        model = build_model(settings, seed=seed)
    encoder, rng = Encoder(processor), random.Random(seed)
    pictures = [paint(draw_scene(rng)) for _ in range(4)]
    rows = [encoder.encode_trace(trace, pictures[0]) for trace in _traces(pictures[0], config)] + [
        encoder.encode_trace(trace, picture) for picture in pictures[1:] for trace in _traces(picture, config)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(NUM_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / NUM_STEPS)
        batch = collate(rng.sample(rows, 16), encoder, padding="right")
        logits = model(**batch.model_inputs(model.device)).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(
            logits[batch.reply_mask[:, 1:]], batch.input_ids[:, 1:][batch.reply_mask[:, 1:]]
        )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    save_model(LoadedModel(model, processor), folder, config)
    return folder


def _traces(picture: Image.Image, config: RunConfig) -> list[Trace]:
    """Every conversation that it is taught."""
    traces = []
    for family in ("color", _LETTER_FAMILY):
        full = "A" if family == _LETTER_FAMILY else "red"
        plans: list[tuple[ViewPolicy, list[str]]] = [
            ("always_low", [_answer("red")]),
            ("always_high", [_answer(full)]),
            ("auto", [_answer("red")]),
            ("auto", [_ASK, _answer(full)]),
        ]
        for question in FAMILIES[family].questions:
            traces += [_trace(question, policy, replies, picture, config) for policy, replies in plans]
    return traces


def _trace(question: str, policy: ViewPolicy, replies: list[str], picture: Image.Image, config: RunConfig) -> Trace:
    step = start(prompting_of(config).spec(question, Size(width=picture.width, height=picture.height), policy))
    for reply in replies:
        assert isinstance(step.command, AskModel)
        step = advance(step.state, ModelReply(text=reply, finish_reason=FinishReason.STOP))
    assert not isinstance(step.command, AskModel)
    return step.command.trace


def _answer(text: str) -> str:
    return f"<think>i can see it .</think><answer>{text}</answer>"
