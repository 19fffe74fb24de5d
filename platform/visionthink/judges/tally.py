"""What asking a language model for verdicts came to, counted while it goes on.

Rule: one tally a stage, which every judge that the stage opens adds to. A failure is counted, never scored.
"""

from dataclasses import dataclass, fields


@dataclass(slots=True, kw_only=True)
class JudgeTally:
    """Counts that only grow."""

    num_told: int = 0
    """Answers that the rule told, so that nobody was asked; 0 where the rule is not asked first."""
    num_remembered: int = 0
    """Answers with a verdict from an earlier call."""
    num_calls: int = 0
    """Questions put to the language model."""
    num_tokens: int = 0
    """Tokens of questions and replies together."""
    num_unclear: int = 0
    """Replies without a clear verdict; each is asked for again, or in the end a failure."""
    num_failed: int = 0
    """Grades that could not be had."""

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to count."""
        return not any(getattr(self, field.name) for field in fields(self))
