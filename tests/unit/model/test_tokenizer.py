"""The tokenizer loses nothing, reads a glyph as one token, and renders conversations as Qwen2.5-VL's own does."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.engines.tiny_model import tiny_processor
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from visionthink.core.tool import ResizeImage
from visionthink.datasets.world import FAMILIES
from visionthink.datasets.world.glyph import DIGITS, LETTERS
from visionthink.datasets.world.scene import BARS, COLORS, CORNERS, SHAPES
from visionthink.model.speech import CALL, RECITE, THOUGHTS_AFTER, THOUGHTS_ASK, THOUGHTS_DIRECT
from visionthink.model.tokenizer import END_OF_TEXT, END_OF_TURN, IMAGE_PAD, VIDEO_PAD, build_tokenizer

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
TAGS = ("<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "</tool_call>")
WORDS = ("the", "color", " shape", "7", "A", "Ab", " .", "<", "|", "im_end", "\n", "  ", "é", "眼", "\ue000", *TAGS)


def tokenizer() -> PreTrainedTokenizerFast:
    found = tiny_processor().tokenizer
    assert isinstance(found, PreTrainedTokenizerFast)
    return found


def ids(text: str) -> list[int]:
    return [*tokenizer()(text, add_special_tokens=False)["input_ids"]]


def decoded(tokens: list[int]) -> str:
    return str(tokenizer().decode(tokens, clean_up_tokenization_spaces=False))


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=20).map("".join))
def test_any_text_comes_back(text: str) -> None:
    assert decoded(ids(text)) == text


@given(st.lists(st.sampled_from((*WORDS, *SPECIAL)), max_size=12))
def test_a_text_between_control_tokens_is_cut_as_it_is_alone(parts: list[str]) -> None:
    """So a prompt and a reply may be tokenised apart."""
    whole = ids(END_OF_TURN.join(parts))
    apart = [token for part in parts for token in (ids(END_OF_TURN) + ids(part))][1:]
    assert whole == apart


@pytest.mark.parametrize("character", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
def test_a_digit_or_capital_is_always_a_token_of_its_own(character: str) -> None:
    (alone,) = ids(character)
    for context in (f"is{character}x", f" {character}", f"{character}{character}", f"<answer>{character}</answer>"):
        assert ids(context).count(alone) == context.count(character)
    assert sum(character in token for token in tokenizer().get_vocab()) == 1


@pytest.mark.parametrize("answer", [*COLORS, *SHAPES, *BARS, *CORNERS, *DIGITS, *LETTERS, "47"])
def test_an_answer_takes_a_token_a_word_or_glyph(answer: str) -> None:
    num_tokens = len(answer) if answer.isdigit() else len(answer.split())
    opening, closing = ids("<answer>"), ids("</answer>")
    assert len(opening) == len(closing) == 1
    assert ids(f"<answer>{answer}</answer>") == [*opening, *ids(answer), *closing]
    assert len(ids(answer)) == num_tokens


def test_what_the_model_hears_and_says_is_short() -> None:
    """Few tokens a sentence keep an episode of the embedded model within a hundred."""
    thoughts = (*THOUGHTS_DIRECT, *THOUGHTS_ASK, *THOUGHTS_AFTER, RECITE)
    questions = [question for family in FAMILIES.values() for question in family.questions]
    for text in (*thoughts, *questions):
        assert len(ids(text)) == len(text.split()), text
    assert len(ids(CALL)) <= 16


@pytest.mark.parametrize("token", SPECIAL)
def test_a_special_token_is_one_token_and_hidden_in_texts(token: str) -> None:
    assert ids(token) == [tokenizer().get_vocab()[token]]
    assert tokenizer().decode(ids(f"a{token}b"), skip_special_tokens=True) == "ab"


def test_tags_are_one_token_each_and_shown_in_texts() -> None:
    for tag in TAGS:
        assert len(ids(tag)) == 1
        assert tokenizer().decode(ids(f"a{tag}b"), skip_special_tokens=True) == f"a{tag}b"


def test_turns_end_and_padding_is_told_apart_from_it() -> None:
    found = tokenizer()
    assert (found.eos_token, found.pad_token) == (END_OF_TURN, END_OF_TEXT)
    assert len({found.eos_token_id, found.pad_token_id, *(ids(pad)[0] for pad in (IMAGE_PAD, VIDEO_PAD))}) == 4


def test_building_again_gives_the_same_tokenizer(tmp_path: Path) -> None:
    first, again = build_tokenizer(), build_tokenizer()
    assert first.get_vocab() == again.get_vocab()
    assert first.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()
    first.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == first.get_vocab()
    assert loaded.chat_template == first.chat_template


def rendered(messages: list[dict[str, Any]], **options: Any) -> str:
    return str(tokenizer().apply_chat_template(messages, tokenize=False, **options))


IMAGE = {"type": "image"}
USER = {"role": "user", "content": [IMAGE, {"type": "text", "text": "what color ?"}]}
SHOWN = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>what color ?<|im_end|>\n"


def test_template_renders_turns_and_views() -> None:
    reply = {"role": "assistant", "content": "<answer>red</answer>"}
    got = rendered([{"role": "system", "content": "Be brief."}, USER, reply])
    want = "<|im_start|>system\nBe brief.<|im_end|>\n" + SHOWN
    assert got == want + "<|im_start|>assistant\n<answer>red</answer><|im_end|>\n"


def test_template_adds_no_system_message_of_its_own() -> None:
    assert rendered([USER]) == SHOWN


def test_template_shows_an_image_url_as_a_view() -> None:
    """That is how a chat request names a picture."""
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
    assert rendered([{"role": "user", "content": [part, {"type": "text", "text": "what color ?"}]}]) == SHOWN


def test_template_ends_where_the_assistant_starts_to_write() -> None:
    assert rendered([USER], add_generation_prompt=True) == SHOWN + "<|im_start|>assistant\n"


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_template_tells_of_tools(system: str | None) -> None:
    schema = ResizeImage().schema()
    head = [{"role": "system", "content": system}] if system else []
    got = rendered([*head, USER], tools=[schema])
    assert got.endswith("<|im_end|>\n" + SHOWN)
    assert got.count("<|im_start|>system\n") == 1
    assert ("Be brief.\n\n# Tools\n" in got) == bool(system)
    (line,) = [line for line in got.splitlines() if line.startswith('{"')]
    assert json.loads(line) == schema
    assert '<tool_call>{"name": <name>, "arguments": <object>}</tool_call>' in got


def test_template_renders_a_call_and_what_the_tool_showed() -> None:
    call = {"type": "function", "function": {"name": "resize_image", "arguments": {"action": "resize"}}}
    asked = {"role": "assistant", "content": "<think>too small</think>", "tool_calls": [call]}
    result = {"role": "tool", "content": [IMAGE, {"type": "text", "text": "here is the larger image ."}]}
    got = rendered([USER, asked, result])
    assert got == (
        SHOWN
        + f"<|im_start|>assistant\n<think>too small</think>{CALL}<|im_end|>\n"
        + "<|im_start|>user\n<tool_response>\n<|vision_start|><|image_pad|><|vision_end|>here is the larger image .\n"
        + "</tool_response><|im_end|>\n"
    )


def test_template_renders_a_call_without_its_function_wrapper() -> None:
    call = {"name": "resize_image", "arguments": {"action": "resize"}}
    got = rendered([USER, {"role": "assistant", "content": "", "tool_calls": [call]}])
    assert got == SHOWN + f"<|im_start|>assistant\n{CALL}<|im_end|>\n"
