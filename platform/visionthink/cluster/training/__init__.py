"""Trainings as jobs: what is submitted, where it runs, and how it is followed.

Rule: a job's name derives from its run, so that whoever submits a run twice gets one job. A back end submits, waits,
shows logs, cancels and describes; PyTorchJob on a cluster and processes on this machine are the two that ship.
"""

from visionthink.cluster.training.backend import JobReport, JobState, TrainingBackend, TrainingJob, job_name
from visionthink.cluster.training.local_process import LocalProcessBackend
from visionthink.cluster.training.pod_fields import PodFields
from visionthink.cluster.training.pytorch_job import pytorch_job

__all__ = [
    "JobReport",
    "JobState",
    "LocalProcessBackend",
    "PodFields",
    "TrainingBackend",
    "TrainingJob",
    "job_name",
    "pytorch_job",
]
