"""How settings write a contender that drops visual tokens: `always_high+fastv@0.5`.

Rule: a contender that always takes part, a plus, and a pruning. Nothing else is a name, so a slip never measures
something else than was meant.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from visionthink.core.pruning import PruningName, parse_pruning
from visionthink.errors import ConfigError

PLAIN: Final = ("always_low", "always_high", "base", "trained")
"""Contenders that take part in every evaluation."""


class ContenderName(NamedTuple):
    """Who drops tokens, and how."""

    plain: str
    pruning: PruningName

    def __str__(self) -> str:
        """The one way to write it."""
        return f"{self.plain}+{self.pruning}"


def parse_contender(text: str) -> ContenderName:
    """The contender that `text` names.

    Raises:
        ConfigError: it names none.
    """
    plain, plus, pruning = text.strip().partition("+")
    if plain not in PLAIN:
        raise ConfigError(f"no contender is called {plain!r}; those that can drop tokens are {', '.join(PLAIN)}")
    if not plus:
        raise ConfigError(
            f"{plain} takes part in every evaluation; with tokens dropped it is written {plain}+fastv@0.5"
        )
    return ContenderName(plain, parse_pruning(pruning))


def in_one_way(texts: Iterable[str]) -> tuple[str, ...]:
    """The same contenders, each as it is written in only one way.

    Raises:
        ValueError: one is no contender, or stands there twice; the settings say where.
    """
    try:
        names = [str(parse_contender(text)) for text in texts]
    except ConfigError as error:
        raise ValueError(str(error)) from error
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} stands there twice; leave one out")
    return tuple(names)
