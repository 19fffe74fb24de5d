from pathlib import Path

import pytest

from visionthink.errors import BackendError, DataError
from visionthink.runs.failure import Failure, failure_of, keep_failure, read_failure


@pytest.mark.parametrize(
    ("error", "want"),
    [
        (DataError("row 3"), Failure("DataError", "row 3", 2)),
        (BackendError("down", retryable=True), Failure("BackendError", "down", 1)),
        (ZeroDivisionError("oh"), Failure("ZeroDivisionError", "ZeroDivisionError: oh", 1)),
        (KeyboardInterrupt(), Failure("KeyboardInterrupt", "KeyboardInterrupt: ", 130)),
    ],
)
def test_failure_is_read_as_it_was_kept(tmp_path: Path, error: BaseException, want: Failure) -> None:
    path = tmp_path / "train" / "error.json"
    keep_failure(path, failure_of(error))
    assert read_failure(path) == want


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"message": "m", "exit_code": 2}', '{"error": 1}'])
def test_failure_of_another_shape_is_none(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "error.json"
    if text is not None:
        path.write_text(text)
    assert read_failure(path) is None
