"""What of a reply may be passed on while it is still being written.

Rule: a call is never passed on, and text that may turn out to belong to one waits.

- In a turn in which a call would be granted, nothing flows until the answer opens outside of the monologue: before that
  the reply may still become a wish to look closer, which is nobody's answer.
- In any other turn (fixed view, last turn of the budget, forced turn) the reply flows from its first word.
- From an opening call tag on nothing flows: whether that text is shown is known when the turn has ended.
- Nor does anything from a stop text of the client's on.
"""

from collections.abc import Sequence
from typing import Final

_CALL_OPEN: Final = "<tool_call>"
_ANSWER_OPEN: Final = "<answer>"
_THINK_OPEN: Final = "<think>"
_THINK_CLOSE: Final = "</think>"


class Flow:
    """The gate of one turn."""

    def __init__(self, *, may_look: bool, stops: Sequence[str] = ()) -> None:
        """`may_look`: a call in this turn would be granted. `stops` are where the client wants its answer to end."""
        self._is_open = not may_look
        self._ends = (_CALL_OPEN, *stops)
        self._longest = max(map(len, self._ends))
        self._text = ""
        self._num_passed = 0
        self.has_call = False
        """Whether a call has opened somewhere, be it in a monologue."""

    @property
    def num_passed(self) -> int:
        """Characters of the reply that were passed on."""
        return self._num_passed

    def feed(self, piece: str) -> str:
        """Take in the next piece; what may be passed on now, which may be nothing."""
        self._text += piece
        # Every tag ends with this character.
        if ">" in piece:
            self.has_call = self.has_call or _CALL_OPEN in self._text
            self._is_open = self._is_open or _answers(self._text)
        if not self._is_open:
            return ""
        end = self._end()
        passed, self._num_passed = self._text[self._num_passed : end], max(end, self._num_passed)
        return passed

    def _end(self) -> int:
        """Where a call or a stop begins, or may begin with the next piece."""
        text = self._text
        found = [place for end in self._ends if (place := text.find(end, self._num_passed)) != -1]
        if found:
            return min(found)
        for start in range(max(self._num_passed, len(text) - self._longest + 1), len(text)):
            if any(end.startswith(text[start:]) for end in self._ends):
                return start
        return len(text)


def _answers(text: str) -> bool:
    """Whether an answer opens outside of the monologues, with no call before it."""
    outside = _outside(text)
    answer = outside.find(_ANSWER_OPEN)
    return answer != -1 and _CALL_OPEN not in outside[:answer]


def _outside(text: str) -> str:
    """`text` without its monologues; one that is still open is left out to its end."""
    kept, position = [], 0
    while (start := text.find(_THINK_OPEN, position)) != -1:
        kept.append(text[position:start])
        end = text.find(_THINK_CLOSE, start)
        if end == -1:
            return "".join(kept)
        position = end + len(_THINK_CLOSE)
    return "".join([*kept, text[position:]])
