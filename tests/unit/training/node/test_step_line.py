import json
from pathlib import Path

import pytest

from visionthink.training.node.step_line import StepLines, step_line

OURS = {"reward/mean": 1.312, "resize/rate": 0.45, "perf/total_num_tokens": 8000, "timing_s/step": 10.0}


@pytest.mark.parametrize(
    ("num_steps", "told", "step_s", "want"),
    [
        pytest.param(
            80,
            OURS,
            12.0,
            "training: step 5/80, reward 1.31, asks 45%, 800 tokens/s, 15:00 min left",
            id="everything is told",
        ),
        pytest.param(0, {}, None, "training: step 5", id="nothing is told"),
        pytest.param(5, {"critic/score/mean": 2}, 1.0, "training: step 5/5, reward 2.00", id="veRL's own, last step"),
        pytest.param(9, {"reward/mean": float("nan"), "resize/rate": "x"}, None, "training: step 5/9", id="no numbers"),
    ],
)
def test_line_says_what_is_known(num_steps: int, told: dict[str, object], step_s: float | None, want: str) -> None:
    assert step_line(5, num_steps, told, step_s=step_s) == want


def line(step: int, **data: object) -> str:
    return json.dumps({"step": step, "data": {"timing_s/step": 10.0, **data}}) + "\n"


def test_steps_are_told_once_each_and_whole_lines_only(tmp_path: Path) -> None:
    path, said = tmp_path / "steps.jsonl", list[str]()
    path.write_text(line(1))  # of an earlier try
    lines = StepLines(path, 10, say=said.append, clock=iter([0.0, 20.0]).__next__)
    lines.follow()
    with path.open("a") as file:
        file.write(line(2) + '{"step": 2, "data": {"val/acc": 1}}\nno json\n' + line(3)[:10])
    lines.follow()
    assert said == ["training: step 2/10, 80 s left"]
    with path.open("a") as file:
        file.write(line(3)[10:])
    lines.follow()
    assert said[1:] == ["training: step 3/10, 2:20 min left"]  # by the clock, which says 20 s a step


def test_file_that_is_not_there_or_begun_anew_is_no_trouble(tmp_path: Path) -> None:
    path, said = tmp_path / "steps.jsonl", list[str]()
    lines = StepLines(path, 0, say=said.append, clock=lambda: 0.0)
    lines.follow()
    path.write_text(line(1) + line(2))
    lines.follow()
    path.write_text(line(1))
    lines.follow()
    assert said == ["training: step 1", "training: step 2", "training: step 1"]


def test_nothing_is_followed_without_a_file() -> None:
    StepLines(None, 3, say=lambda _: pytest.fail("there is nothing to say")).follow()
