"""What is written down of a rollout: one JSON text, in the cluster.

Rule: whoever reads it can go on with the rollout, or undo it, without having seen what came before; nothing else
anywhere remembers anything. A text of another version of this program is refused, never guessed at.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from visionthink.core.json_value import Json
from visionthink.core.rollout import Phase, RolloutPlan, RolloutState
from visionthink.errors import ClusterError, ConfigError

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedVersion:
    """A version as it is served."""

    name: str
    """Of its predictor; empty where KServe names it itself."""
    uri: str
    """Its model's prefix, which never changes."""
    runtime: str
    """The ServingRuntime that runs it."""
    number: str | None = None
    """In the model registry; None where it was never registered."""

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name or f"the one at {self.uri}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    """A rollout, wherever it is."""

    version: ServedVersion
    """The new one."""
    incumbent: ServedVersion
    """The one in use before, to which everything goes back."""
    percents: tuple[int, ...]
    is_evaluated: bool
    is_return: bool = False
    """Whether it brings the version from before the last promotion back."""
    state: RolloutState = field(default_factory=RolloutState)
    since_s: float
    """Unix time of the state."""
    is_done: bool = False
    """Whether the world is as the last state wants it, and nothing is owed."""
    facts: Mapping[str, Json] = field(default_factory=dict)
    """What was found out on the way, for people: the gate's reasons, the shares' figures."""

    def __post_init__(self) -> None:
        """Refuse steps that make no plan.

        Raises:
            ConfigError: the shares do not rise, or the version would replace itself.
        """
        self.plan  # noqa: B018 (it refuses what is none)

    @property
    def plan(self) -> RolloutPlan:
        """The steps."""
        return RolloutPlan(
            version=self.version.name,
            incumbent=self.incumbent.name,
            percents=self.percents,
            is_evaluated=self.is_evaluated,
        )

    def named(self, name: str) -> ServedVersion:
        """That of the two versions which is called so; the new one for any other name."""
        return self.incumbent if name == self.incumbent.name else self.version

    def at(self, state: RolloutState, now_s: float, **facts: Json) -> "RolloutRecord":
        """The same rollout in another state."""
        return replace(self, state=state, since_s=now_s, facts={**self.facts, **facts})

    def to_dict(self) -> dict[str, Json]:
        """The record as JSON."""
        return {
            "format": _FORMAT,
            "version": asdict(self.version),
            "incumbent": asdict(self.incumbent),
            "percents": list(self.percents),
            "evaluated": self.is_evaluated,
            "returns": self.is_return,
            "phase": self.state.phase.value,
            "percent": self.state.percent,
            "reason": self.state.reason,
            "since_s": self.since_s,
            "done": self.is_done,
            "facts": dict(self.facts),
        }

    def to_text(self) -> str:
        """The record as it is written down."""
        return json.dumps(self.to_dict(), sort_keys=True)


def read_record(text: str) -> RolloutRecord:
    """The record that was written down.

    Raises:
        ClusterError: it is none that this version wrote.
    """
    try:
        tree = json.loads(text)
        if tree["format"] != _FORMAT:
            raise ValueError(f"format {tree['format']}")
        return RolloutRecord(
            version=ServedVersion(**tree["version"]),
            incumbent=ServedVersion(**tree["incumbent"]),
            percents=tuple(int(percent) for percent in tree["percents"]),
            is_evaluated=bool(tree["evaluated"]),
            is_return=bool(tree["returns"]),
            state=RolloutState(phase=Phase(tree["phase"]), percent=int(tree["percent"]), reason=str(tree["reason"])),
            since_s=float(tree["since_s"]),
            is_done=bool(tree["done"]),
            facts=dict(tree["facts"]),
        )
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise ClusterError(
            f"the record of the rollout cannot be read ({error}): {text[:200]}; use the version of visionthink that "
            "wrote it, or remove it once the route is as you want it",
            retryable=False,
        ) from error
