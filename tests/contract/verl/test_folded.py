"""A model that was trained by LoRA answers, merged, as PEFT's own model does."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import visionthink

PROGRAM = Path(__file__).with_name("folded.py")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(620)]


@pytest.fixture(scope="module")
def answer(verl_python: Path) -> Any:
    env = os.environ | {"PYTHONPATH": str(Path(visionthink.__file__).parents[1])}
    done = subprocess.run([verl_python, PROGRAM], env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_merged_model_has_the_logits_of_the_adapted_one(answer: Any) -> None:
    assert answer["difference"] < 1e-4 < 1.0 < answer["learned"]


def test_merged_model_has_the_names_of_the_base(answer: Any) -> None:
    assert answer["same_names"] is True


def test_a_frozen_tower_has_no_adapters(answer: Any) -> None:
    assert answer["adapted_tower"] == []
