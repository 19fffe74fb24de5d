"""Groups that teach nothing give way to further prompts, through veRL's own sampling loop and a real TransferQueue."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import visionthink

PROGRAM = Path(__file__).with_name("refilled.py")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(620)]


@pytest.fixture(scope="module")
def answers(verl_python: Path) -> Any:
    env = os.environ | {"PYTHONPATH": str(Path(visionthink.__file__).parents[1])}
    done = subprocess.run([verl_python, PROGRAM], env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_without_the_filter_a_step_takes_what_it_asked_for(answers: Any) -> None:
    want = {"num_kept": 1, "num_zero_variance": 1, "num_judge_failed": 1, "num_replaced": 0}
    assert answers["off"] == {"kinds": ["failed", "flat", "kept"], **want}


def test_with_it_a_step_has_its_number_of_groups_that_teach(answers: Any) -> None:
    want = {"num_kept": 3, "num_zero_variance": 2, "num_judge_failed": 1, "num_replaced": 3}
    assert answers["on"] == {"kinds": ["kept"] * 3, **want}


def test_a_policy_that_has_learned_everything_draws_no_more_than_its_bound(answers: Any) -> None:
    """Refills are under way while the bound is reached, so it is met within what may be under way at a time."""
    got = answers["hopeless"]
    assert got["kinds"] == ["flat", "flat", "kept"] and got["num_kept"] == 1
    assert 6 <= got["num_replaced"] <= 6 + 2 * 3 and got["num_zero_variance"] == got["num_replaced"] + 2
