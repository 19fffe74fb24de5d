"""Whole trainings on a real cluster: two pods on two nodes make one Ray by the node entry point, and lose each other.

veRL's interpreter lies on the nodes, as VISIONTHINK_VERL_PYTHON says. A start of veRL takes minutes, so it has one
story alone; what becomes of a job whose pods go in other ways is told by a small Ray program that keeps its count. What
programs say is read in a folder: nodes that share a machine clear each other's logs.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from tests.cluster.conftest import Bucket, Kube, until
from tests.cluster.summary import Summary
from tests.cluster.training_place import WAIT_S, Place, training_place
from tests.contract.tracking.conftest import empty_database, mlflow_server

from visionthink import metrics as m
from visionthink.cluster.training import JobReport, JobState, TrainingJob
from visionthink.cluster.training.pytorch_job_client import PyTorchJobBackend
from visionthink.config import RunConfig, override_config
from visionthink.datasets.world import generate
from visionthink.model.bundled import bundled_path
from visionthink.storage import is_complete, open_store
from visionthink.storage.manifest import MANIFEST
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.rows import store_pictures, training_order, write_rows

__all__ = ["empty_database"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ROOT: Final = Path(__file__).parents[2]
TRAIN_S: Final = 900.0
"""For a training of two steps: two minutes on a quiet machine, of which its start is most."""
START_S: Final = 600.0
"""For two pods to make one Ray: half a minute on a quiet machine."""
NUM_STEPS: Final = 2
COUNTING: Final = ROOT / "tests" / "contract" / "node" / "counting.py"
CARRY_OUT: Final = Path(__file__).with_name("carry_out.py")
CONFIG: Final = override_config(
    RunConfig(),
    {
        "train.num_steps": NUM_STEPS,
        "train.num_prompts": 2,
        "train.group_size": 2,
        "train.checkpoint_every": 1,
        "train.warmup_steps": 0,
        "train.micro_batch_size": 2,
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """Where pods find veRL's interpreter and this package."""

    place: Place
    python: tuple[str, ...]
    """What starts Python in a pod."""
    settings: Mapping[str, Any]

    def backend(self, **training: Any) -> PyTorchJobBackend:
        changed = {f"cluster.training.{name}": value for name, value in training.items()}
        return self.place.backend({**self.settings, **changed})


@pytest.fixture(scope="module")
def nodes(kube: Kube, bucket: Bucket, verl_python: Path) -> Iterator[Nodes]:
    home = Path(os.path.realpath(verl_python)).parents[1]
    version = next((home / "bin").glob("python3.[0-9]*[0-9]")).name
    packages = f"/opt/venv/lib/{version}/site-packages"
    python = (f"/opt/python/bin/{version}",)
    with training_place(kube) as place:
        place.secret("ray", {"token": uuid.uuid4().hex})
        place.secret(
            "s3",
            {
                "AWS_ENDPOINT_URL_S3": f"http://{bucket.endpoint}",
                "AWS_ACCESS_KEY_ID": "testkey",
                "AWS_SECRET_ACCESS_KEY": "testsecret",
                "AWS_EC2_METADATA_DISABLED": "true",
            },
        )
        settings = {
            "verl.cpus_per_node": 5,
            "cluster.training.command": [*python, "-m", "visionthink"],
            "cluster.training.folders": [
                f"{home}:/opt/python",
                f"{verl_python.parents[1]}:/opt/venv",
                f"{ROOT / 'platform'}:/opt/package",
                f"{ROOT / 'tests'}:/opt/tests",
            ],
            "cluster.training.env": [
                *(f"PYTHONPATH=/opt/package:{packages}", "LD_LIBRARY_PATH=/opt/python/lib"),
                # Else each node starts a process for every CPU at once, most of them for nothing.
                "RAY_prestart_worker_first_driver=0",
            ],
            "cluster.training.secrets": ["s3"],
            "cluster.training.ray_secret": "ray",
            # A small request is a small share of a busy machine.
            "cluster.training.cpu": "1500m",
            "cluster.training.memory": "8Gi",
            "cluster.training.shared_memory": "512Mi",
            "cluster.training.grace_s": 20,
        }
        yield Nodes(place=place, python=python, settings=settings)


@pytest.fixture(scope="module")
def tracker(kube: Kube, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on an address of this machine that pods reach."""
    host = os.environ.get("VISIONTHINK_NODE_ADDRESS", "10.88.0.1")
    with mlflow_server(empty_database, tmp_path_factory.mktemp("mlflow-server"), host=host) as uri:
        yield uri


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a training that lost a pod left."""

    plan: VerlPlan
    report: JobReport
    hosts: Mapping[str, str]
    """The nodes of its pods, before one was deleted."""
    notes: list[str]
    """What the program said, try after try."""


@pytest.fixture(scope="module")
def story(nodes: Nodes, bucket: Bucket, tracker: str, summary: Summary) -> Story:
    place = nodes.place
    plan = planned(place.folder / "verl", tracker, f"s3://{bucket.name}/verl")
    backend = nodes.backend()
    program = (*nodes.python, f"/opt/tests/{CARRY_OUT.relative_to(ROOT / 'tests')}", str(plan.output.parent))
    job = TrainingJob(run_id=plan.run_id, program=program, num_steps=NUM_STEPS)
    name = backend.submit(job)
    assert backend.submit(job) == name, "a job that is there is adopted"
    try:
        # veRL tells a step behind its checkpoint; what it has told by then is with the tracker.
        first_s = until(lambda: "step 1" in notes_of(plan), what="the first step", timeout_s=TRAIN_S)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{place.words(name)}") from error
    hosts = place.pods(name)
    place.delete_pod(f"{name}-worker-0")
    report, end_s = ended(place, backend, name, TRAIN_S)
    summary.put(training={"first_checkpoint_s": round(first_s, 1), "after_loss_s": round(end_s, 1)})
    backend.cancel(name)
    return Story(plan=plan, report=report, hosts=hosts, notes=notes_of(plan))


def notes_of(plan: VerlPlan) -> list[str]:
    notes = plan.output.parent / "notes"
    return notes.read_text().splitlines() if notes.exists() else []


def ended(place: Place, backend: PyTorchJobBackend, name: str, timeout_s: float) -> tuple[JobReport, float]:
    """The report of a job that must succeed, and the seconds until then."""
    start_s = time.monotonic()
    report = backend.wait(name, timeout_s=timeout_s, on_change=lambda _: None)
    assert report.state is JobState.SUCCEEDED, f"{report}\n{place.words(name)}"
    return report, time.monotonic() - start_s


def planned(home: Path, tracker: str, store: str) -> VerlPlan:
    """The plan of a small training, whose files all pods may read, at `home`, where all may write."""
    home.mkdir()
    shutil.copytree(bundled_path(), home / "base")
    samples = list(generate("train", 8 * NUM_STEPS, seed=11, families=CONFIG.data.families))
    places = store_pictures(samples, open_store(str(home / "pictures")))
    write_rows(home / "rows.parquet", training_order(samples, CONFIG.train, seed=0), places)
    plan = VerlPlan(
        train_rows=home / "rows.parquet",
        base_model=home / "base",
        output=home / "out",
        run_id=f"verl-{uuid.uuid4().hex[:8]}",
        num_nodes=2,
        device="cpu",
        tracking_uri=tracker,
        checkpoint_store=store,
    )
    (home / "plan.json").write_text(plan.to_json())
    (home / "config.json").write_text(CONFIG.model_dump_json())
    for path in (home, *home.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)
    return plan


def test_two_pods_on_two_nodes_train_as_one_ray(story: Story) -> None:
    assert story.report.state is JobState.SUCCEEDED
    assert len(story.hosts) == 2 and len(set(story.hosts.values())) == 2
    assert is_complete(story.plan.model)


def test_a_lost_worker_costs_no_step_that_was_saved(story: Story) -> None:
    taken = [line for line in story.notes if line.startswith("step ")]
    assert set(taken) == {"step 1", "step 2"} and taken.count("step 1") == 1, "step 2 may have been under way"
    assert any(line.startswith("train: going on behind step ") for line in story.notes)


def test_steps_and_checkpoints_are_with_the_servers(story: Story, bucket: Bucket) -> None:
    assert story.plan.tracking_uri is not None
    client = MlflowClient(story.plan.tracking_uri)
    run = stage_run(client, story.plan.run_id)
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, m.REWARD_MEAN.key())
    assert [point.step for point in history] == [1, 2]
    listed = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=f"verl/{story.plan.run_id}/checkpoints/")
    whole = [item["Key"].split("/")[-2] for item in listed["Contents"] if item["Key"].endswith(f"/{MANIFEST}")]
    assert sorted(whole) == ["global_step_1", "global_step_2"]


def stage_run(client: MlflowClient, run_id: str) -> Run:
    experiment = client.get_experiment_by_name(CONFIG.tracking.experiment)
    assert experiment is not None
    query = f"tags.`visionthink.run_id` = '{run_id}' and tags.`visionthink.stage` = 'train'"
    (run,) = client.search_runs([experiment.experiment_id], query)
    return run


class Count:
    """A job of the counting program, held at its second step."""

    def __init__(self, nodes: Nodes, **training: Any) -> None:
        self.place, self.backend = nodes.place, nodes.backend(**training)
        run_id = f"count-{uuid.uuid4().hex[:8]}"
        self.folder = nodes.place.folder / run_id
        self.folder.mkdir()
        self.folder.chmod(0o777)
        script = f"/opt/tests/{COUNTING.relative_to(ROOT / 'tests')}"
        program = (*nodes.python, script, f"--folder={self.folder}", "--hold=2")
        self.name = self.backend.submit(TrainingJob(run_id=run_id, program=program))

    @property
    def count(self) -> int:
        told = self.folder / "count.json"
        return int(json.loads(told.read_text())["count"]) if told.exists() else 0

    def tries(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("try-from-*"))

    def until_held(self) -> None:
        try:
            until(lambda: self.count == 2, what="the second step", timeout_s=START_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.place.words(self.name)}") from error

    def until_succeeded(self) -> None:
        (self.folder / "go").touch()
        ended(self.place, self.backend, self.name, START_S)
        self.backend.cancel(self.name)


@pytest.mark.parametrize("role", ["master-0", "worker-0"])
def test_a_lost_pod_is_made_anew_and_the_program_goes_on_from_what_it_kept(nodes: Nodes, role: str) -> None:
    job = Count(nodes)
    job.until_held()
    job.place.delete_pod(f"{job.name}-{role}")
    job.until_succeeded()
    assert job.tries() == ["try-from-0", "try-from-2"] and job.count == 4


def test_a_job_that_is_suspended_saves_and_goes_on_when_it_is_let_in_again(nodes: Nodes) -> None:
    job = Count(nodes, queue="gpus")
    assert job.backend.describe(job.name).state is JobState.SUSPENDED
    job.place.suspend(job.name, False)
    job.until_held()
    job.place.suspend(job.name, True)
    until(lambda: job.place.pods(job.name) == {}, what="no pods", timeout_s=WAIT_S)
    assert job.backend.describe(job.name).state is JobState.SUSPENDED
    assert (job.folder / "saved").read_text() == "2"
    job.place.suspend(job.name, False)
    job.until_succeeded()
    assert job.tries() == ["try-from-0", "try-from-2"] and job.count == 4
