"""Parquet files of samples: exact, streamed, and readable by others."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.datasets.conftest import png, row, sample, samples, without

from visionthink.core.geometry import ViewRule
from visionthink.core.sample import Sample
from visionthink.datasets.parquet import SCHEMA, read_samples, write_samples
from visionthink.errors import DataError


@given(want=st.lists(samples(), min_size=1, max_size=8), row_group_bytes=st.integers(1, 200))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_samples_come_back_as_they_were(tmp_path: Path, want: list[Sample], row_group_bytes: int) -> None:
    path = tmp_path / "samples.parquet"
    assert write_samples(path, iter(want), row_group_bytes=row_group_bytes) == len(want)
    assert list(read_samples(path)) == want


def test_equal_samples_give_an_equal_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_samples(tmp_path / name, [sample(0), sample(1)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_columns_are_those_of_the_published_sets(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    write_samples(path, [sample(5)])
    want = {
        "problem": "<image>\nWhat is number 5?",
        "images": {"bytes": png(5), "path": None},
        "original_answer": "answer 5",
        "solution": "answer 5",
        "doc_id": "doc-5",
        "data_source": "open_source_require_high",
        "info": {"use_tool": True, "tgt_width": None, "tgt_height": None},
        "family": "open_source_require_high",
        "needs_high_res": True,
        "other_answers": None,
        "region": None,
    }
    assert pq.read_table(path).to_pylist() == [want]


def test_rule_adds_the_size_of_the_first_view(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    rule = ViewRule(min_pixels=1)
    write_samples(path, [sample(picture=png(0, 1024, 768))], rule=rule)
    # Fact sheet 1.6: 1024x768 is looked at as 252 tokens of 28x28 first.
    assert pq.read_table(path)["info"].to_pylist() == [{"use_tool": True, "tgt_width": 504, "tgt_height": 392}]


def test_hugging_face_datasets_shows_the_pictures(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    write_samples(path, [sample(0), sample(1)])
    data = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert isinstance(data.features["images"], datasets.Image)
    assert data[1]["images"].size == (8, 6)
    assert data[1]["info"]["use_tool"] is True


def test_no_samples_make_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no samples to write to"):
        write_samples(tmp_path / "samples.parquet", [])
    assert list(tmp_path.iterdir()) == []


def test_broken_generator_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    write_samples(path, [sample(7)])

    def broken() -> Iterator[Sample]:
        yield sample(0)
        raise RuntimeError("out of pictures")

    with pytest.raises(RuntimeError, match="out of pictures"):
        write_samples(path, broken(), row_group_bytes=1)
    assert [file.name for file in tmp_path.iterdir()] == ["samples.parquet"]
    assert list(read_samples(path)) == [sample(7)]


def test_sample_that_nobody_could_read_back_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lacks an id, a question, an answer or a picture"):
        write_samples(tmp_path / "samples.parquet", [sample(picture=b"")])
    assert list(tmp_path.iterdir()) == []


def write_rows(path: Path, rows: list[dict[str, object]], **options: object) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


@pytest.mark.parametrize("column", ["problem", "images", "original_answer"])
def test_missing_column_is_said_before_the_first_row(tmp_path: Path, column: str) -> None:
    path = write_rows(tmp_path / "a.parquet", [without(column, row())])
    with pytest.raises(
        DataError, match=rf"a.parquet: column '{column}' is missing; found .*doc_id.* Rename the column"
    ):
        read_samples(path)


def test_file_without_rows_is_said_at_once(tmp_path: Path) -> None:
    pq.write_table(SCHEMA.empty_table(), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet holds no rows"):
        read_samples(tmp_path / "a.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"problem,images\n", b"PAR1" + bytes(50) + b"PAR1"])
def test_file_that_is_no_parquet_is_said_at_once(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"a.parquet cannot be read as parquet"):
        read_samples(tmp_path / "a.parquet")


def test_missing_file_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.parquet is no file"):
        read_samples(tmp_path / "gone.parquet")


def test_damage_within_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_samples(path, [sample(number) for number in range(50)], row_group_bytes=1000)
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a.parquet cannot be read as parquet"):
        list(read_samples(path))


@pytest.mark.parametrize("kind", [pa.large_binary(), pa.binary()], ids=["large_binary", "binary"])
def test_pictures_may_be_bare_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table(
        {"problem": ["q"], "images": pa.array([png()], kind), "original_answer": ["a"], "doc_id": pa.array([7])}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    (got,) = read_samples(tmp_path / "a.parquet")
    assert (got.id, got.picture) == ("7", png())


def test_full_disk_leaves_no_parquet_file(tmp_path: Path) -> None:
    code = f"""
import resource
from pathlib import Path
from visionthink.core.sample import Sample
from visionthink.datasets.parquet import write_samples
from visionthink.storage import DiskFullError
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
sample = Sample(id="1", question="q", answer="a", family="f", needs_high_res=None, source="s", picture=bytes(100_000))
try:
    write_samples(Path({str(tmp_path / "samples.parquet")!r}), [sample] * 9, row_group_bytes=1)
except DiskFullError as error:
    print("full:", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("full: the file outgrew the size limit"), done.stderr
    assert list(tmp_path.iterdir()) == []


_NUM_MIB = 192
_MAX_MIB = 120
"""Measured: 55 to write and 84 to read, at 96 as at 192 MiB of pictures."""
_STREAM = """
import os, sys
from pathlib import Path
from visionthink.core.sample import Sample
from visionthink.datasets.parquet import read_samples, write_samples

def made(count):
    for number in range(count):
        yield Sample(id=str(number), question="q", answer="a", family="f", needs_high_res=None, source="s",
                     picture=os.urandom(2**20))

def peak_mib():
    # Not getrusage: its peak starts at that of the process which started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))

small, large = Path(sys.argv[1], "small.parquet"), Path(sys.argv[1], "large.parquet")
write_samples(small, made(1))
list(read_samples(small))
start = peak_mib()
if sys.argv[2] == "write":
    write_samples(large, made(int(sys.argv[3])), row_group_bytes=8 * 2**20)
else:
    assert sum(len(sample.picture) for sample in read_samples(large)) == int(sys.argv[3]) * 2**20
print(peak_mib() - start)
"""


def peak_mib(folder: Path, work: str) -> int:
    """Memory that a fresh process needed beyond what one small file takes."""
    command = [sys.executable, "-c", _STREAM, str(folder), work, str(_NUM_MIB)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_writing_holds_one_row_group_in_memory(tmp_path: Path) -> None:
    assert peak_mib(tmp_path, "write") < _MAX_MIB
    assert pq.ParquetFile(tmp_path / "large.parquet").num_row_groups == _NUM_MIB // 8


def test_reading_holds_a_few_pictures_even_of_one_large_row_group(tmp_path: Path) -> None:
    picture = bytes(range(256)) * 4096
    many = (sample(number, picture) for number in range(_NUM_MIB))
    write_samples(tmp_path / "large.parquet", many, row_group_bytes=2**40)
    assert pq.ParquetFile(tmp_path / "large.parquet").num_row_groups == 1
    assert peak_mib(tmp_path, "read") < _MAX_MIB
