"""The error tree: whose fault it is decides the exit code, and errors survive a process boundary."""

import pickle

import pytest

from visionthink import errors
from visionthink.errors import (
    BackendError,
    ConfigError,
    DataError,
    EngineError,
    EpisodeError,
    JudgeError,
    StorageError,
    ToolArgumentError,
    TrackingError,
    UserError,
    VisionThinkError,
)


@pytest.mark.parametrize("kind", [UserError, ConfigError, DataError])
def test_what_the_user_can_mend_exits_with_2(kind: type[VisionThinkError]) -> None:
    assert kind("say what to do").exit_code == 2


@pytest.mark.parametrize("kind", [EpisodeError, ToolArgumentError])
def test_our_own_mistakes_exit_with_1(kind: type[VisionThinkError]) -> None:
    assert kind("say what happened").exit_code == 1


@pytest.mark.parametrize("kind", [BackendError, EngineError, JudgeError, StorageError, TrackingError])
@pytest.mark.parametrize("retryable", [True, False])
def test_backend_errors_say_whether_to_retry_across_processes(kind: type[BackendError], retryable: bool) -> None:
    error = pickle.loads(pickle.dumps(kind("no answer within 5 s", retryable=retryable)))
    assert (type(error), str(error), error.retryable, error.exit_code) == (kind, "no answer within 5 s", retryable, 1)


def test_tree_in_the_docstring_names_every_error() -> None:
    kinds = [
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    assert [name for name in kinds if name not in (errors.__doc__ or "")] == []
