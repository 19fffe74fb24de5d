"""Answers to compute figures of, and those who gave them."""

from dataclasses import replace
from pathlib import Path

from visionthink.config import RunConfig
from visionthink.core.gate import ContenderRole
from visionthink.evaluation import Answer
from visionthink.evaluation.contender import Contender, usual_contenders

CONTENDERS = usual_contenders(Path("base"), Path("trained"), RunConfig())
TRAINED = CONTENDERS[3]


def contender(name: str, role: ContenderRole = ContenderRole.OTHER) -> Contender:
    return replace(TRAINED, name=name, label=f"the {name}", role=role, model=Path(name))


def answer(
    name: str = "a",
    *,
    family: str = "code",
    needed: bool | None = True,
    correct: bool = True,
    score: float | None = None,
    asked: bool = True,
    failed: bool = False,
    error: str = "connection refused",
    got: str | None = "47",
    asked_whole: bool = True,
    asked_right: bool | None = None,
) -> Answer:
    return Answer(
        id=name,
        family=family,
        needed=needed,
        want="47",
        got=got,
        score=0.0 if failed else float(correct) if score is None else score,
        error=error if failed else None,
        asked=asked,
        asked_whole=asked and asked_whole,
        asked_right=asked_right,
        visual_tokens_asked=16 if asked else 0,
        shortcut=False,
        visual_tokens=20 if asked else 4,
        reply_tokens=30 if asked else 12,
        num_turns=1 + asked,
        outcome="answered",
    )
