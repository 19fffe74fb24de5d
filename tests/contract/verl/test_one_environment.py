"""A trainer's image has one environment, with veRL's older transformers: all that runs in a pod imports there."""

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

import visionthink

IMPORTS: Final = """
import importlib, pkgutil
from visionthink.training import verl
names = [f"{verl.__name__}.{module.name}" for module in pkgutil.iter_modules(verl.__path__)]
for name in (*names, "visionthink.engines.transformers_local", "visionthink.cli"):
    importlib.import_module(name)
print(len(names))
"""


@pytest.mark.slow
def test_all_of_the_training_imports_beside_verl(verl_python: Path) -> None:
    package = Path(visionthink.__file__).parent
    done = subprocess.run(
        [verl_python, "-W", "ignore", "-c", IMPORTS],
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) >= len(list((package / "training" / "verl").glob("*.py"))) - 1
