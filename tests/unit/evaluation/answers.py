"""Answers to compute figures of."""

from visionthink.evaluation import Answer


def answer(
    name: str = "a",
    *,
    family: str = "code",
    needed: bool | None = True,
    correct: bool = True,
    asked: bool = True,
    failed: bool = False,
    got: str | None = "47",
) -> Answer:
    return Answer(
        id=name,
        family=family,
        needed=needed,
        want="47",
        got=got,
        correct=correct and not failed,
        failed=failed,
        asked=asked,
        visual_tokens=20 if asked else 4,
        num_turns=1 + asked,
        outcome="answered",
    )
