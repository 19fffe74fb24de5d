"""The installed program, run as a user runs it: in a process of its own, in a folder of its own."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PROGRAM: Final = Path(sys.executable).parent / "visionthink"
TIMEOUT_S: Final = 420.0

SETTINGS: Final[Mapping[str, object]] = {
    "data.families": ["color", "mark"],
    "data.held_out_families": ["suffix"],
    "model.threads": 1,
    "label.num_samples": 160,
    "label.num_rollouts": 2,
    "label.min_gap": 2,
    "label.shard_size": 16,
    "train.num_steps": 12,
    "train.num_prompts": 4,
    "train.group_size": 4,
    "train.learning_rate": 1e-3,
    "train.checkpoint_every": 3,
    "evaluate.num_samples": 48,
    "evaluate.num_held_out_samples": 8,
    "evaluate.shard_size": 8,
    "evaluate.num_latency_samples": 4,
    "evaluate.num_examples": 4,
    "evaluate.num_bootstraps": 50,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a finished program left."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The program in a working folder, with the settings of these tests."""

    home: Path
    base: Path
    """The base model's folder."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """More settings, or others."""

    @property
    def latest(self) -> Path:
        return self.home / "runs" / "latest"

    def result(self, stage: str) -> dict[str, object]:
        """A stage's result without what is a time."""
        value: dict[str, object] = json.loads((self.latest / stage / "result.json").read_text())
        metrics = value["metrics"]
        assert isinstance(metrics, dict), metrics
        value["metrics"] = {key: number for key, number in metrics.items() if "latency" not in key}
        return value

    def command(self, *arguments: str) -> list[str]:
        settings = {**SETTINGS, "model.base": str(self.base), **self.settings}
        options = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
        return [str(PROGRAM), *arguments, *options]

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start the program with these settings."""
        return self.start_command(self.command(*arguments))

    def start_command(self, command: Sequence[str], *, file_limit_bytes: int | None = None) -> "subprocess.Popen[str]":
        """Start a command as the leader of a group of its own."""
        self.home.mkdir(parents=True, exist_ok=True)
        env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
        return subprocess.Popen(
            command,
            cwd=self.home,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=None if file_limit_bytes is None else _limited(file_limit_bytes),
        )

    def run(self, *arguments: str, file_limit_bytes: int | None = None) -> Ended:
        """Run the program with these settings to its end."""
        return self.run_command(self.command(*arguments), file_limit_bytes=file_limit_bytes)

    def run_bare(self, *arguments: str) -> Ended:
        """Run the program without any setting."""
        return self.run_command([str(PROGRAM), *arguments])

    def run_command(self, command: Sequence[str], *, file_limit_bytes: int | None = None) -> Ended:
        """Run a command to its end."""
        process = self.start_command(command, file_limit_bytes=file_limit_bytes)
        try:
            stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        finally:
            end_group(process)
        return Ended(code=process.returncode, stdout=stdout, stderr=stderr)


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]", *, what: str) -> None:
    """Return when `condition` holds; fail when the process ends before, or takes too long."""
    end_s = time.monotonic() + TIMEOUT_S
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"the program ended before {what}: {process.communicate()[1][-2000:]}")
        if time.monotonic() > end_s:
            raise AssertionError(f"{what} did not come about in {TIMEOUT_S} s")
        time.sleep(0.01)


def kill(process: "subprocess.Popen[str]") -> None:
    """SIGKILL to the whole group, then wait."""
    end_group(process)
    process.communicate(timeout=30)


def end_group(process: "subprocess.Popen[str]") -> None:
    """End what is left of a group that was started here."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def leftovers(folder: Path) -> Sequence[str]:
    """What was left half-written anywhere below `folder`."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".tmp-*"))


def _limited(size_bytes: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))
