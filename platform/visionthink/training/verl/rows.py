"""The prompts of a training as the parquet file that veRL reads.

Rule: a row holds text and the place of the original picture, never its pixels: veRL copies each column of a row once a
rollout. Originals lie in a store of their own, one object a picture, named by its content; whoever holds an episode
reads it there and cuts the views itself.

The rows stand in the order in which they are trained on, step after step, because veRL shuffles without a thought for
labels: every step, and every mini-batch of it, is to have its share of both.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from visionthink.config import TrainConfig
from visionthink.core.sample import Sample
from visionthink.datasets.value import box_of
from visionthink.episodes.prompting import ViewPolicy
from visionthink.errors import DataError
from visionthink.storage import Store, atomic_write
from visionthink.training.order import in_turn, picked

AGENT: Final = "visionthink"
"""The name of our agent loop among veRL's."""
_UNKNOWN: Final = -1
"""`needed` of a sample that nobody labelled."""


def training_order(samples: Sequence[Sample], config: TrainConfig, *, seed: int) -> list[Sample]:
    """The samples of all steps, one after the other: those of the local trainer, with the labels in turn.

    Raises:
        DataError: a label has no sample though a step wants some.
    """
    needed = [sample for sample in samples if sample.needs_high_res]
    rest = [sample for sample in samples if not sample.needs_high_res]
    ordered: list[Sample] = []
    for step in range(config.num_steps):
        batch = picked(step, needed, rest, num_prompts=config.num_prompts, needed_ratio=config.needed_ratio, seed=seed)
        sides = ([sample for sample in batch if bool(sample.needs_high_res) is side] for side in (True, False))
        ordered += in_turn(*sides)
    return ordered


def store_pictures(samples: Iterable[Sample], store: Store) -> dict[str, str]:
    """Keep the pictures of `samples` in `store`; where each one lies, by its sample's id.

    A picture that is there already is left alone, so an interrupted copy is gone on with.
    """
    places: dict[str, str] = {}
    for sample in samples:
        key = picture_key(sample.picture)
        if not store.exists(key):
            store.create(key, sample.picture)
        places[sample.id] = f"{store.uri.rstrip('/')}/{key}"
    return places


def picture_key(picture: bytes) -> str:
    """The name of an encoded picture: equal bytes have equal names."""
    return hashlib.blake2b(picture, digest_size=16).hexdigest()


def write_rows(
    path: Path, samples: Iterable[Sample], places: Mapping[str, str], *, policy: ViewPolicy = "auto"
) -> None:
    """Make the parquet file of `samples`, whose pictures lie at `places`, to be asked under `policy`.

    Raises:
        DataError: there is no sample, or a picture has no place.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_row(index, sample, places, policy) for index, sample in enumerate(samples)]
    if not rows:
        raise DataError(f"there is no sample to train on, so {path} is not written; label some")
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    atomic_write(path, file.getvalue())


def sample_of(info: Mapping[str, Any], picture: bytes) -> Sample:
    """The sample of a row's `extra_info`, with the picture that was read from its place."""
    needed = int(info["needed"])
    return Sample(
        id=info["sample_id"],
        question=info["question"],
        answer=info["answer"],
        other_answers=tuple(json.loads(info["other_answers"])),
        family=info["family"],
        needs_high_res=None if needed == _UNKNOWN else bool(needed),
        region=box_of(json.loads(info["region"]), "region"),
        source=info["source"],
        picture=picture,
    )


def _row(index: int, sample: Sample, places: Mapping[str, str], policy: ViewPolicy) -> dict[str, Any]:
    if sample.id not in places:
        raise DataError(f"the picture of {sample.name} lies nowhere; keep it with store_pictures first")
    needed = _UNKNOWN if sample.needs_high_res is None else int(sample.needs_high_res)
    return {
        # What veRL's own validation groups its figures by.
        "data_source": {0: "not_needed", 1: "needed"}.get(needed, "unknown"),
        "agent_name": AGENT,
        "prompt": [{"role": "user", "content": sample.question}],
        "reward_model": {"style": "rule", "ground_truth": sample.answer},
        "extra_info": {
            "index": index,
            "sample_id": sample.id,
            "question": sample.question,
            "answer": sample.answer,
            "other_answers": json.dumps(sample.other_answers),
            "family": sample.family,
            "needed": needed,
            "source": sample.source,
            "region": json.dumps(None if sample.region is None else sample.region.edges),
            "picture": places[sample.id],
            "policy": policy,
        },
    }
