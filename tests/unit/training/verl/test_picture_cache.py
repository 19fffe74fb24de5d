import asyncio
from pathlib import Path

import pytest
from tests.unit.training.verl.written import CONFIG, path_of, row_infos, world

from visionthink.core.sample import Sample
from visionthink.errors import DataError, StorageError
from visionthink.samples import decoded
from visionthink.storage import Store, open_store
from visionthink.training.verl.picture_cache import Originals, PictureFiles
from visionthink.training.verl.rows import store_pictures

BUCKET = "s3://bucket/pictures"


class Bucket:
    """Opens a folder in place of a bucket, and counts how often."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.num_opened = 0

    def open(self, place: str) -> Store:
        assert place == BUCKET
        self.num_opened += 1
        return open_store(str(self.folder))


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    store_pictures(world(), open_store(str(tmp_path / "bucket")))
    return Bucket(tmp_path / "bucket")


def names(bucket: Bucket) -> list[str]:
    return sorted(path.name for path in bucket.folder.iterdir())


def test_a_picture_of_a_bucket_is_fetched_once_for_all_processes_of_a_node(bucket: Bucket, tmp_path: Path) -> None:
    name = names(bucket)[0]
    want = (bucket.folder / name).read_bytes()
    assert PictureFiles(tmp_path / "cache", open_at=bucket.open).read(f"{BUCKET}/{name}") == want
    (bucket.folder / name).unlink()
    assert PictureFiles(tmp_path / "cache", open_at=bucket.open).read(f"{BUCKET}/{name}") == want
    assert bucket.num_opened == 1


def test_a_damaged_copy_is_fetched_again(bucket: Bucket, tmp_path: Path) -> None:
    name = names(bucket)[0]
    files = PictureFiles(tmp_path / "cache", open_at=bucket.open)
    want = files.read(f"{BUCKET}/{name}")
    (tmp_path / "cache" / name).write_bytes(want[:-1])
    assert files.read(f"{BUCKET}/{name}") == want


def test_another_picture_under_a_name_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    one, other = names(bucket)[:2]
    (bucket.folder / one).write_bytes((bucket.folder / other).read_bytes())
    with pytest.raises(DataError, match="another picture than its name says"):
        PictureFiles(tmp_path / "cache", open_at=bucket.open).read(f"{BUCKET}/{one}")


def originals(folder: Path, made: list[str], **how: int) -> Originals:
    def decode(sample: Sample) -> object:
        made.append(sample.id)
        return decoded(sample, CONFIG.data)

    return Originals(PictureFiles(folder / "cache"), decode, **how)  # type: ignore[arg-type]


def test_episodes_about_one_picture_share_it(tmp_path: Path) -> None:
    info, made = row_infos(world(1), tmp_path)[0], list[str]()

    async def get() -> list[object]:
        subject = originals(tmp_path, made)
        return [found.picture for found in await asyncio.gather(*(subject.get(info) for _ in range(5)))]

    pictures = asyncio.run(get())
    assert len(made) == 1 and all(picture is pictures[0] for picture in pictures)


def test_what_was_used_last_is_kept(tmp_path: Path) -> None:
    infos, made = row_infos(world(3), tmp_path), list[str]()

    async def get() -> None:
        subject = originals(tmp_path, made, max_pictures=2)
        for place in (0, 1, 0, 2, 0, 1):
            await subject.get(infos[place])

    asyncio.run(get())
    assert made == [infos[place]["sample_id"] for place in (0, 1, 2, 1)]


def test_a_picture_that_was_away_is_asked_for_again(tmp_path: Path) -> None:
    info, made = row_infos(world(1), tmp_path)[0], list[str]()
    place = path_of(info)
    data = place.read_bytes()
    place.unlink()

    async def get() -> None:
        subject = originals(tmp_path, made)
        with pytest.raises(StorageError):
            await subject.get(info)
        place.write_bytes(data)
        await subject.get(info)

    asyncio.run(get())
    assert len(made) == 1
