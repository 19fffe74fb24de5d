"""MM-Vet (arXiv 2308.02490): a language model grades each answer from 0.0 to 1.0.

Rule: the text is the authors', as in lmms-eval 0.7.3 (`tasks/mmvet`). A reply that begins with no such number is no
grade: lmms-eval counts it as 0 in the end. Only that an answer is right can be told by a rule, since a wrong one may
earn a part.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from visionthink.core.sample import Sample
from visionthink.evaluation.answer import Answer
from visionthink.judges import GradeItem, Inquiry
from visionthink.judges.rule import tell
from visionthink.judges.told import Told

_BEFORE: Final = (
    "First please perform reasoning, and think step by step to provide best answer to the following question: \n\n"
)
_ICELAND: Final = """\
Can you explain this meme? | This meme is poking fun at the fact that the names of the countries Iceland and Greenland \
are misleading. Despite its name, Iceland is known for its beautiful green landscapes, while Greenland is mostly \
covered in ice and snow. The meme is saying that the person has trust issues because the names of these countries do \
not accurately represent their landscapes."""
_GRADED: Final = f"""\
Compare the ground truth and prediction from AI models, to give a correctness score for the prediction. <AND> in the \
ground truth means it is totally right only when all elements in the ground truth are present in the prediction, and \
<OR> means it is totally right when any one element in the ground truth is present in the prediction. The correctness \
score is 0.0 (totally wrong), 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, or 1.0 (totally right). Just complete the \
last space of the correctness score.
gpt_query_prompt | Ground truth | Prediction | Correctness
--- | --- | --- | ---
What is x in the equation? | -1 <AND> -5 | x = 3 | 0.0
What is x in the equation? | -1 <AND> -5 | x = -1 | 0.5
What is x in the equation? | -1 <AND> -5 | x = -5 | 0.5
What is x in the equation? | -1 <AND> -5 | x = -5 or 5 | 0.5
What is x in the equation? | -1 <AND> -5 | x = -1 or x = -5 | 1.0
{_ICELAND} | The meme talks about Iceland and Greenland. It's pointing out that despite their names, Iceland is not \
very icy and Greenland isn't very green. | 0.4
{_ICELAND} | The meme is using humor to point out the misleading nature of Iceland's and Greenland's names. Iceland, \
despite its name, has lush green landscapes while Greenland is mostly covered in ice and snow. The text 'This is why \
I have trust issues' is a playful way to suggest that these contradictions can lead to distrust or confusion. The \
humor in this meme is derived from the unexpected contrast between the names of the countries and their actual \
physical characteristics. | 1.0
"""


def prompt(sample: Sample) -> str:
    """The question behind a request to think."""
    return f"{_BEFORE}{sample.question}"


def rule(item: GradeItem, prediction: str) -> float | Inquiry:
    """The question to the judge."""
    truth = item.answer.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    return Inquiry(
        text=f"{_GRADED}\n{item.question} | {truth} | {prediction} |",
        read=degree,
        ruled=1.0 if _is_right(item, prediction) else None,
    )


def _is_right(item: GradeItem, prediction: str) -> bool:
    """Whether the prediction is one of the alternatives, of which none has several parts."""
    first, *others = item.answer.split("<OR>")
    plain = GradeItem(question=item.question, answer=first, other_answers=tuple(others), prediction=prediction)
    return "<AND>" not in item.answer and tell(plain) is Told.RIGHT


def degree(reply: str) -> float | None:
    """The grade that a reply begins with; None where it begins with none."""
    try:
        value = float(reply.strip().split(" ")[0].strip())
    except ValueError:
        return None
    return value if 0.0 <= value <= 1.0 else None


def capability_points(answers: Sequence[Answer]) -> Mapping[str, float]:
    """Points of 100, in all and by capability; a question may need several (`ocr,spat`)."""
    scores: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        for capability in ("total", *answer.family.split(",")):
            scores[capability.strip()].append(answer.score)
    return {capability: 100.0 * sum(found) / len(found) for capability, found in sorted(scores.items())}
