"""How a model is made to drop visual tokens, and how many it keeps. Pure.

Rule: the methods are those of three papers; what they compute stands in `engines.pruning`. Here stand their names,
settings and counts, so that a setting that no model can follow is refused before one is loaded.
"""

import math
import re
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from visionthink.errors import ConfigError

PruningMethod: TypeAlias = Literal["fastv", "sparsevlm", "visionzip"]
"""fastv: arXiv 2403.06764. sparsevlm: arXiv 2410.04417. visionzip: arXiv 2412.04467."""
METHODS: Final[tuple[PruningMethod, ...]] = get_args(PruningMethod)
TITLES: Final[dict[PruningMethod, str]] = {"fastv": "FastV", "sparsevlm": "SparseVLM", "visionzip": "VisionZip"}
"""What their papers call them."""
_LAYERS: Final[dict[PruningMethod, str]] = {
    "fastv": "evaluate.fastv_layer",
    "sparsevlm": "evaluate.sparsevlm_layers",
    "visionzip": "a model's number of layers",
}
"""What is set to choose the layers; VisionZip's is never one of them."""
_WRITTEN: Final = re.compile(r"(?P<method>[a-z]+)@(?P<ratio>[0-9]*\.?[0-9]+)")


class PruningName(NamedTuple):
    """A method and how much it keeps, as settings write it: `fastv@0.5`."""

    method: PruningMethod
    retained_ratio: float

    def __str__(self) -> str:
        """The one way to write it."""
        return f"{self.method}@{self.retained_ratio:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """Which visual tokens a model drops on its way."""

    method: PruningMethod
    retained_ratio: float
    """Share of the prunable visual tokens that is left after the last drop, above 0 and at most 1."""
    layers: tuple[int, ...] = (0,)
    """Before which layers of the language model tokens are dropped, counted from 0: so many layers compute them still.
    0 is before the language model, where VisionZip drops."""
    spares_first: bool = False
    """Whether the first view of a conversation keeps all its tokens, as the quarter view does in the loop."""

    def __post_init__(self) -> None:
        """Refuse what no model can follow.

        Raises:
            ConfigError: a ratio or a layer is out of its range.
        """
        check_ratio(self.retained_ratio)
        lowest = 0 if self.method == "visionzip" else 1
        if not self.layers or list(self.layers) != sorted(set(self.layers)) or self.layers[0] < lowest:
            raise ConfigError(
                f"{TITLES[self.method]} cannot drop tokens before the layers {list(self.layers)}; give layers that "
                f"rise, from {lowest} on"
            )

    def check_depth(self, num_layers: int) -> None:
        """Refuse layers that a model of `num_layers` layers does not have.

        Raises:
            ConfigError: naming the layer.
        """
        if self.layers[-1] >= num_layers:
            raise ConfigError(
                f"{TITLES[self.method]} is to drop tokens before layer {self.layers[-1]}, counted from 0, but the "
                f"model has {num_layers} layers; set {_LAYERS[self.method]} below {num_layers}"
            )


def parse_pruning(text: str) -> PruningName:
    """The method and ratio that `text` writes, such as `fastv@0.5`.

    Raises:
        ConfigError: it has another form, no method has this name, or the ratio is out of its range.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r} is not METHOD@RATIO, such as fastv@0.5")
    method = next((known for known in METHODS if known == found["method"]), None)
    if method is None:
        raise ConfigError(f"{found['method']!r} drops no tokens; the methods are {', '.join(METHODS)}")
    ratio = float(found["ratio"])
    check_ratio(ratio)
    return PruningName(method, ratio)


def check_ratio(ratio: float) -> None:
    """Refuse a share of tokens that cannot be kept.

    Raises:
        ConfigError: it is not above 0 and at most 1.
    """
    if not 0.0 < ratio <= 1.0:
        raise ConfigError(f"the retention ratio is {ratio:g}; give a number above 0 and at most 1")


def num_retained(num_tokens: int, ratio: float) -> int:
    """How many of `num_tokens` a ratio keeps: the nearest whole number, halves up, and one at least of any."""
    return min(num_tokens, max(1, math.floor(num_tokens * ratio + 0.5)))
