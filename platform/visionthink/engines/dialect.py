"""How a server wants a chat request to be written.

Rule: "OpenAI-compatible" servers disagree about a few fields, and say so with a 400 that names the field. What can be
said in another way is said so from then on. What a server refuses to do at all is left out only where nothing changes
that a caller relies on: the field asks for the server's own default, or the caller said that it is no more than a wish.

Source: the errors of OpenAI's reasoning models (`unsupported_parameter`, `unsupported_value`), 2026-11.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from visionthink.core.json_value import Json

TokenField: TypeAlias = Literal["max_tokens", "max_completion_tokens"]

_REFUSES: Final = re.compile(r"unsupported|not supported|does not support|unrecognized|unknown|unexpected|extra", re.I)
_DEFAULTS: Final = {"temperature": 1.0, "top_p": 1.0}
_KEEPS_STOP: Final = "include_stop_str_in_output"
_WISHES: Final = frozenset({"seed", _KEEPS_STOP})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSampling:
    """How a reply is drawn, in the fields of the API."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int | None
    """None leaves it to the server."""
    further: Mapping[str, Json] = field(default_factory=dict)
    """What not every server knows, and the caller relies on."""
    wishes: Mapping[str, Json] = field(default_factory=dict)
    """What a server may refuse without a loss for anybody but time."""
    until: Sequence[str] = ()
    """Texts that end a reply and stay its end, where the server can do that; a wish as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Which fields a server takes, and under which name."""

    token_field: TokenField = "max_tokens"
    left_out: frozenset[str] = frozenset()
    """Fields that the server refused and that are no longer sent."""

    def fields(self, sampling: ChatSampling) -> dict[str, Json]:
        """The sampling fields of a request."""
        wanted: dict[str, Json] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.token_field: sampling.max_tokens,
            "seed": sampling.seed,
            **sampling.further,
            **sampling.wishes,
        }
        # Without the second field the text that ends the reply would be missing in it, so they go together.
        if sampling.until and _KEEPS_STOP not in self.left_out and "stop" not in sampling.further:
            wanted |= {"stop": [*sampling.until], _KEEPS_STOP: True}
        return {name: value for name, value in wanted.items() if value is not None and name not in self.left_out}


def adapted(dialect: Dialect, complaint: str, sampling: ChatSampling, *, is_wish: bool) -> Dialect | None:
    """The dialect in which the same request may pass after a 400 with this text; None when there is no other.

    `is_wish` says that the caller can do without the very temperature and seed.
    """
    named = complaint.casefold()
    if dialect.token_field == "max_tokens" and "max_completion_tokens" in named:
        return replace(dialect, token_field="max_completion_tokens")
    if not _REFUSES.search(complaint):
        return None
    # An old server that has never heard of the new name.
    if dialect.token_field == "max_completion_tokens" and "max_completion_tokens" in named:
        return None
    if dialect.token_field == "max_tokens" and re.search(r"\bmax_tokens\b", named):
        return replace(dialect, token_field="max_completion_tokens")
    for name, value in dialect.fields(sampling).items():
        is_ours = name == "stop" and name not in sampling.further
        may_go = is_ours or name in _WISHES or name in sampling.wishes or _DEFAULTS.get(name) == value
        may_go = may_go or (is_wish and name not in sampling.further)
        if re.search(rf"\b{name}\b", named) and may_go:
            return replace(dialect, left_out=dialect.left_out | {_KEEPS_STOP if is_ours else name})
    return None
