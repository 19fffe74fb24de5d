"""Which samples the settings mean: to label and train on, and to evaluate on.

Rule: nothing is evaluated that was labelled or trained on. The world's splits see to that; of any other data set the
rows behind those to label are taken, unless a set of its own is named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from PIL import Image

from visionthink.config import DataConfig, RunConfig
from visionthink.core.sample import Sample
from visionthink.datasets import Source, open_source
from visionthink.datasets.world import generate, pick_families
from visionthink.errors import ConfigError, DataError
from visionthink.picture import decode

WORLD = "world"


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
        pick_families(config.families)
        if config.held_out_families:
            pick_families(config.held_out_families)


def check_both_labels(config: RunConfig) -> None:
    """Refuse to train on families that are all on one side, where a step wants samples of both.

    Raises:
        ConfigError: naming the side.
    """
    if config.data.source != WORLD or not 0 < config.train.needed_ratio < 1:
        return
    sides = {family.needs_high_res for family in pick_families(config.data.families)}
    if len(sides) == 1:
        side, other = ("needs", "does not need") if sides.pop() else ("does not need", "needs")
        raise ConfigError(
            f"each of the families {list(config.data.families)} {side} the full view, so there is nothing to tell "
            f"apart; add a family that {other} it, or set train.needed_ratio to 0 or 1"
        )


def check_sources(config: DataConfig) -> None:
    """Refuse data sets that cannot be opened, or whose first row is no sample, before any work begins.

    Raises:
        UserError: naming the data set.
    """
    if config.source == WORLD:
        return
    for place in dict.fromkeys(filter(None, (config.source, config.eval_source))):
        next(iter(_opened(config, place)))


def samples_to_label(config: RunConfig) -> Iterator[Sample]:
    """The samples to label, the same ones in the same order each time.

    Raises:
        UserError: the data set cannot be used; see `open_source`.
    """
    data, count = config.data, config.label.num_samples
    if data.source == WORLD:
        return generate("train", count, seed=data.world_seed, families=data.families)
    return islice(_opened(data, data.source), count)


def samples_to_evaluate(config: RunConfig) -> TestSet:
    """The held-out samples.

    Raises:
        UserError: the data set cannot be used, or no row is left to evaluate on.
    """
    data, evaluate = config.data, config.evaluate
    if data.source == WORLD:
        seed, ratio = data.world_seed, data.eval_needed_ratio
        count = evaluate.num_held_out_samples if data.held_out_families else 0
        return TestSet(
            samples=tuple(
                generate("test", evaluate.num_samples, seed=seed, families=data.families, needed_ratio=ratio)
            ),
            held_out=tuple(generate("test", count, seed=seed, families=data.held_out_families)) if count else (),
        )
    place = data.eval_source or data.source
    start = 0 if data.eval_source else config.label.num_samples
    samples = tuple(islice(_opened(data, place), start, start + evaluate.num_samples))
    if not samples:
        raise DataError(
            f"{place} has no rows behind the first {start}, which are there to label; name a set to evaluate on "
            "(data.eval_source), or lower label.num_samples"
        )
    return TestSet(samples=samples)


def decoded(sample: Sample, config: DataConfig) -> Image.Image:
    """The sample's picture.

    Raises:
        DataError: it is corrupt or too large.
    """
    return decode(sample.picture, name=sample.id, max_pixels=config.max_picture_pixels)


def _opened(data: DataConfig, place: str) -> Source:
    return open_source(
        place,
        format=data.format,
        split=data.split,
        images=data.images,
        skip_bad=data.skip_bad,
        max_pixels=data.max_picture_pixels,
    )
