"""What a node's exit code means to the job that it belongs to.

Rule: PyTorchJob's `restartPolicy: ExitCode` takes 1 to 127 for permanent and 128 to 255 for worth another try. So a
node's codes keep to that, under every restart policy: 0 done, 2 the user must mend something, 143 stopped as asked
(128 + SIGTERM), 200 lost something that a new try may have.
"""

from typing import Final

DONE: Final = 0
USER: Final = 2
STOPPED: Final = 143
RETRY: Final = 200
_FIRST_RETRYABLE: Final = 128


def of_program(code: int) -> int:
    """The node's code for the code that its program ended with.

    Only what the user can mend is permanent: a program that dies because a machine went away has a traceback and 1.
    """
    return code if code in (DONE, USER) else RETRY


def is_permanent(code: int) -> bool:
    """Whether another try would end the same way."""
    return 0 < code < _FIRST_RETRYABLE
