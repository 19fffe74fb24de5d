r"""Mathematics: whether two formulas have the same value, such as `2\sqrt{221}` and `\sqrt{884}`.

Rule: only what is a formula is read as one, and all of it. Whole numbers and fractions are exact; roots and functions
are compared as floats at three points. math-verify was measured for this: it takes "46P" for 46, "5-10" for -5 and
"5 or 6" for 6, needs 15 to 160 ms a pair and bounds its time with signals, which do not work beside an event loop.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

Value = Fraction | float
_MAX_CHARS: Final = 120
_MAX_DEPTH: Final = 12
_MAX_BITS: Final = 2000
_POINTS: Final = (Fraction(7, 5), Fraction(19, 11), Fraction(23, 9))
_ROUNDED: Final = re.compile(r"-?\d{0,9}\.(\d{2,12})$")
_TOLERANCE: Final = 1e-12
_MAX_FLOAT: Final = 10**9  # beyond it a float no longer tells a whole number from the next plus a root
_TOKEN: Final = re.compile(
    r"\s*(?:(\d{1,30}(?:\.\d{1,30})?|\.\d{1,30})|\\?(sqrt|frac|sin|cos|tan|log|ln|exp|pi)(?![A-Za-z])|\\([A-Za-z]+)|(\S))"
)
_MARK: Final = re.compile(r"\\(?:frac|sqrt)|\bsqrt|[√π^]|\bpi\b")
_WORD: Final = re.compile(r"(?<![\\A-Za-z])(?!(?:sqrt|frac|sin|cos|tan|log|exp)(?![A-Za-z]))[A-Za-z]{3,}")
_SUM_OF_LETTERS: Final = re.compile(r"(?=.*[a-z])[a-z0-9 +*/().-]*[a-z0-9)] ?\+ ?[a-z0-9(][a-z0-9 +*/().-]*$")
_VARIABLE: Final = re.compile(r"[A-Za-zθαβ]")  # noqa: RUF001
_FUNCTIONS: Final[Mapping[str, Callable[[float], float]]] = {
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "log": math.log10,
    "ln": math.log,
    "exp": math.exp,
}


class _UnreadableError(Exception):
    """This is no formula, or has no value."""


@dataclass(slots=True)
class _Reader:
    """Recursive descent over the tokens, with a value for every letter."""

    tokens: list[str]
    letters: Mapping[str, Value]
    at: int = 0
    depth: int = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, want: str = "") -> str:
        token = self.peek()
        if not token or (want and token != want):
            raise _UnreadableError
        self.at += 1
        return token

    def sum(self) -> Value:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise _UnreadableError
        total = self.product()
        while self.peek() in ("+", "-"):
            is_plus = self.take() == "+"
            part = self.product()
            total = total + part if is_plus else total - part
        self.depth -= 1
        return total

    def product(self) -> Value:
        sign = 1
        while self.peek() in ("+", "-"):
            sign = -sign if self.take() == "-" else sign
        total = self.power()
        while (token := self.peek()) and token not in "+-)}],=":
            is_quotient = token in ("/", "÷")
            if is_quotient or token in ("*", "·", "×"):  # noqa: RUF001
                self.take()
            elif _is_number(token) and not self._may_follow():
                raise _UnreadableError
            part = self.power()
            total = total / part if is_quotient else total * part
        return -total if sign < 0 else total

    def _may_follow(self) -> bool:
        """Whether a number may stand here without a sign for the product: after a bracket only."""
        return self.tokens[self.at - 1] in (")", "}")

    def power(self) -> Value:
        base = self.atom()
        if self.peek() == "^":
            self.take()
            sign = 1
            if self.peek() == "-":
                self.take()
                sign = -1
            return _raised(base, self.atom() * sign)
        return base

    def atom(self) -> Value:
        token = self.take()
        if token in ("(", "{", "["):
            inner = self.sum()
            self.take({"(": ")", "{": "}", "[": "]"}[token])
            return inner
        if token == "frac":
            return self.fraction()
        if token in ("sqrt", "√"):
            return self.root()
        if token in _FUNCTIONS:
            return self.function(token)
        if token in ("π", "pi"):
            return math.pi
        if _is_number(token):
            return Fraction(token)
        if token in self.letters:
            return self.letters[token]
        raise _UnreadableError

    def fraction(self) -> Value:
        above, below = self.short(), self.short()
        return above / below

    def short(self) -> Value:
        r"""An argument of `\frac`: a group, or one digit of "12"."""
        token = self.peek()
        if token.isdigit() and len(token) > 1:
            self.tokens[self.at : self.at + 1] = list(token)
        return self.atom()

    def root(self) -> Value:
        degree: Value = Fraction(2)
        if self.peek() == "[":
            self.take()
            degree = self.sum()
            self.take("]")
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise _UnreadableError
        inner = self.atom()
        self.depth -= 1
        return _raised(inner, 1 / degree)

    def function(self, name: str) -> Value:
        base: Value | None = None
        if self.peek() == "_":
            self.take()
            base = self.atom()
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise _UnreadableError
        inner = float(self.power())
        self.depth -= 1
        if self.peek() == "°":
            self.take()
            inner = math.radians(inner)
        value = _FUNCTIONS[name](inner)
        return value if base is None else value / _FUNCTIONS[name](float(base))


def is_formula(text: str) -> bool:
    """Whether a text has the marks of mathematics, so that comparing values makes sense."""
    return len(text) <= _MAX_CHARS and bool(_MARK.search(text) or _SUM_OF_LETTERS.match(text))


@lru_cache(maxsize=4096)
def values(text: str) -> tuple[Value, ...] | None:
    """The value of a formula at each point, one value when it has no variable; None when it is no formula."""
    if len(text) > _MAX_CHARS or not text or _WORD.search(text):
        return None
    tokens = [next(filter(None, found.groups())) for found in _TOKEN.finditer(text)]
    letters = sorted({token for token in tokens if len(token) == 1 and _VARIABLE.match(token)})
    found = []
    for shift in range(len(_POINTS) if letters else 1):
        points = {letter: _POINTS[shift] + Fraction(ord(letter), 97 + shift) for letter in letters}
        value = _value(list(tokens), points)
        if value is None:
            return None
        found.append(value)
    return tuple(found)


def _value(tokens: list[str], letters: Mapping[str, Value]) -> Value | None:
    reader = _Reader(tokens, letters)
    try:
        value = reader.sum()
        return value if reader.at == len(tokens) and math.isfinite(value) else None
    except (_UnreadableError, ArithmeticError, ValueError, TypeError):
        return None


def same_values(left: tuple[Value, ...], right: tuple[Value, ...]) -> bool:
    """Whether two formulas agree at every point."""
    return len(left) == len(right) and all(map(_is_close, left, right))


def _is_close(left: Value, right: Value) -> bool:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left == right
    if max(abs(Fraction(left)), abs(Fraction(right))) > _MAX_FLOAT:
        return False
    return math.isclose(left, right, rel_tol=_TOLERANCE)


def is_rounding(exact: Value, text: str) -> bool:
    """Whether `text` is `exact` to two decimals or more, rounded or cut."""
    found = _ROUNDED.match(text)
    if found is None:
        return False
    whole, rounded = Fraction(exact), Fraction(text)
    gap = (abs(whole) - abs(rounded)) * 10 ** len(found.group(1))
    return (whole < 0) == text.startswith("-") and Fraction(-1, 2) <= gap < 1


def _is_number(token: str) -> bool:
    return token[0].isdigit() or (token[0] == "." and len(token) > 1)


def _raised(base: Value, power: Value) -> Value:
    if isinstance(base, Fraction) and isinstance(power, Fraction):
        if (
            power.denominator == 1
            and abs(power) * max(base.numerator.bit_length(), base.denominator.bit_length()) < _MAX_BITS
        ):
            return Fraction(base**power.numerator)
        if power == Fraction(1, 2) and base >= 0 and math.isqrt(base.numerator) ** 2 == base.numerator:
            below = math.isqrt(base.denominator)
            if below**2 == base.denominator:
                return Fraction(math.isqrt(base.numerator), below)
    if base < 0:
        raise _UnreadableError
    return math.pow(base, power)
