"""What a step of a pipeline does for a training: its job is made and watched to the end.

Takes the settings of the installation, more settings as JSON, the run's id and the command of the first node. Prints
how the job ended, as JSON.
"""

import json
import sys
from pathlib import Path

from visionthink.cluster.training import TrainingJob
from visionthink.cluster.training.pytorch_job_client import PyTorchJobBackend
from visionthink.config import load_config


def main(settings: str, more: str, run_id: str, *program: str) -> None:
    """Make the job, or adopt it, and wait."""
    backend = PyTorchJobBackend.connect(load_config(Path(settings), json.loads(more)))
    name = backend.submit(TrainingJob(run_id=run_id, program=program))
    print(name, file=sys.stderr, flush=True)
    report = backend.wait(name, timeout_s=840, on_change=lambda one: print(one, file=sys.stderr, flush=True))
    print(json.dumps({"job": name, "state": report.state.value, "reason": report.reason}))


if __name__ == "__main__":
    main(*sys.argv[1:])
