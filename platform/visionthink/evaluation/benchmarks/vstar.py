"""V*Bench (arXiv 2312.14135): small things in large pictures, four options.

Rule: words and scores are those of lmms-eval 0.7.3 (`tasks/vstar_bench`).
"""

import re
from typing import Final

from visionthink.core.sample import Sample
from visionthink.evaluation.benchmarks.scores import option_line
from visionthink.judges import GradeItem

_OPTION: Final = re.compile(r"\([A-D]\)\s*([^()]+?)(?=\s*\([A-D]\)|$)")
_LETTERS: Final = tuple(
    map(
        re.compile,
        (
            r"^([A-D])\s*[\.)\]]*",
            r"(?:THE\s+)?(?:ANSWER|CHOICE|OPTION)(?:\s+IS)?[\s:]+([A-D])",
            r"\(([A-D])\)",
            r"([A-D])\s*(?:\.|\)|])",
            r"(?:^|\s)([A-D])(?:\s|$)",
        ),
    )
)


def prompt(sample: Sample) -> str:
    """The question with its options a line each."""
    options = _OPTION.findall(sample.question)[:4]
    asked = sample.question
    if options:
        listed = "\n".join(option_line(place, option.strip()) for place, option in enumerate(options))
        asked = f"{asked.split('(A)')[0].strip()}\n{listed}"
    return f"{asked}\nAnswer with the option's letter from the given choices directly."


def rule(item: GradeItem, prediction: str) -> float:
    """By the option."""
    return float(letter(prediction) == item.answer.strip().upper())


def letter(response: str) -> str | None:
    """The letter that a response names; None where it names none.

    Odd: a response that begins with A, B, C or D in any word has named it ("blue" is B).
    """
    text = response.strip().upper()
    found = next((found for pattern in _LETTERS if (found := pattern.search(text))), None)
    if found is not None:
        return found.group(1)
    single = re.findall(r"[A-D]", text)
    return single[0] if len(single) == 1 else None
