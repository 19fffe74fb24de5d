"""Every exception this package raises on purpose.

Rule: an error says whose fault it is, because that decides what happens next (mend the input, fix the code, try again).
A message says what went wrong, with which value, and what to do. Adapters translate each foreign exception into one of
these with ``raise ... from``, so callers never have to know which library sits below.

    VisionThinkError
    ├── UserError                  the user can mend it: exit code 2
    │   ├── ConfigError            a setting is unknown, out of range, or contradicts another
    │   └── DataError              a picture, row, file or data set cannot be used
    ├── EpisodeError               the caller drove an episode illegally: our bug
    ├── ToolArgumentError          the model called a tool wrongly: told to the model, never to the user
    └── BackendError(retryable)    something outside failed: exit code 1
        ├── EngineError            the model server or local engine
        ├── JudgeError             the grader of answers
        ├── StorageError           disk or object store
        ├── TrackingError          the experiment tracker
        └── ClusterError           the Kubernetes API, or what it runs
"""

from typing import ClassVar


class VisionThinkError(Exception):
    """Root of the tree; catch it at entry points only."""

    exit_code: ClassVar[int] = 1
    """What the command line exits with when this error ends a command."""


class UserError(VisionThinkError):
    """The user can mend this; the message says how."""

    exit_code: ClassVar[int] = 2


class ConfigError(UserError):
    """A setting is unknown, out of its range, or contradicts another setting."""


class DataError(UserError):
    """A picture, row, file or data set cannot be used as it is."""


class EpisodeError(VisionThinkError):
    """An episode was sent something that its state does not allow. It is a bug of the driver."""


class ToolArgumentError(VisionThinkError):
    """A tool was called with a wrong name or wrong arguments; the message is fed back to the model."""


class BackendError(VisionThinkError):
    """A server, disk or tracker failed."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        """Keep whether the same request may succeed when it is sent again."""
        super().__init__(message)
        self.retryable = retryable

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling: worker processes hand their errors to their parent."""
        return _rebuild_backend_error, (type(self), str(self), self.retryable)


class EngineError(BackendError):
    """The model server or the local engine failed."""


class JudgeError(BackendError):
    """The grader of answers failed."""


class StorageError(BackendError):
    """A disk or an object store failed."""


class TrackingError(BackendError):
    """The experiment tracker failed."""


class ClusterError(BackendError):
    """The Kubernetes API failed, or refuses what it was asked, or what it runs does not come up."""


def _rebuild_backend_error(kind: type[BackendError], message: str, retryable: bool) -> BackendError:
    return kind(message, retryable=retryable)
