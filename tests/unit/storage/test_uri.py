"""Which URI opens which store."""

import subprocess
import sys
from pathlib import Path

import pytest

from visionthink.errors import UserError
from visionthink.storage import LocalStore, open_store


@pytest.mark.parametrize(
    ("uri", "want"),
    [
        pytest.param("/data/set", "/data/set", id="a path"),
        pytest.param("runs/latest", "runs/latest", id="a path from here"),
        pytest.param(Path("/data"), "/data", id="a Path"),
        pytest.param("file:///data/set", "/data/set", id="a file URI"),
        pytest.param("file:///with%20space", "/with space", id="an escaped file URI"),
        pytest.param("file://localhost/data", "/data", id="a file URI of this machine"),
    ],
)
def test_folder_uri_opens_a_local_store(uri: str | Path, want: str) -> None:
    assert open_store(uri) == LocalStore(Path(want))


def test_local_uri_is_absolute_and_escaped() -> None:
    assert LocalStore(Path("/with space")).uri == "file:///with%20space"


@pytest.mark.parametrize(
    ("uri", "want"),
    [
        pytest.param("gs://bucket/data", "scheme 'gs'; use s3://", id="another cloud"),
        pytest.param("s3:///data", "names no bucket; write s3://bucket/prefix", id="no bucket"),
        pytest.param("s3://bucket/data?versionId=3", "leave it out", id="a query"),
        pytest.param("file://server/data", "three slashes", id="a folder of another machine"),
        pytest.param("file://", "three slashes", id="no folder"),
    ],
)
def test_wrong_uri_is_refused_with_the_way_to_write_it(uri: str, want: str) -> None:
    with pytest.raises(UserError, match=want):
        open_store(uri)


def test_missing_boto3_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    for name in ("visionthink.storage.s3", "visionthink.storage.s3_error"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(UserError, match=r"install visionthink\[s3\]"):
        open_store("s3://bucket")


def test_storage_loads_without_boto3() -> None:
    code = "import sys, visionthink.storage; print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
