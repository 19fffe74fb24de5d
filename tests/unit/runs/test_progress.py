import pytest

from visionthink.runs import Progress
from visionthink.runs.progress import duration


class Scene:
    def __init__(self, total: int = 100, done: int = 0) -> None:
        self.now_s = 0.0
        self.said: list[str] = []
        self.progress = Progress(
            "label", total, unit="samples", say=self.said.append, done=done, clock=lambda: self.now_s, interval_s=5.0
        )

    def work(self, count: int, seconds: float, note: str = "") -> None:
        self.now_s += seconds
        self.progress.advance(count, note)


def test_progress_tells_rate_and_time_left() -> None:
    scene = Scene()
    scene.work(20, 10.0, "reward 1.20")
    assert scene.said == ["label: 20/100 samples, 2.0/s, 40 s left, reward 1.20"]


def test_progress_tells_at_most_one_line_in_an_interval() -> None:
    scene = Scene()
    for _ in range(20):
        scene.work(1, 1.0)
    assert len(scene.said) == 4


def test_progress_always_tells_the_end() -> None:
    scene = Scene(total=2)
    scene.work(1, 0.1)
    scene.work(1, 0.1)
    assert scene.said == ["label: 2/2 samples, took 0 s"]


def test_progress_does_not_count_earlier_work_as_speed() -> None:
    scene = Scene(done=60)
    scene.work(10, 20.0)
    assert scene.said == ["label: 60 of 100 samples were done before", "label: 70/100 samples, 2.0 s each, 60 s left"]


@pytest.mark.parametrize(
    ("seconds", "want"), [(0.4, "0 s"), (42, "42 s"), (99.4, "99 s"), (187, "3:07 min"), (8100, "2:15 h")]
)
def test_duration_reads_like_a_clock(seconds: float, want: str) -> None:
    assert duration(seconds) == want
