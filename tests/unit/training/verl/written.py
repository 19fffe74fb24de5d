"""Samples on disk and a holder of rollouts about them."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
from tests.fakes.asked import Naps
from tests.unit.engines.tiny_model import tiny_processor

from visionthink.config import RunConfig
from visionthink.core.sample import Sample
from visionthink.datasets.world import generate
from visionthink.engines.encoding import Encoder
from visionthink.judges import Judge, RuleJudge
from visionthink.samples import decoded
from visionthink.storage import open_store
from visionthink.training.verl.picture_cache import Originals, PictureFiles
from visionthink.training.verl.rollout import RolloutHolder
from visionthink.training.verl.rows import store_pictures, write_rows
from visionthink.training.verl.server_engine import Room

CONFIG = RunConfig()


def world(count: int = 6) -> list[Sample]:
    return list(generate("train", count, seed=3, families=CONFIG.data.families))


def row_infos(samples: list[Sample], folder: Path, **how: Any) -> list[dict[str, Any]]:
    """`extra_info` of the rows of `samples`, as veRL reads them."""
    path = folder / "rows.parquet"
    write_rows(path, samples, store_pictures(samples, open_store(str(folder / "pictures"))), **how)
    return [row["extra_info"] for row in pq.read_table(path).to_pylist()]


def path_of(info: dict[str, Any]) -> Path:
    """Where the picture of a row lies."""
    return Path(urlsplit(info["picture"]).path)


def holder(
    folder: Path, *, judge: Judge | None = None, config: RunConfig = CONFIG, room: Room | None = None
) -> RolloutHolder:
    return RolloutHolder(
        config,
        Encoder(tiny_processor()),
        judge or RuleJudge(),
        Originals(PictureFiles(folder / "cache"), lambda sample: decoded(sample, config.data)),
        room=room or Room(prompt=512, total=1024),
        sleep=Naps().sleep,
    )
