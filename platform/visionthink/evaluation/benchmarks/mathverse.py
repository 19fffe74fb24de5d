"""MathVerse, testmini (arXiv 2403.14624): a judge says whether the reply has the right answer.

Rule: the judge's text is that of lmms-eval 0.7.3 (`llm_judge/prompt.py`), its verdict is read strictly: lmms-eval takes
any reply with a "1" in it for "correct".
"""

from typing import Final

from visionthink.evaluation.benchmarks.benchmark import detail
from visionthink.judges import GradeItem, Inquiry
from visionthink.judges.rule import tell
from visionthink.judges.told import Told
from visionthink.judges.verdict import parse_verdict

_JUDGED: Final = """\
You are a strict evaluator assessing answer correctness. You must output 1 for fully correct answers and 0 for \
any other case.

# Input
Question:
```
{question}
```
Ground Truth Answer:
```
{answer}
```
Model Prediction:
```
{prediction}
```

# Evaluation Rules
- The model prediction may contain the reasoning process, you should spot the final answer from it.
- For multiple-choice questions: Score 1 if the predicted answer matches the ground truth answer, it can be \
directly in option letters or the content of the options.
- For open-ended questions:
  * Score 1 if the prediction matches the answer semantically, it can be in different format.
  * Score 0 for partially correct answers or answers with extra incorrect information, even if the \
reasoning process is correct.
- Ignore minor differences in formatting, capitalization, or spacing since the model may explain in a different way.
- Treat numerical answers as correct if they match within reasonable precision
- For questions requiring units, both value and unit must be correct

# Strict Output format
1 or 0"""
_RULED: Final = {Told.RIGHT: 1.0, Told.WRONG: 0.0, Told.UNTOLD: None}


def rule(item: GradeItem, prediction: str) -> float | Inquiry:
    """The question to the judge; a judge that goes by rules compares option, number or words."""
    question = detail(item.details, "question_for_eval")
    own = GradeItem(question=question, answer=item.answer, prediction=prediction, other_answers=item.other_answers)
    return Inquiry(
        text=_JUDGED.format(question=question, answer=item.answer, prediction=prediction.strip()),
        read=parse_verdict,
        ruled=_RULED[tell(own)],
    )
