"""Judges are opened by name."""

import pytest

from visionthink.errors import ConfigError
from visionthink.judges import RuleFirstJudge, RuleJudge, open_judge
from visionthink.judges.openai_judge import OpenAIJudge


def test_open_judge_opens_each_kind() -> None:
    assert isinstance(open_judge("rule"), RuleJudge)
    assert isinstance(open_judge("rule+openai:http://127.0.0.1:9/v1?model=judge"), RuleFirstJudge)
    assert isinstance(open_judge("openai:http://127.0.0.1:9/v1?model=judge"), OpenAIJudge)


@pytest.mark.parametrize(
    "uri", ["", "rules", "rule+", "rule+rule", "openai:", "openai:http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1"]
)
def test_open_judge_refuses_what_names_no_judge(uri: str) -> None:
    with pytest.raises(ConfigError, match="openai:http://HOST"):
        open_judge(uri)
