"""The texts that ask a language model for a verdict, and the strict reading of what it says.

Rule: only an unambiguous "Score: 0" or "Score: 1" is a verdict. The released code took any reply with a "1" in it for
"correct", and a reply without a score for "wrong"; here such a reply is no verdict, and is asked for again.
Source of the texts: VisionThink's released LLM judge; it is asked with the clean question, not with the whole prompt.
"""

import json
import re
from typing import Final

from visionthink.judges.judge import GradeItem

SYSTEM: Final = """\
You are an intelligent chatbot designed for evaluating the correctness of generative outputs for question-answer pairs.
Your task is to compare the predicted answer with the correct answer and determine if they match meaningfully. \
Here's how you can accomplish the task:
------
##INSTRUCTIONS:
- Focus on the meaningful match between the predicted answer and the correct answer.
- Consider synonyms or paraphrases as valid matches.
- Evaluate the correctness of the prediction compared to the answer."""

_QUESTION: Final = (
    "I will give you a question related to an image and the following text as inputs:\n\n"
    "1. **Question Related to the Image**: {0}\n"
    "2. **Ground Truth Answer**{1}\n"
    "3. **Model Predicted Answer**: {2}\n\n"
)

_CRITERIA: Final = """\
Your task is to evaluate the model's predicted answer against the ground truth answer, based on the context provided \
by the question related to the image. Consider the following criteria for evaluation:
- **Relevance**: Does the predicted answer directly address the question posed, considering the information provided \
by the given question?
- **Accuracy**: Compare the predicted answer to the ground truth answer. You need to evaluate from the following two \
perspectives:
(1) If the ground truth answer is open-ended, consider whether the prediction accurately reflects the information \
given in the ground truth without introducing factual inaccuracies. If it does, the prediction should be considered \
correct.
(2) If the ground truth answer is a definitive answer, strictly compare the model's prediction to the actual answer. \
Pay attention to unit conversions such as length and angle, etc. As long as the results are consistent, the model's \
prediction should be deemed correct.
**Output Format**:
Your response should include an integer score indicating the correctness of the prediction: 1 for correct and 0 for \
incorrect. Note that 1 means the model's prediction strictly aligns with the ground truth, while 0 means it does not.
The format should be "Score: 0 or 1\""""

_THOUGHT: Final = re.compile(r"^.*</think>|<think>.*", re.DOTALL)  # up to the end when it was cut off
_SCORE: Final = re.compile(r"\bscore\W{0,6}([01])(?:\.0)?(?![\w.]|\s*or\b|\s*/)", re.IGNORECASE)
_BARE: Final = re.compile(r"\W*([01])(?:\.0)?\W*")


def judge_question(item: GradeItem) -> str:
    """The user text for one item; of an inquiry, its own."""
    if item.inquiry is not None:
        return item.inquiry.text
    return _QUESTION.format(item.question, _truth(item), item.prediction or "") + _CRITERIA


def _truth(item: GradeItem) -> str:
    """One answer as released; several in quotes, because the released texts know only one."""
    if not item.other_answers:
        return f": {item.answer}"
    quoted = " | ".join(json.dumps(answer, ensure_ascii=False) for answer in dict.fromkeys(item.answers))
    return f" (there are several, and a prediction that matches any one of them is correct): {quoted}"


def without_thought(reply: str) -> str:
    """What a model says once it has thought."""
    return _THOUGHT.sub("", reply)


def parse_verdict(reply: str) -> float | None:
    """1.0 or 0.0; None when the reply names no score, or names both."""
    text = without_thought(reply)
    scores = set(_SCORE.findall(text))
    if not scores and (bare := _BARE.fullmatch(text)):
        scores = {bare.group(1)}
    return float(scores.pop()) if len(scores) == 1 else None
