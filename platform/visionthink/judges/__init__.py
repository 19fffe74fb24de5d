"""Judges: whether a predicted answer is right. `rule` needs nothing, `openai_judge` asks a language model.

Rule: importing this package loads no HTTP client. `open_judge` imports the judge that its argument names.
"""

from visionthink.errors import ConfigError
from visionthink.judges.judge import Grade, GradeItem, Judge
from visionthink.judges.rule import RuleJudge

__all__ = ["Grade", "GradeItem", "Judge", "RuleJudge", "open_judge"]


def open_judge(uri: str, *, api_key: str | None = None, timeout_s: float = 120.0, max_connections: int = 64) -> Judge:
    """The judge that `uri` names: `rule`, or `openai:http://HOST:PORT/v1?model=NAME` for a language model.

    Raises:
        ConfigError: `uri` has neither form.
    """
    kind, _, place = uri.partition(":")
    if uri == "rule":
        return RuleJudge()
    if kind == "openai" and place:
        from visionthink.engines.chat_client import open_client
        from visionthink.judges.openai_judge import OpenAIJudge

        return OpenAIJudge(open_client(place, api_key=api_key, timeout_s=timeout_s, max_connections=max_connections))
    raise ConfigError(f"judge {uri!r} is neither rule nor openai:http://HOST:PORT/v1?model=NAME")
