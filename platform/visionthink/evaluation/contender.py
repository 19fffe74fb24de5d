"""Who answers the questions of an evaluation: as data, so that any number of them can stand beside each other.

Rule: everything that makes one contender differ from another stands in its record. Whoever compares two of them finds
them by role, never by name.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

from visionthink.config import EpisodeConfig, RunConfig, ViewConfig
from visionthink.config.contender import parse_contender
from visionthink.core.first_look import FirstLookMode
from visionthink.core.gate import ContenderRole
from visionthink.core.json_value import Json
from visionthink.core.pruning import TITLES, Pruning
from visionthink.core.trace import Trace
from visionthink.engines import LOCAL
from visionthink.engines.reply_cache import identity_of
from visionthink.episodes.prompting import ViewPolicy
from visionthink.errors import ConfigError
from visionthink.metrics import check_names
from visionthink.model.bundled import num_layers
from visionthink.model.content import digest_of

FIRST_LOOK: Final = "first_look"
"""Name of the candidate with the shortcut."""


def all_views(trace: Trace) -> int:
    """Visual tokens of every view that was shown, each counted once."""
    return trace.visual_tokens


def computed_tokens(trace: Trace) -> int:
    """Visual tokens that the language model computed, mean over its layers, rounded up.

    The last turn shows every view, so each is counted once. An episode without a reply computed nothing that anybody
    told of, and costs its views.
    """
    told = trace.turns[-1].reply.num_visual_tokens if trace.turns else None
    return trace.visual_tokens if told is None else math.ceil(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A model, and the way in which it is asked."""

    name: str
    """In metrics, results and folders."""
    label: str
    """In charts and tables."""
    role: ContenderRole
    """What it is compared as."""
    model: Path
    """Folder of the model that answers."""
    engine: str = LOCAL
    """Where its replies come from: `model.engine`."""
    episode: EpisodeConfig
    """The texts, tools and turns that this model was trained with ..."""
    view: ViewConfig
    """... and the sizes."""
    policy: ViewPolicy
    """Who chooses the view."""
    first_look: FirstLookMode = "off"
    """Whether an episode may begin with the full view, where the model's forecast makes that the cheaper beginning."""
    pruning: Pruning | None = None
    """Which visual tokens the model drops."""
    visual_tokens: Callable[[Trace], int] = all_views
    """What an episode cost. A method that drops tokens within the model tells its own count."""


_ASKS: Final = frozenset({"name", "label", "role", "episode", "view", "policy", "first_look", "visual_tokens"})
"""What tells how a contender is asked and counted, and not what its model replies."""


def reply_identity(contender: Contender) -> dict[str, Json]:
    """All that the replies of a contender depend on besides the requests; the files of its model are read.

    Raises:
        StorageError: one cannot be read.
    """
    further: dict[str, Json] = {
        field.name: repr(getattr(contender, field.name))
        for field in fields(contender)
        if field.name not in _ASKS | {"model", "engine"}
    }
    return identity_of(contender.engine, digest_of(contender.model)) | further


def usual_contenders(
    base: Path, candidate: Path, config: RunConfig, *, has_forecast: bool = False
) -> tuple[Contender, ...]:
    """The base model at either size and free to ask, and the candidate as it was trained, mostly free to ask.

    One that `has_forecast` stands there a second time, with the first-look shortcut. Those that `evaluate.contenders`
    names follow.
    """

    def contender(name: str, label: str, role: ContenderRole, policy: ViewPolicy) -> Contender:
        is_candidate = role is ContenderRole.CANDIDATE
        return Contender(
            name=name,
            label=label,
            role=role,
            model=candidate if is_candidate else base,
            engine=config.evaluate.engine if is_candidate else config.model.engine,
            episode=config.episode,
            view=config.view,
            policy=policy,
        )

    trained = contender("trained", "trained model", ContenderRole.CANDIDATE, config.train.policy)
    shortcut = replace(
        trained, name=FIRST_LOOK, label="trained, with shortcut", role=ContenderRole.OTHER, first_look="auto"
    )
    plain = (
        contender("always_low", "quarter view only", ContenderRole.QUARTER_VIEW, "always_low"),
        contender("always_high", "full view always", ContenderRole.FULL_VIEW, "always_high"),
        contender("base", "base model", ContenderRole.BASE, "auto"),
        trained,
    )
    takes_shortcut = has_forecast and config.first_look.evaluated and trained.policy == "auto"
    return (*plain, *([shortcut] if takes_shortcut else []), *_pruned(plain, config))


def _pruned(plain: Sequence[Contender], config: RunConfig) -> Iterable[Contender]:
    """Those of `plain` that the settings name, with tokens dropped."""
    by_name = {contender.name: contender for contender in plain}
    for text in config.evaluate.contenders:
        name = parse_contender(text)
        whole = by_name[name.plain]
        yield replace(
            whole,
            name=text,
            label=f"{whole.label}, {TITLES[name.pruning.method]} {name.pruning.retained_ratio:.0%}",
            role=ContenderRole.OTHER,
            pruning=config.evaluate.pruning(name.pruning, spares_first=whole.policy == "auto"),
            visual_tokens=computed_tokens,
        )


def check_depths(contenders: Iterable[Contender]) -> None:
    """Refuse, before anything is asked, to drop tokens before a layer that a model does not have.

    Raises:
        ConfigError: naming method and layer.
    """
    for contender in contenders:
        depth = None if contender.pruning is None else num_layers(contender.model)
        if contender.pruning is not None and depth is not None:
            contender.pruning.check_depth(depth)


def check_contenders(contenders: Sequence[Contender]) -> None:
    """Refuse, before anything is asked, contenders that cannot be told apart.

    Raises:
        UserError: a name is none, or two share one; or there is not one candidate.
    """
    names = [contender.name for contender in contenders]
    check_names(names, of="contender")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"contenders {twice} stand there twice; give each a name of its own")
    num_candidates = sum(contender.role is ContenderRole.CANDIDATE for contender in contenders)
    if num_candidates != 1:
        raise ConfigError(f"an evaluation judges one candidate, not {num_candidates}; give the others the role `other`")
