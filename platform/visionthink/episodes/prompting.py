"""What a question becomes: the texts, tools and sizes that a model is asked with, as the settings say.

Rule: labelling, training, evaluation and serving make their episodes here, so a model is judged and served with exactly
the episodes that it was trained on.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from visionthink.config import RunConfig
from visionthink.core.episode import EpisodeSpec
from visionthink.core.geometry import Size, ViewRule
from visionthink.core.protocol import Protocol, get_protocol
from visionthink.core.tool import ResizeImage, ToolBox

ViewPolicy: TypeAlias = Literal["auto", "always_low", "always_high"]
"""auto: the model decides. always_low, always_high: one turn on the quarter or the full view, without a tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompting:
    """The texts, tools and sizes of a model."""

    protocol: Protocol
    """Used while the model decides for itself."""
    direct_protocol: Protocol
    """Used when the view is fixed: one turn without tools."""
    rule: ViewRule
    toolbox: ToolBox
    max_turns: int = 2

    def spec(self, question: str, original: Size, policy: ViewPolicy = "auto") -> EpisodeSpec:
        """The episode that answers `question` about a picture of size `original` under `policy`."""
        is_auto = policy == "auto"
        return EpisodeSpec(
            question=question,
            original=original,
            protocol=self.protocol if is_auto else self.direct_protocol,
            toolbox=self.toolbox if is_auto else ToolBox(),
            rule=self.rule,
            first_view="full" if policy == "always_high" else "quarter",
            max_turns=self.max_turns if is_auto else 1,
        )


def prompting_of(config: RunConfig) -> Prompting:
    """The prompting that the settings name.

    Raises:
        UserError: there is no such protocol.
    """
    return Prompting(
        protocol=get_protocol(config.episode.protocol),
        direct_protocol=get_protocol(config.episode.direct_protocol),
        rule=config.view.rule(),
        toolbox=ToolBox([ResizeImage()]),
        max_turns=config.episode.max_turns,
    )
