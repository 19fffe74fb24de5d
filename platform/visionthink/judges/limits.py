"""What grading by a language model may take. A pure record."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeLimits:
    """Bounds of time and spending; None is no bound."""

    grade_timeout_s: float = 300.0
    """Of one grade, with all tries and with all that it waits for."""
    max_calls: int | None = None
    """Calls that a run may make."""
    max_tokens: int | None = None
    """Tokens, of questions and replies, after which a run makes no further call."""
