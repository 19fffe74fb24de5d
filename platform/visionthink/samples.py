"""Which samples the settings mean: to label and train on, and to evaluate on.

Rule: nothing is evaluated that was labelled or trained on. The world's splits see to that; of any other data set the
rows behind those to label are taken, unless a set or a split of its own is named. Rows are compared by picture and
question, because people copy rows from one file to another.
"""

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

from PIL import Image

from visionthink.config import DataConfig, RunConfig
from visionthink.core.excerpt import excerpt
from visionthink.core.sample import Sample
from visionthink.datasets import Source, open_source
from visionthink.datasets.published import PUBLISHED
from visionthink.datasets.schema import OURS, Schema
from visionthink.datasets.world import Family, generate, get_layout, pick_families
from visionthink.errors import ConfigError, DataError
from visionthink.picture import decode

WORLD = "world"

Say = Callable[[str], None]
"""Tells the user a line."""
_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSet:
    """Samples to evaluate on."""

    __test__ = False  # not for pytest

    samples: tuple[Sample, ...]
    """Of the trained families: what the headline figures are of."""
    held_out: tuple[Sample, ...] = ()
    """Of families that took no part in training."""


def check_data(config: DataConfig) -> None:
    """Refuse families that the world does not have, before any work begins.

    Raises:
        ConfigError: naming them and those that exist.
    """
    if config.source == WORLD:
        _families(config, config.families)
        if config.held_out_families:
            _families(config, config.held_out_families)


def _families(config: DataConfig, names: Sequence[str]) -> tuple[Family[Any], ...]:
    return pick_families(names, get_layout(config.layout).families)


def check_both_labels(config: RunConfig) -> None:
    """Refuse to train on families that are all on one side, where a step wants samples of both.

    Raises:
        ConfigError: naming the side.
    """
    if config.data.source != WORLD or not 0 < config.train.needed_ratio < 1:
        return
    sides = {family.needs_high_res for family in _families(config.data, config.data.families)}
    if len(sides) == 1:
        side, other = ("needs", "does not need") if sides.pop() else ("does not need", "needs")
        raise ConfigError(
            f"each of the families {list(config.data.families)} {side} the full view, so there is nothing to tell "
            f"apart; add a family that {other} it, or set train.needed_ratio to 0 or 1"
        )


def check_sources(config: RunConfig) -> list[str]:
    """Refuse data sets that cannot be opened, whose first row is no sample, or that are trained and evaluated on alike.

    Where the data set knows its number of rows, it is also seen to that some are left to evaluate on.

    Returns:
        What will be read, a line for each data set.

    Raises:
        UserError: naming the data set.
    """
    data = config.data
    if data.source == WORLD:
        return list(_checked_to_evaluate(config).report().lines()) if config.evaluate.benchmark else []
    training = _opened(data, say=None)
    first = training.first()
    decoded(first, data)
    if not _evaluates_apart(config):
        if training.num_rows is not None and training.num_rows <= config.label.num_samples:
            raise _nothing_left(data.source, config.label.num_samples)
        return list(training.report().lines())
    evaluation = _checked_to_evaluate(config)
    other = evaluation.first()
    shared = set(training.report().identities) & set(evaluation.report().identities)
    if shared or (content_id(first) == content_id(other) and not data.skip_bad):
        what = excerpt(min(shared)) if shared else f"what {excerpt(other.name, 80)} holds"
        raise DataError(
            f"the samples to evaluate on (data.eval_source, data.eval_split) are those to train on: both read {what}. "
            "Name another set or split, or leave both out to evaluate on the rows behind those to label"
        )
    return [*training.report().lines(), *evaluation.report().lines()]


def samples_to_label(config: RunConfig, *, say: Say | None = _LOGGER.warning) -> Iterator[Sample]:
    """The samples to label, the same ones in the same order each time. `say` is told of bad rows that were left out.

    Raises:
        UserError: the data set cannot be used; see `open_source`.
    """
    data, count = config.data, config.label.num_samples
    if data.source == WORLD:
        layout = get_layout(data.layout)
        return generate("train", count, seed=data.world_seed, families=data.families, layout=layout)
    return _taken(_opened(data, say=say), count)


def samples_to_evaluate(config: RunConfig, *, say: Say | None = _LOGGER.warning) -> TestSet:
    """The held-out samples. `say` is told of rows that were left out.

    Raises:
        UserError: the data set cannot be used, no row is left to evaluate on, or one is trained on.
    """
    data, evaluate = config.data, config.evaluate
    if data.source == WORLD and evaluate.benchmark is None:
        drawn = partial(generate, "test", seed=data.world_seed, layout=get_layout(data.layout))
        count = evaluate.num_held_out_samples if data.held_out_families else 0
        return TestSet(
            samples=tuple(drawn(evaluate.num_samples, families=data.families, needed_ratio=data.eval_needed_ratio)),
            held_out=tuple(drawn(count, families=data.held_out_families)) if count else (),
        )
    start = config.label.num_samples
    if _evaluates_apart(config):
        # Nothing of the world can stand in a public benchmark.
        labelled = () if data.source == WORLD else samples_to_label(config, say=None)
        trained = frozenset(map(content_id, labelled))
        with contextlib.closing(iter(_opened_to_evaluate(config, say=say))) as rows:
            return TestSet(samples=_apart(rows, trained, config, say))
    with contextlib.closing(iter(_opened(data, say=say))) as rows:
        trained = frozenset(map(content_id, islice(rows, start)))
        samples = _apart(rows, trained, config, say)
    if not samples:
        raise _nothing_left(data.source, start)
    return TestSet(samples=samples)


def _nothing_left(place: str, num_to_label: int) -> DataError:
    return DataError(
        f"{excerpt(place)} has no rows behind the first {num_to_label}, which are there to label; name a set to "
        "evaluate on (data.eval_source), a split (data.eval_split), or lower label.num_samples"
    )


def content_id(sample: Sample) -> bytes:
    """What is equal for the same question about the same picture, whatever the rows are called."""
    digest = hashlib.blake2b(sample.picture, digest_size=16)
    digest.update(" ".join(sample.question.split()).encode())
    return digest.digest()


def _apart(rows: Iterator[Sample], trained: frozenset[bytes], config: RunConfig, say: Say | None) -> tuple[Sample, ...]:
    """The first samples that are not trained on; where bad rows end a run, so does one that is.

    Raises:
        DataError: naming how many are trained on.
    """
    wanted, skips = config.evaluate.num_samples, config.data.skip_bad
    samples: list[Sample] = []
    shared: list[Sample] = []
    for sample in rows:
        if content_id(sample) not in trained:
            samples.append(sample)
        else:
            shared.append(sample)
        if len(samples) + (0 if skips else len(shared)) == wanted:
            break
    if shared:
        told = (
            f"{len(shared)} of {len(shared) + len(samples)} samples to evaluate on are trained on as well (the same "
            f"picture and question), the first is {excerpt(shared[0].name, 80)}"
        )
        if not skips or not samples:
            raise DataError(f"{told}; take them out of one of the two, or leave them out with data.skip_bad=true")
        if say is not None:
            say(f"{told}; they are left out")
    return tuple(samples)


def decoded(sample: Sample, config: DataConfig) -> Image.Image:
    """The sample's picture.

    Raises:
        DataError: it is corrupt or too large.
    """
    return decode(sample.picture, name=sample.name, max_pixels=config.max_picture_pixels)


def _evaluates_apart(config: RunConfig) -> bool:
    """Whether the samples to evaluate on come from a set or a split of their own."""
    data = config.data
    return data.eval_source is not None or data.eval_split is not None or config.evaluate.benchmark is not None


def _opened(data: DataConfig, *, say: Say | None) -> Source:
    return _opened_at(data.source, data.split, data, say)


def _opened_to_evaluate(config: RunConfig, *, say: Say | None) -> Source:
    """`split` says what to train on: a set of its own has one of its own."""
    data, benchmark = config.data, config.evaluate.benchmark
    if benchmark is None:
        return _opened_at(data.eval_source or data.source, data.eval_split, data, say)
    if data.eval_source is None:
        raise ConfigError(
            f"evaluate.benchmark={benchmark} needs its rows; name the file, folder or s3:// address that holds them, "
            f"in the columns in which they are published, with data.eval_source (`visionthink benchmarks mirror "
            f"{benchmark} DEST` makes one)"
        )
    return _opened_at(data.eval_source, data.eval_split, data, say, PUBLISHED[benchmark].schema)


def _checked_to_evaluate(config: RunConfig) -> Source:
    """The set to evaluate on, of which the first row is a sample."""
    evaluation = _opened_to_evaluate(config, say=None)
    decoded(evaluation.first(), config.data)
    return evaluation


def _opened_at(place: str, split: str | None, data: DataConfig, say: Say | None, schema: Schema = OURS) -> Source:
    return open_source(
        place,
        schema=schema,
        format=data.format,
        split=split,
        images=data.images,
        skip_bad=data.skip_bad,
        # Where a bad picture ends the run, whoever decodes it says so. Where it is left out, which samples are taken
        # depends on it.
        check_pictures=False,  # whoever asks about a picture decodes it, once, and counts one that is broken
        max_pixels=data.max_picture_pixels,
        say=say if say is not None else _nothing,
    )


def _taken(source: Source, count: int) -> Iterator[Sample]:
    """The first samples; the source is told that no more are wanted, so that it tells what it left out."""
    with contextlib.closing(iter(source)) as rows:
        yield from islice(rows, count)


def _nothing(line: str) -> None:
    """Tell nobody."""
