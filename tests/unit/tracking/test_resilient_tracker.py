import errno
from pathlib import Path

import pytest
from tests.fakes.memory_tracker import MemoryTracker

from visionthink import metrics
from visionthink.errors import StorageError, TrackingError
from visionthink.tracking import ResilientTracker, RunSpec, RunStatus, TrackerRequiredError

REWARD = metrics.REWARD_MEAN.key()
SPEC = RunSpec(run_id="run-1", stage="train")
DOWN = TrackingError("cannot reach it", retryable=True)
REFUSED = TrackingError("413 too large", retryable=False)


class Scene:
    def __init__(self, tmp_path: Path, *, required: bool = False) -> None:
        self.inner = MemoryTracker()
        self.said: list[str] = []
        self.now_s = 100.0
        self.missed_dir = tmp_path / "missed"
        self.tracker = ResilientTracker(
            self.inner, missed_dir=self.missed_dir, say=self.said.append, required=required, clock=lambda: self.now_s
        )

    @property
    def history(self) -> dict[int, float]:
        return self.inner.runs["run-1", "train"].history[REWARD]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_resilient_tracker_keeps_no_file_while_all_is_well(scene: Scene) -> None:
    run = scene.tracker.start_run(SPEC)
    run.log_metrics({REWARD: 1.0}, step=1)
    run.end(RunStatus.FINISHED)
    assert scene.history == {1: 1.0} and not scene.missed_dir.exists() and scene.said == []


def test_resilient_tracker_asks_a_dead_server_ever_less_often(scene: Scene) -> None:
    scene.inner.failure = DOWN
    run = scene.tracker.start_run(SPEC)
    tries_at_s = []
    for second in range(3600):
        scene.now_s = 100.0 + second
        before = scene.inner.num_calls
        run.log_metrics({REWARD: 0.0}, step=second)
        if scene.inner.num_calls > before:
            tries_at_s.append(second)
    assert tries_at_s == [30, 90, 210, 450, 930, 1530, 2130, 2730, 3330]
    assert len(scene.said) == 1


def test_resilient_tracker_tells_each_outage(scene: Scene) -> None:
    run = scene.tracker.start_run(SPEC)
    for outage in range(2):
        scene.inner.failure = DOWN
        run.log_metrics({REWARD: 0.0}, step=2 * outage)
        scene.inner.failure = None
        scene.now_s += 31
        run.log_metrics({REWARD: 1.0}, step=2 * outage + 1)
    assert [line.split(";")[0].split(",")[0] for line in scene.said] == [
        "tracking: cannot reach it",
        "tracking: the tracker answers",
    ] * 2
    assert scene.history == {0: 0.0, 1: 1.0, 2: 0.0, 3: 1.0}


def test_resilient_tracker_gives_up_a_record_that_is_refused_for_good(scene: Scene) -> None:
    run = scene.tracker.start_run(SPEC)
    scene.inner.failure = REFUSED
    run.log_metrics({REWARD: 0.0}, step=0)
    run.log_metrics({REWARD: 0.0}, step=1)
    scene.inner.failure = None
    run.log_metrics({REWARD: 2.0}, step=2)
    assert scene.history == {2: 2.0}
    assert scene.said == ["tracking: 413 too large; this record is lost"]
    assert not scene.missed_dir.exists()


@pytest.mark.parametrize("failure", [DOWN, REFUSED])
def test_resilient_tracker_that_is_required_raises(tmp_path: Path, failure: TrackingError) -> None:
    scene = Scene(tmp_path, required=True)
    run = scene.tracker.start_run(SPEC)
    scene.inner.failure = failure
    with pytest.raises(TrackerRequiredError, match=r"set tracking\.required to false"):
        run.log_metrics({REWARD: 0.0}, step=0)
    assert scene.said == []


def test_resilient_tracker_reports_a_disk_that_cannot_take_the_notes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    scene.inner.failure = DOWN
    run = scene.tracker.start_run(SPEC)
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StorageError, match="the disk is full"):
        run.log_metrics({REWARD: 0.0}, step=0)
