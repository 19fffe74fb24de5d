"""Fields that a request may not hold, because nothing here could honour them.

Rule: what a client asks for is done or refused by name, never silently left out. A field that this server does not know
may change an answer, so it is refused as well; null asks for nothing, and neither does a value that says what happens
anyway. Fields without influence on the answer (user, metadata, store ...) are let pass.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from visionthink.serving.api_error import ApiError

_NEUTRAL: Final[Mapping[str, Sequence[object]]] = {
    # OpenAI's
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "stop": ([],),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    # vLLM's
    "add_generation_prompt": (True,),
    "allowed_token_ids": ([],),
    "bad_words": ([],),
    "best_of": (1,),
    "chat_template_kwargs": ({},),
    "continue_final_message": (False,),
    "documents": ([],),
    "echo": (False,),
    "ignore_eos": (False,),
    "include_stop_str_in_output": (False,),
    "length_penalty": (1,),
    "min_p": (0,),
    "min_tokens": (0,),
    "mm_processor_kwargs": ({},),
    "prompt_logprobs": (),
    "repetition_penalty": (1,),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "skip_special_tokens": (True,),
    "stop_token_ids": ([],),
    "top_k": (0, -1),
    "use_beam_search": (False,),
}
"""Fields with influence that the loop has no place for, and the values that ask for nothing."""

_WITHOUT_INFLUENCE: Final = frozenset(
    {
        "cache_salt",
        "metadata",
        "priority",
        "prompt_cache_key",
        "prompt_cache_retention",
        "request_id",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
_INSIDE_NEUTRAL: Final[Mapping[str, Sequence[object]]] = {
    "annotations": ([],),
    "continuous_usage_stats": (False,),
    "function_call": (),
    "tool_calls": ([],),
}
_INSIDE_WITHOUT_INFLUENCE: Final = frozenset(
    {"cache_control", "format", "include_obfuscation", "reasoning", "reasoning_content", "uuid"}
)
_HINTS: Final[Mapping[str, str]] = {
    "name": "a speaker's name has no place in the prompt",
    "response_format": "the answer's form is the one that the model was trained on",
    "tool_calls": "the model calls its own tools only",
    "tools": "the model calls its own tools only",
}


def refuse_unknown(fields: Mapping[str, object] | None) -> None:
    """Return when every one of a request's further fields may be left out.

    Raises:
        ApiError: 400, naming the first that may not.
    """
    _refuse(fields, "", _NEUTRAL, _WITHOUT_INFLUENCE)


def refuse_unknown_inside(fields: Mapping[str, object] | None, where: str) -> None:
    """The same for a message, a part or an option that stands at `where`."""
    _refuse(fields, f"{where}.", _INSIDE_NEUTRAL, _INSIDE_WITHOUT_INFLUENCE)


def _refuse(
    fields: Mapping[str, object] | None,
    where: str,
    neutral: Mapping[str, Sequence[object]],
    without_influence: frozenset[str],
) -> None:
    for name, value in (fields or {}).items():
        asks = value is not None and not any(_is_same(value, other) for other in neutral.get(name, ()))
        if asks and name not in without_influence:
            why = f" ({_HINTS[name]})" if name in _HINTS else ""
            shown = f"{where}{name[:64]}"
            raise ApiError(
                400,
                f"{shown} is not supported by this model{why}; leave it out",
                code="unsupported_parameter",
                param=shown,
            )


def _is_same(value: object, neutral: object) -> bool:
    """Equality of JSON: true is not 1."""
    return value == neutral and isinstance(value, bool) == isinstance(neutral, bool)
