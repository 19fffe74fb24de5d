"""The judge that the settings of a run name.

Rule: whoever opens a judge for a run does it here, so that every stage, and every worker of a training, judges alike.
"""

from pathlib import Path

from visionthink.config import JudgeConfig
from visionthink.judges import CallLog, Judge, JudgeLimits, JudgeTally, open_judge


def judge_of_settings(
    settings: JudgeConfig,
    *,
    api_key: str | None,
    calls_path: Path | None,
    run_id: str,
    tally: JudgeTally | None = None,
) -> Judge:
    """The judge; what a language model says is kept in `settings.cache`, else at `calls_path`, else in memory.

    What it does is added to `tally`.
    """
    path = calls_path if settings.cache is None else Path(settings.cache)
    return open_judge(
        settings.uri,
        api_key=api_key,
        timeout_s=settings.timeout_s,
        max_connections=settings.max_connections,
        prompt=settings.prompt,
        limits=JudgeLimits(
            grade_timeout_s=settings.grade_timeout_s, max_calls=settings.max_calls, max_tokens=settings.max_tokens
        ),
        log=CallLog(path, run=run_id),
        tally=tally,
    )
