"""A run on disk: its folder, who works on it, how long that took, and what its stages hand each other.

Rule: the folder is the whole state. A stage that was killed is started again with the same words and goes on from what
it finds there; nothing is remembered anywhere else. Importing this package loads neither torch nor mlflow.
"""

from visionthink.runs.choice import choose_judging_run, choose_run, latest_run, point_latest
from visionthink.runs.folder import STAGES, RunFolder, Stage
from visionthink.runs.lock import locked
from visionthink.runs.progress import Progress
from visionthink.runs.result import StageResult
from visionthink.runs.stopwatch import Stopwatch
from visionthink.runs.task import StageTask

__all__ = [
    "STAGES",
    "Progress",
    "RunFolder",
    "Stage",
    "StageResult",
    "StageTask",
    "Stopwatch",
    "choose_judging_run",
    "choose_run",
    "latest_run",
    "locked",
    "point_latest",
]
