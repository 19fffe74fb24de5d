"""The embedded model's tokenizer: byte-level BPE with Qwen2.5-VL's special tokens and a chat template with tools.

Digits and capital letters are always tokens of their own, so reading a code is a matter of one token a glyph.
"""

from typing import Any, Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from visionthink.datasets.world.layout import GRID, Layout
from visionthink.model.speech import corpus

IMAGE_PAD: Final = "<|image_pad|>"
VIDEO_PAD: Final = "<|video_pad|>"
VISION_START: Final = "<|vision_start|>"
VISION_END: Final = "<|vision_end|>"
END_OF_TURN: Final = "<|im_end|>"
END_OF_TEXT: Final = "<|endoftext|>"

_SPECIAL: Final = (
    END_OF_TEXT,
    "<|im_start|>",
    END_OF_TURN,
    VISION_START,
    VISION_END,
    "<|vision_pad|>",
    IMAGE_PAD,
    VIDEO_PAD,
)
_TAGS: Final = ("<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "</tool_call>")
_VOCABULARY: Final = 640
_SPLIT: Final = r"[0-9A-Z]| ?[a-z]+|(?: ?[^\s0-9A-Za-z])+|\s"

CHAT_TEMPLATE: Final = """\
{%- macro show(content) -%}
{%- if content is string -%}{{ content }}{%- else -%}
{%- for part in content -%}
{%- if part['type'] in ['image', 'image_url'] -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif 'text' in part -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- set rest = messages -%}
{%- if tools -%}
<|im_start|>system
{%- if messages[0]['role'] == 'system' -%}{%- set rest = messages[1:] -%}
{{ '\\n' + show(messages[0]['content']) + '\\n\\n# Tools\\n' }}
{%- else -%}{{ '\\n# Tools\\n' }}{%- endif -%}
{%- for tool in tools -%}{{ (tool | tojson) + '\\n' }}{%- endfor -%}
Answer each call as <tool_call>{"name": <name>, "arguments": <object>}</tool_call><|im_end|>
{{ '' }}
{%- endif -%}
{%- for message in rest -%}
{%- if message['role'] == 'tool' -%}
{{ '<|im_start|>user\\n<tool_response>\\n' + show(message['content']) + '\\n</tool_response><|im_end|>\\n' }}
{%- else -%}
{{ '<|im_start|>' + message['role'] + '\\n' + show(message['content']) }}
{%- for call in message.get('tool_calls') or [] -%}
{%- set function = call['function'] if 'function' in call else call -%}
{%- set arguments = function['arguments'] | tojson -%}
{{ '<tool_call>{"name": "' + function['name'] + '", "arguments": ' + arguments + '}</tool_call>' }}
{%- endfor -%}
{{ '<|im_end|>\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""


def build_tokenizer(layout: Layout[Any] = GRID) -> PreTrainedTokenizerFast:
    """The tokenizer, trained on the sentences of a layout of the world; the same on every machine."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(_SPECIAL),
        show_progress=False,
    )
    core.train_from_iterator(corpus(layout), trainer)
    # Tags are added but not special: they survive `skip_special_tokens`, as in Qwen2.5-VL's own vocabulary.
    core.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in _TAGS])
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[token for token in _SPECIAL if token not in (END_OF_TURN, END_OF_TEXT)],
        model_max_length=4096,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
