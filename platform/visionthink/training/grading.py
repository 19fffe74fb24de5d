"""What the reward needs to know of an episode that was held and graded."""

from visionthink.core.episode import Outcome
from visionthink.core.format import FormatRule, format_ok
from visionthink.core.geometry import Size
from visionthink.core.reward import Graded, asked_token_ratio
from visionthink.episodes.prompting import Prompting
from visionthink.episodes.runner import GradedEpisode


def graded_of(episode: GradedEpisode, size: Size, prompting: Prompting, format_rule: FormatRule) -> Graded:
    """The grade of an episode about a picture of `size`."""
    finish, grade = episode.finish, episode.grade
    offers_tools = prompting.protocol.offers_tools
    return Graded(
        correct=grade.correct,
        format_ok=finish.outcome is Outcome.ANSWERED
        and format_ok(finish.trace, format_rule, offers_tools=offers_tools),
        num_tool_calls=finish.trace.num_tool_calls,
        asked_token_ratio=asked_token_ratio(finish.trace, size, prompting.rule),
        judge_failed=grade.failed,
    )
