from dataclasses import replace

import pytest
from tests.unit.evaluation.answers import CONTENDERS, TRAINED, contender

from visionthink.core.gate import ContenderRole
from visionthink.errors import UserError
from visionthink.evaluation.contender import check_contenders


def test_usual_contenders_have_a_role_each() -> None:
    check_contenders(CONTENDERS)
    assert [(one.name, one.role, one.policy) for one in CONTENDERS] == [
        ("always_low", ContenderRole.QUARTER_VIEW, "always_low"),
        ("always_high", ContenderRole.FULL_VIEW, "always_high"),
        ("base", ContenderRole.BASE, "auto"),
        ("trained", ContenderRole.CANDIDATE, "auto"),
    ]


@pytest.mark.parametrize(
    ("more", "want"),
    [
        (contender(""), "contender: '' is no name"),
        (contender("base"), r"\['base'\] stand there twice"),
        (replace(TRAINED, name="second"), "judges one candidate, not 2"),
    ],
    ids=["without a name", "a name that is taken", "a second candidate"],
)
def test_contenders_that_cannot_be_told_apart_are_refused(more: object, want: str) -> None:
    with pytest.raises(UserError, match=want):
        check_contenders([*CONTENDERS, more])  # type: ignore[list-item]
