"""What a question becomes: the texts, tools and sizes that a model is asked with, as the settings say.

Rule: labelling, training, evaluation and serving make their episodes here, so a model is judged and served with exactly
the episodes that it was trained on.

Settings name protocols and tools. What ships is looked up first; a package that is installed beside this one can bring
more, as entry points of the two groups below, each an object: a `core.Protocol`, or something that is a `core.Tool`.
Every process finds them then, also one that was started with nothing but the settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Final, Literal, TypeAlias

from visionthink.config import EpisodeConfig, RunConfig
from visionthink.core.closer_look import TOOLS, LookAt, get_tool, named_view
from visionthink.core.episode import EpisodeSpec
from visionthink.core.first_look import CallForecast, FirstLookMode, FirstLookRule, LookDecision
from visionthink.core.geometry import Size, ViewRule
from visionthink.core.protocol import PROTOCOLS, Protocol, get_protocol
from visionthink.core.tool import ToolBox
from visionthink.errors import ConfigError

TOOL_GROUP: Final = "visionthink.tools"
PROTOCOL_GROUP: Final = "visionthink.protocols"

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
    """Offered where `protocol` offers tools."""
    max_turns: int = 2
    first_look: FirstLookRule = field(default_factory=FirstLookRule)
    """Decides about the first view where an ask leaves the shortcut open."""

    def __post_init__(self) -> None:
        """Refuse texts and tools of which no episode can be made.

        Raises:
            ConfigError: `protocol` offers tools and there are none, or `direct_protocol` offers any.
        """
        if self.protocol.offers_tools and not len(self.toolbox):
            raise ConfigError(
                f"protocol {self.protocol.name!r} offers tools, but episode.tools is empty; name some of: "
                f"{', '.join(TOOLS)}"
            )
        if self.direct_protocol.offers_tools:
            raise ConfigError(
                f"episode.direct_protocol {self.direct_protocol.name!r} offers tools, but a fixed view leaves nothing "
                "to ask for; choose one without, such as general-v1"
            )

    def spec(
        self,
        question: str,
        original: Size,
        policy: ViewPolicy = "auto",
        first_look: FirstLookMode = "off",
        *,
        further_originals: tuple[Size, ...] = (),
    ) -> EpisodeSpec:
        """The episode that answers `question` about a picture of size `original` under `policy`.

        `further_originals` are the sizes of the pictures behind the first one. A forecast is made for one picture, so
        about several it is not asked.

        Where `first_look` leads to the full view, it is the episode of `always_high`: all pixels are there, and one
        turn without tools is what makes it cheap. A fixed view is fixed, whatever `first_look` says.
        """
        if further_originals and first_look == "auto":
            first_look = "off"
        decision = self._first_look(question, original, first_look) if policy == "auto" else None
        is_full = policy == "always_high" or (decision is not None and decision.shortcut)
        is_auto = policy == "auto" and not is_full
        protocol = self.protocol if is_auto else self.direct_protocol
        return EpisodeSpec(
            question=question,
            original=original,
            protocol=protocol,
            toolbox=self.toolbox if protocol.offers_tools else ToolBox(),
            rule=self.rule,
            first_view="full" if is_full else "quarter",
            max_turns=self.max_turns if is_auto else 1,
            first_look=decision,
            further_originals=further_originals,
        )

    @property
    def regions(self) -> tuple[str, ...]:
        """The names that the tools on offer have for parts of a picture; none where no tool names any."""
        return tuple(name for tool in self.toolbox if isinstance(tool, LookAt) for name in tool.regions)

    def region_spec(self, question: str, original: Size, region: str) -> EpisodeSpec:
        """The episode that answers `question` from one named region alone: one turn, without a tool.

        Raises:
            DataError: no view of it is possible.
        """
        return EpisodeSpec(
            question=question,
            original=original,
            protocol=self.direct_protocol,
            toolbox=ToolBox(),
            rule=self.rule,
            first_view=named_view(region, original, self.rule),
            max_turns=1,
        )

    def _first_look(self, question: str, original: Size, mode: FirstLookMode) -> LookDecision | None:
        """The decision about the first view; None where a call is impossible, so that nothing can be saved."""
        return self.first_look.decide(mode, question, original, self.rule) if self.protocol.offers_tools else None


def prompting_of(config: RunConfig, forecast: CallForecast | None = None) -> Prompting:
    """The prompting that the settings name, with the forecast of the model that is asked.

    Raises:
        UserError: there is no such protocol or tool, or the two do not fit each other.
    """
    protocols = _protocols(config.episode)
    tools = TOOLS if TOOLS.keys() >= set(config.episode.tools) else {**dict(_installed(TOOL_GROUP)), **TOOLS}
    return Prompting(
        protocol=get_protocol(config.episode.protocol, protocols),
        direct_protocol=get_protocol(config.episode.direct_protocol, protocols),
        rule=config.view.rule(),
        toolbox=ToolBox(get_tool(name, tools) for name in config.episode.tools),
        max_turns=config.episode.max_turns,
        first_look=config.first_look.rule(forecast),
    )


def _protocols(episode: EpisodeConfig) -> tuple[Protocol, ...]:
    """The shipped protocols, and those of other packages only if one is named: importing them takes time."""
    if {protocol.name for protocol in PROTOCOLS} >= {episode.protocol, episode.direct_protocol}:
        return PROTOCOLS
    return (*PROTOCOLS, *(protocol for _, protocol in _installed(PROTOCOL_GROUP)))


def _installed(group: str) -> Iterator[tuple[str, Any]]:
    for entry in entry_points(group=group):
        try:
            yield entry.name, entry.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"{entry.name!r} of the entry points {group} cannot be loaded from {entry.value} ({error}); mend or "
                "remove the package that brings it"
            ) from error
