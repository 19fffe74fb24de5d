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
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "reasoning_effort": ("none",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
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
    "min_tokens": (0,),
    "mm_processor_kwargs": ({},),
    "prompt_logprobs": (),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "skip_special_tokens": (True,),
    "stop_token_ids": ([],),
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
_OWN_TOOLS: Final = (
    "the model calls its own tools only; adaptive.policy says how it looks at the picture, response_format what its "
    "answer looks like"
)
_HINTS: Final[Mapping[str, str]] = {
    "name": "a speaker's name has no place in the prompt",
    "function_call": _OWN_TOOLS,
    "functions": _OWN_TOOLS,
    "tool_calls": "the model calls its own tools only",
    "tool_choice": _OWN_TOOLS,
    "tools": _OWN_TOOLS,
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


def unsupported(param: str, why: str | None = None) -> ApiError:
    """The error for a field that cannot be honoured."""
    told = f"{param} is not supported by this model{f' ({why})' if why else ''}; leave it out"
    return ApiError(400, told, code="unsupported_parameter", param=param)


def _refuse(
    fields: Mapping[str, object] | None,
    where: str,
    neutral: Mapping[str, Sequence[object]],
    without_influence: frozenset[str],
) -> None:
    for name, value in (fields or {}).items():
        asks = value is not None and not any(_is_same(value, other) for other in neutral.get(name, ()))
        if asks and name not in without_influence:
            raise unsupported(f"{where}{name[:64]}", _HINTS.get(name))


def _is_same(value: object, neutral: object) -> bool:
    """Equality of JSON: true is not 1."""
    return value == neutral and isinstance(value, bool) == isinstance(neutral, bool)
