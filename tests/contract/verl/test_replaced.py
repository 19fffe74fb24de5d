"""What we put in the place of functions of veRL gives veRL's numbers, and mends what it is there to mend."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import visionthink

PROGRAM = Path(__file__).with_name("replaced.py")


@pytest.fixture(scope="module")
def answers(verl_python: Path) -> Any:
    env = os.environ | {"PYTHONPATH": str(Path(visionthink.__file__).parents[1])}
    done = subprocess.run([verl_python, PROGRAM], env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


pytestmark = [pytest.mark.slow, pytest.mark.timeout(620)]


def test_log_probabilities_are_verls(answers: Any) -> None:
    assert answers["log_probs"]["value"] < 1e-6 and answers["log_probs"]["gradient"] < 1e-5
    assert answers["log_probs"]["half"] < 0.05, "verl rounds them to 8 bits"


def test_pixels_are_those_that_verl_would_make_again(answers: Any) -> None:
    assert answers["pixels"] == {"pixel_values": True, "image_grid_thw": True}


def test_positions_survive_rows_of_one_length(answers: Any) -> None:
    assert answers["positions"] == {"mended, different": True, "mended, equal": True, "veRL's, equal": False}


def test_tower_sees_what_transformers_own_attention_sees(answers: Any) -> None:
    assert answers["vision"] < 1e-4


def test_they_are_in_use(answers: Any) -> None:
    assert answers["in_use"] == [True, True, True]
