"""Judges: whether a predicted answer is right. `rule` needs nothing, `openai_judge` asks a language model.

Rule: importing this package loads no HTTP client. `open_judge` imports the judge that its argument names.
"""

from visionthink.errors import ConfigError
from visionthink.judges.call_log import CallLog
from visionthink.judges.judge import Grade, GradeItem, Inquiry, Judge
from visionthink.judges.limits import JudgeLimits
from visionthink.judges.rule import RuleJudge
from visionthink.judges.rule_first import RuleFirstJudge
from visionthink.judges.tally import JudgeTally

__all__ = [
    "CallLog",
    "Grade",
    "GradeItem",
    "Inquiry",
    "Judge",
    "JudgeLimits",
    "JudgeTally",
    "RuleFirstJudge",
    "RuleJudge",
    "open_judge",
]


def open_judge(
    uri: str,
    *,
    api_key: str | None = None,
    timeout_s: float = 120.0,
    max_connections: int = 64,
    prompt: str = "strict",
    limits: JudgeLimits | None = None,
    log: CallLog | None = None,
    tally: JudgeTally | None = None,
) -> Judge:
    """The judge that `uri` names.

    `rule`; `openai:http://HOST:PORT/v1?model=NAME` for a language model; `rule+openai:...` for the rule first and the
    language model for what the rule cannot tell. The rest is of the language model: see `OpenAIJudge`.

    Raises:
        ConfigError: `uri` has none of these forms, or no prompt has that name.
    """
    if uri == "rule":
        return RuleJudge()
    kind, _, place = uri.removeprefix("rule+").partition(":")
    if kind == "openai" and place:
        from visionthink.engines.chat_client import open_client
        from visionthink.judges.openai_judge import OpenAIJudge
        from visionthink.judges.prompt import prompt_named

        client = open_client(
            place,
            api_key=api_key,
            timeout_s=timeout_s,
            max_connections=max_connections,
            is_wish=True,  # a verdict is one at any temperature
        )
        judge = OpenAIJudge(client, prompt=prompt_named(prompt), limits=limits, log=log, tally=tally)
        return RuleFirstJudge(judge, tally=tally) if uri.startswith("rule+") else judge
    raise ConfigError(f"judge {uri!r} is none of rule, openai:http://HOST:PORT/v1?model=NAME, rule+openai:http://...")
