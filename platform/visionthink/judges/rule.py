"""The judge that needs no server: compares what was meant, by rule.

Rule: deterministic, offline and strict about content, so that a model cannot earn a reward by hedging. It decides
wherever the answer or the prediction is something definite (a number, a code, an option, yes or no, a few words), and
says that it cannot tell where only the meaning of sentences could: take the judge that asks a language model for those.
"""

import re
from typing import Final

from visionthink.judges.compare import same, same_value
from visionthink.judges.judge import Grade, GradeItem
from visionthink.judges.number import read_number
from visionthink.judges.option import chosen, named, options
from visionthink.judges.quantity import read_quantities
from visionthink.judges.statement import Statement, boxed, committed, is_negated, last_sentence
from visionthink.judges.text import MAX_CHARS, folded, has_run, plain, trimmed, words
from visionthink.judges.told import Told, told

_MAX_CLOSED: Final = 4  # words; more are a sentence
_MAX_OPEN_ANSWER: Final = 4
_MAX_COMMITTED: Final = 8
_MAX_QUESTION: Final = 4000
_MAX_MENTIONS: Final = 100  # words
_YES: Final = frozenset({"yes", "yeah", "yep", "yup"})
_NO: Final = frozenset({"no", "nope", "nah"})
_POLAR: Final = re.compile(
    r"(yes|yeah|yep|yup|no|nope|nah)\b(?!\.? ?\d)"
    r"(?:\s*$|\s*[,.;:!\n-]\s*|\s+(?=(?:it|there|he|she|they|this|that|the|because|since|i|we|you)\b))",
    re.IGNORECASE,
)
_DENIAL: Final = re.compile(r"\b(?:no|not|never|none|nobody|nothing|without|neither)\b|n't\b", re.IGNORECASE)
_AFFIRMATION: Final = re.compile(r"\b(?:yes|yeah|yep)\b", re.IGNORECASE)
_DOUBT: Final = re.compile(r"^(?:maybe|perhaps|possibly|probably|likely|might be|could be)\b[,:]? ?", re.IGNORECASE)
_ASIDE: Final = re.compile(r"([^()\n]{1,80}) \(([^()\n]{1,80})\)$")
_SENTENCE: Final = re.compile(r"[^.!?;\n]+[.!?;]?")
_SYMBOLS: Final = re.compile(r"[≠<>≤≥±+=~]")
_GLUE: Final = frozenset(
    words(
        "the a an of in on at to with and it this that there i he she they his her its from for by as so but "
        "is are was were be been has have had does do did says say shows show reads read goes go looks "
        "appears seems means contains can could will would should it's that's there's i'm isn't"
    )
)
_UNTOLD: Final = Grade(
    correct=0.0,
    failed=True,
    error="the rule cannot tell: only the meaning of the words would decide; judge.uri may name a language model, too",
    retryable=False,
)
_GRADES: Final = {Told.RIGHT: Grade(correct=1.0), Told.WRONG: Grade(correct=0.0), Told.UNTOLD: _UNTOLD}


class RuleJudge:
    """Grades by what answer and prediction are: options, numbers with units, dates, formulas, lists, words."""

    async def grade(self, item: GradeItem) -> Grade:
        """1.0 where the prediction means one of the answers, 0.0 where it means none, failed where no rule can tell.

        Of an inquiry it is what the rule that goes with it says.
        """
        if item.inquiry is None:
            return _GRADES[tell(item)]
        return _UNTOLD if item.inquiry.ruled is None else Grade(correct=item.inquiry.ruled)

    async def aclose(self) -> None:
        """Nothing to give back."""


def tell(item: GradeItem) -> Told:
    """Whether the prediction means one of the answers. Of long texts the end is read, so that time is bounded."""
    question = item.question[-_MAX_QUESTION:]
    raw = (item.prediction or "")[-MAX_CHARS:]
    box = boxed(raw)
    text = plain(raw if box is None else box)
    if not trimmed(text):
        return Told.WRONG
    statement = committed(text, question) if box is None else Statement(text=trimmed(text), is_committed=True)
    found = {_told(answer, statement, text, question) for answer in item.answers}
    return next((each for each in (Told.RIGHT, Told.UNTOLD) if each in found), Told.WRONG)


def _told(answer: str, statement: Statement, text: str, question: str) -> Told:
    box = boxed(answer)
    answer = plain(answer if box is None else box)
    answer = trimmed(answer) or answer
    if answer == text:
        return Told.RIGHT
    found = _by_option(answer, statement, text, question) or _by_polarity(answer, statement, text)
    found = found or _by_meaning(answer, statement, text, question)
    is_doubted = statement.is_withdrawn or (text.rstrip("\"'*) ").endswith("?") and not answer.endswith("?"))
    return Told.UNTOLD if found is Told.RIGHT and is_doubted else found


def _by_option(answer: str, statement: Statement, text: str, question: str) -> Told | None:
    """By the option that is chosen; None where the question lists none that is the answer."""

    def is_same(one: str, other: str) -> bool:
        return same_value(one, other, question)

    listed = options(question)
    want = chosen(answer, listed, is_same) if listed else None
    if not want:
        return None
    last = last_sentence(text)
    places = [trimmed(text), statement.text, last, committed(last, question).text]
    got = next((found for place in places if (found := chosen(place, listed, is_same)) is not None), None)
    if got is not None:
        return told(got == want)
    num_words, spoken = len(words(statement.text)), named(text, listed)
    is_clear = is_negated(statement.text) or num_words <= _MAX_CLOSED or not _is_sentence(text)
    is_several = num_words <= _MAX_COMMITTED and len(spoken) > 1
    return Told.WRONG if is_clear or is_several or not want & spoken else Told.UNTOLD


def _by_polarity(answer: str, statement: Statement, text: str) -> Told | None:
    """Yes or no, with an explanation that does not contradict it; None where the answer is neither."""
    want = _polarity(folded(answer))
    if want is None:
        return None
    found = _POLAR.match(statement.text)
    if found is None:
        is_maybe = _is_sentence(text) and folded(answer) in words(text) and not is_negated(statement.text)
        return Told.UNTOLD if is_maybe else Told.WRONG
    rest = statement.text[found.end() :]
    other = _POLAR.match(rest)
    if _polarity(found.group(1).casefold()) is not want or (other and _polarity(other.group(1).casefold()) is not want):
        return Told.WRONG
    if want:
        return Told.UNTOLD if _DENIAL.search(rest) else Told.RIGHT
    return Told.WRONG if _AFFIRMATION.search(rest) else Told.RIGHT


def _polarity(word: str) -> bool | None:
    return True if word in _YES else False if word in _NO else None


def _by_meaning(answer: str, statement: Statement, text: str, question: str) -> Told:
    """By what answer and prediction are, without options."""
    got = statement.text
    found = [same(answer, trimmed(text), question), same(answer, got, question)]
    if (
        not statement.is_committed
        and (last := committed(last_sentence(text), question)).is_committed
        and last.text != got
    ):
        found.append(same(answer, last.text, question))
    if aside := _ASIDE.match(got):
        found.append(_with_aside(answer, aside.group(1), aside.group(2), question))
    if (want := committed(answer, question)).is_committed:
        found.append(same(want.text, got, question))
    if Told.RIGHT in found:
        return Told.RIGHT
    if doubt := _DOUBT.match(got):
        found.append(Told.UNTOLD if same(answer, got[doubt.end() :], question) is Told.RIGHT else Told.WRONG)
    if Told.UNTOLD in found:
        return Told.UNTOLD
    return _by_words(answer, statement, text, question)


def _with_aside(answer: str, head: str, aside: str, question: str) -> Told:
    """With words in brackets: "8 (eight)" says one thing twice; "Paris (France)" says more, which no rule can weigh."""
    each = {same(answer, head, question), same(answer, aside, question)}
    return Told.RIGHT if each == {Told.RIGHT} else Told.UNTOLD if Told.RIGHT in each else Told.WRONG


def _by_words(answer: str, statement: Statement, text: str, question: str) -> Told:
    """Of texts that are not the same: wrong, or a matter of what sentences mean."""
    want, got, whole = words(answer), words(statement.text), words(text)
    if len(want) > _MAX_OPEN_ANSWER and any(word.isalpha() for word in want):
        is_definite = len(got) < 2 or bool(read_quantities(statement.text)) or _is_babble(whole)
        return Told.WRONG if is_definite else Told.UNTOLD
    is_clause = statement.is_committed and ", " not in statement.text
    if len(got) <= (_MAX_COMMITTED if is_clause else _MAX_CLOSED):
        extra = set(got) - set(want)
        is_plain = not is_negated(statement.text) and not _SYMBOLS.search(statement.text)
        is_restated = has_run(want, got) and bool(extra) and extra <= set(words(question)) and is_plain
        return Told.UNTOLD if is_restated and not _is_babble(got) else Told.WRONG
    is_said = any(_mentions(answer, words(each)) for each in _SENTENCE.findall(text) if _is_sentence(each))
    return Told.UNTOLD if is_said else Told.WRONG


def _mentions(answer: str, whole: list[str]) -> bool:
    """Whether the words of a text hold the answer, as it stands or as the same number."""
    if has_run(words(answer), whole):
        return True
    number = read_number(answer)
    if number is None or number.end < len(answer):
        return False
    found = (read_number(word) for word in dict.fromkeys(whole[:_MAX_MENTIONS]))
    return any(each is not None and each.value == number.value for each in found)


def _is_sentence(text: str) -> bool:
    """Whether a text says something, as far as a rule can see: the words that hold a sentence together are there."""
    row = words(text)
    num_glue = sum(word in _GLUE for word in row)
    return len(row) > 3 and num_glue * 3 >= len(row) and not text.rstrip().endswith("?") and not _is_babble(row)


def _is_babble(row: list[str]) -> bool:
    """Whether a row of words repeats itself more than speech does."""
    return (len(row) > 2 and len(set(row)) * 2 <= len(row) <= 60) or len(set(row)) * 5 <= len(row)
