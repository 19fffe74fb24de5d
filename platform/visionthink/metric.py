"""What a metric is, and how it is called in MLflow and in a scrape.

Rule: a name has the same parts everywhere. A label value may be any text that a data set calls its families by: what
MLflow refuses is escaped, two values never share a key, and `check_names` refuses the few that can't be one before the
work whose numbers they would name.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from visionthink.errors import UserError

# MLflow 3 takes letters and digits of any script, `_ - . :`, blank and slash, and no "." or ".." between slashes. The
# slash parts our labels and the colon begins an escape, so neither stands for itself.
_ESCAPED = re.compile(r"[^\w.\- ]")
_ONLY_DOTS = re.compile(r"\.+")
_MAX_LABEL = 100
"""Characters of one label value in a key. MLflow takes keys of 250; the longest name and two labels need 233."""
_HASH_BYTES = 16
_PROMETHEUS_UNITS = {"s": "seconds"}


class Unit(StrEnum):
    """What one of a metric's values counts."""

    SHARE = "share of one"
    POINTS = "reward points"
    NATS = "nats per token"
    COUNT = "count"
    TOKENS = "tokens"
    SECONDS = "seconds"
    NUMBER = "no unit"


class Better(StrEnum):
    """The direction in which a metric improves."""

    HIGHER = "higher"
    LOWER = "lower"
    DEPENDS = "depends"


class Kind(StrEnum):
    """How the metric is exposed to Prometheus; trackers treat all kinds alike."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number: its name, what it means and how to read it."""

    name: str
    unit: Unit
    better: Better
    meaning: str
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.GAUGE

    def key(self, **labels: str) -> str:
        """Return the MLflow key: the name, then the label values in the order of `labels`, as `escaped` writes them.

        Raises:
            UserError: the labels given are not the labels of this metric, or one cannot name anything.
        """
        if set(labels) != set(self.labels):
            raise UserError(f"metric {self.name} takes the labels {list(self.labels)}, not {sorted(labels)}")
        for label in self.labels:
            check_names([labels[label]], of=f"label {label} of metric {self.name}")
        return "/".join((self.name, *(escaped(labels[label]) for label in self.labels)))

    @property
    def prometheus(self) -> str:
        """The name in a scrape: `visionthink_`, underscores for slashes, base units spelled out, counters `_total`."""
        stem, _, last = self.name.replace("/", "_").rpartition("_")
        name = f"visionthink_{stem}_{_PROMETHEUS_UNITS.get(last, last)}"
        return f"{name}_total" if self.kind is Kind.COUNTER else name


def escaped(value: str) -> str:
    """Return a label value as it stands in a key: every byte (UTF-8) of what MLflow refuses as `:` and two digits.

    Different values have different texts. One of more than 100 characters ends in `::` and a hash of the whole value;
    any other can be read back with `unescaped`.
    """
    text = (_ONLY_DOTS if _ONLY_DOTS.fullmatch(value) else _ESCAPED).sub(_as_bytes, value)
    if len(text) <= _MAX_LABEL:
        return text
    tail = f"::{hashlib.blake2b(value.encode(), digest_size=_HASH_BYTES).hexdigest()}"
    return f"{text[: _MAX_LABEL - len(tail)]}{tail}"


def unescaped(text: str) -> str:
    """Return the value of which `escaped` made `text`; of a value that was cut, the text itself."""
    if "::" in text:
        return text
    return re.sub(r"(?::[0-9A-F]{2})+", lambda found: bytes.fromhex(found[0].replace(":", "")).decode(), text)


def _as_bytes(found: re.Match[str]) -> str:
    return "".join(f":{byte:02X}" for byte in found[0].encode())


def check_names(names: Iterable[str], *, of: str) -> None:
    """Return when every name can stand in a key; `of` says in the error what they are names of.

    Raises:
        UserError: naming the first one that cannot.
    """
    for name in names:
        if not name.strip():
            raise UserError(f"{of}: {name!r} is no name, so no number can be told under it; give it one")
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{of}: {name!r} is no text ({error.reason}); rename it") from error
