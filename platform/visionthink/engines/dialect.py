"""How a server wants a chat request to be written.

Rule: "OpenAI-compatible" servers disagree about a few fields, and say so with a 400 that names the field. What can be
said in another way is said so from then on. What a server refuses to do at all is left out only where nothing changes
that a caller relies on: the field asks for the server's own default, or the caller said that it is no more than a wish.

Source: the errors of OpenAI's reasoning models (`unsupported_parameter`, `unsupported_value`), 2026-11.
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

TokenField: TypeAlias = Literal["max_tokens", "max_completion_tokens"]

_REFUSES: Final = re.compile(r"unsupported|not supported|does not support|unrecognized|unknown|unexpected|extra", re.I)
_DEFAULTS: Final = {"temperature": 1.0, "top_p": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSampling:
    """The sampling fields that OpenAI-compatible servers know; `seed` None leaves it to the server."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Which fields a server takes, and under which name."""

    token_field: TokenField = "max_tokens"
    left_out: frozenset[str] = frozenset()
    """Fields that the server refused and that are no longer sent."""

    def fields(self, sampling: ChatSampling) -> dict[str, float | int]:
        """The sampling fields of a request."""
        wanted: dict[str, float | int | None] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.token_field: sampling.max_tokens,
            "seed": sampling.seed,
        }
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
        if re.search(rf"\b{name}\b", named) and (is_wish or name == "seed" or _DEFAULTS.get(name) == value):
            return replace(dialect, left_out=dialect.left_out | {name})
    return None
