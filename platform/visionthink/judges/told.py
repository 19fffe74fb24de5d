"""What a rule can say of an answer: right, wrong, or that it cannot tell."""

from enum import Enum


class Told(Enum):
    """The three things; a rule that does not apply at all says None instead."""

    RIGHT = "right"
    WRONG = "wrong"
    UNTOLD = "cannot tell"


def told(is_right: bool) -> Told:
    """Right or wrong."""
    return Told.RIGHT if is_right else Told.WRONG
