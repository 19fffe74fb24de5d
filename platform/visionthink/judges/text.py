r"""Writes a text the plain way: one kind of dash, space, quote and digit, without the wrapping of LaTeX and Markdown.

Rule: what carries meaning stays. A superscript becomes `^2` and never a digit of the number before it, a vulgar
fraction after a digit stays a mixed number, and `$5` keeps its currency while `$13$` loses its delimiters.
"""

import re
import unicodedata
from functools import cache, lru_cache
from typing import Final

MAX_CHARS: Final = 2000
"""Of a longer text the end is read: that is where an answer is committed to."""

_SUPERSCRIPTS: Final = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
_SUPERSCRIPT_RUN: Final = re.compile(rf"[{''.join(_SUPERSCRIPTS)}]+")
_VULGAR: Final = re.compile(r"(\d?)([¼-¾⅐-⅞↉])")
_PLAIN: Final = str.maketrans(
    {
        **dict.fromkeys("‐‑‒–—―−﹣－⁃", "-"),  # noqa: RUF001
        **dict.fromkeys("‘’‚‛′`´", "'"),  # noqa: RUF001
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("⁄∕", "/"),  # noqa: RUF001
        **dict.fromkeys("⋅∙•", "·"),
        **dict.fromkeys("™®©", ""),
        "º": "°",
        "˚": "°",
        "∶": ":",  # noqa: RUF001
        "∼": "~",  # noqa: RUF001
        "≃": "≈",
        "⩽": "≤",
        "⩾": "≥",
    }
)
_SPACES: Final = re.compile(r"[^\S\n]+")
_TAGS: Final = re.compile(r"</?answer>|<\|im_end\|>|<\|endoftext\|>")
_WRAPPERS: Final = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|mathrm|mathbf|mathit|mathsf|mathtt|boldsymbol|bm|mbox|emph|"
    r"operatorname)\s{0,3}\{([^{}]*)\}"
)
_NUM_WRAPPINGS: Final = 4
_DISPLAY: Final = re.compile(r"\$\$([^$]*)\$\$")
_INLINE: Final = re.compile(r"\$([^$\n]*)\$(?!\d)")
_COMMANDS: Final = {
    **dict.fromkeys(("dfrac", "tfrac", "cfrac"), "\\frac"),
    **dict.fromkeys(("left", "right", "displaystyle", "big", "Big", "limits"), ""),
    **dict.fromkeys(("quad", "qquad", "enspace", "thinspace", "newline"), " "),
    **dict.fromkeys(("leq", "le", "leqslant"), "≤"),
    **dict.fromkeys(("geq", "ge", "geqslant"), "≥"),
    **dict.fromkeys(("neq", "ne"), "≠"),
    **dict.fromkeys(("approx", "simeq"), "≈"),
    **dict.fromkeys(("degree", "textdegree"), "°"),
    **dict.fromkeys(("dots", "ldots", "cdots"), "..."),
    "lt": "<",
    "gt": ">",
    "times": "×",  # noqa: RUF001
    "cdot": "·",
    "div": "÷",
    "pm": "±",
    "pi": "π",
    "sim": "~",
    "circ": "∘",
    "colon": ":",
    "euro": "€",
    "pounds": "£",
    "mu": "μ",
    "Omega": "Ω",
    "Delta": "Δ",
    "triangle": "△",
    "infty": "∞",
    "theta": "θ",
    "alpha": "α",  # noqa: RUF001
    "beta": "β",
    "angle": "∠",
}
_COMMAND: Final = re.compile(r"\\([A-Za-z]+)")
_DEGREES: Final = re.compile(r" ?\^ ?\{? ?∘ ?\}?")
_ESCAPED: Final = re.compile(r"\\([$%&#_{}])")
_THIN: Final = re.compile(r"\\[,;:! ]|\{ \}|(?<=\d)~(?=\d)")
_GROUPED_COMMA: Final = re.compile(r"\{([,.])\}")
_MATH_FENCES: Final = re.compile(r"\\[()\[\]]")
_PAIRS: Final = {'"': '"', "'": "'", "(": ")", "[": "]", "*": "*", "_": "_", "{": "}"}
_LISTING: Final = re.compile(r",(?!\d{3}(?!\d))")
_ARTICLE: Final = re.compile(r"^(?:the (?=.)|an? (?=[^\W\d]{3}))", re.IGNORECASE)
_WORD: Final = re.compile(r"\w+(?:[.'+#/-]+\w+)*[+#]*")


def plain(text: str) -> str:
    """The text in plain characters, LaTeX and Markdown unwrapped; lines stay lines."""
    text = _TAGS.sub(" ", text[-MAX_CHARS:])
    text = "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Cc") or char in "\n\t")
    text = _VULGAR.sub(_vulgar, _SUPERSCRIPT_RUN.sub(_superscript, text.translate(_PLAIN)))
    text = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    if "\\" in text or "$" in text or "{" in text:
        text = _without_latex(text)
    text = text.replace("**", "").replace("__", "")
    return "\n".join(line.strip() for line in _SPACES.sub(" ", text).split("\n") if line.strip())


def _superscript(found: re.Match[str]) -> str:
    digits = "".join(_SUPERSCRIPTS[char] for char in found.group())
    return digits if digits in ("-", "+") else f"^{digits}"


def _vulgar(found: re.Match[str]) -> str:
    whole, char = found.groups()
    above_below = _above_below(char)
    return f"{whole} {above_below}" if whole else above_below


@cache
def _above_below(char: str) -> str:
    """A vulgar fraction in digits; there are twenty."""
    return unicodedata.normalize("NFKC", char).replace("\N{FRACTION SLASH}", "/")


def _without_latex(text: str) -> str:
    for _ in range(_NUM_WRAPPINGS):
        shorter = _WRAPPERS.sub(r"\1", text)
        if shorter == text:
            break
        text = shorter
    text = _INLINE.sub(r" \1 ", _DISPLAY.sub(r" \1 ", text.replace("\\$", "\0")))
    text = _GROUPED_COMMA.sub(r"\1", _MATH_FENCES.sub(" ", text.replace("\\\\", " ")))
    text = _COMMAND.sub(lambda found: _COMMANDS.get(found.group(1), found.group()), text)
    text = _DEGREES.sub("°", _THIN.sub(" ", text))
    return _ESCAPED.sub(r"\1", text).replace("\0", "$")


def trimmed(text: str) -> str:
    """Without what stands at the edges for form only: blanks, closing punctuation, paired quotes and brackets."""
    while True:
        text, before = text.strip(), text
        if len(text) > 1 and _PAIRS.get(text[0]) == text[-1] and not set(text[1:-1]) & {text[0], text[-1]}:
            if text[0] in "([{" and _LISTING.search(text):
                return text  # a pair or a list in brackets has an order
            text = text[1:-1]
        elif text[-1:] and (text[-1] in ".,;:?" or (text[-1] == "!" and not text[-2:-1].isdigit())):
            text = text.rstrip(".,;:?") if text[-1] != "!" else text[:-1]
        elif text[:1] and (text[0] in ",;:" or (text[0] == "." and not text[1:2].isdigit())):
            text = text.lstrip(".,;:") if text[0] == "." else text[1:]
        elif text[:2] in ("- ", "* ", "> ") and not text[2:3].isdigit():
            text = text[2:]
        if text == before:
            return text


@lru_cache(maxsize=4096)
def folded(text: str) -> str:
    """One case, one line, no leading article, no punctuation that only separates words."""
    text = _ARTICLE.sub("", trimmed(text.replace("\n", " ").casefold()))
    text = re.sub(r"(?<=[a-z])_\{?(\d{1,3})\}?", r"\1", text).replace("&", " and ")
    text = re.sub(r"\b([a-z])\.(?=[a-z]\b)", r"\1", text)  # u.s.a. is usa
    text = re.sub(r"(?<=[^\W\d])[.,;:](?= |$)|(?<=[^\W\d])-(?=[^\W\d])|\"", " ", text)
    return " ".join(_SPELLINGS.get(word, word) for word in trimmed(text).split())


_SPELLINGS: Final = {"grey": "gray", "colour": "color", "centre": "center", "metre": "meter"}


def words(text: str) -> list[str]:
    """The words of a text in one case, codes and numbers as one word each."""
    return _WORD.findall(text.casefold())


def has_run(run: list[str], among: list[str]) -> bool:
    """Whether `run` stands in `among`, in one piece."""
    return bool(run) and f" {' '.join(run)} " in f" {' '.join(among)} "


def stem(word: str) -> str:
    """A word without its plural s, for telling whether two texts speak of the same thing."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@lru_cache(maxsize=256)
def stems(text: str) -> frozenset[str]:
    """The stems of the words of a text."""
    return frozenset(stem(word) for word in words(text))
