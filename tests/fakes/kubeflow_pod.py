"""What Kubeflow's launcher does around a step, with the commands of a compiled pipeline and a store between pods.

A step's process gets artifacts below a folder of its own; what it leaves there travels through the store, and the next
pod fetches it into another folder. Nothing else is shared.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from visionthink.pipelines.cluster.options import ClusterOptions
from visionthink.pipelines.compile import compiled_text
from visionthink.storage import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a step left."""

    code: int
    log: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Pods:
    """Runs steps of one pipeline run."""

    home: Path
    store: str
    """Where artifacts lie between two pods: s3://BUCKET/PREFIX, or a folder."""
    run_id: str
    env: Mapping[str, str] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    pipeline: str = "visionthink"
    num_pods: int = 0
    running: "subprocess.Popen[str] | None" = None

    def __post_init__(self) -> None:
        self.read()

    def read(self) -> None:
        """Take the commands of the pipeline."""
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.spec = next(yaml.load_all(compiled_text(self.pipeline, ClusterOptions()), Loader=loader))

    def run(self, name: str, parameters: Mapping[str, Any], *, runs: Path | None = None, **env: str) -> Done:
        """Run the step `name` in a pod of its own, with `runs` mounted at /runs or else an empty folder."""
        self.num_pods += 1
        pod = self.home / f"pod-{self.num_pods}"
        component = self.spec["components"][f"comp-{name}"]
        container = self.spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
        made = component.get("outputDefinitions", {})
        inputs = component.get("inputDefinitions", {}).get("artifacts", {})
        executor_input = {
            "inputs": {
                "parameterValues": dict(parameters),
                "artifacts": {key: self._artifact(pod, key, found) for key, found in inputs.items()},
            },
            "outputs": {
                "parameters": {key: {"outputFile": str(pod / "out" / key)} for key in made.get("parameters", {})},
                "artifacts": {
                    key: self._artifact(pod, key, found, is_new=True)
                    for key, found in made.get("artifacts", {}).items()
                },
                "outputFile": str(pod / "out" / "executor_output.json"),
            },
        }
        for key in inputs:
            self._fetch(pod, key)
        (pod / "tmp").mkdir(parents=True, exist_ok=True)
        arguments = [word.replace("{{$}}", json.dumps(executor_input)) for word in container["args"]]
        with (pod / "log.txt").open("w") as log:
            process = subprocess.Popen(
                [*container["command"], *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=pod,
                start_new_session=True,
                env={
                    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                    "HOME": str(pod / "tmp"),
                    "KFP_RUN_ID": self.run_id,
                    "VISIONTHINK_RUNS_DIR": str(runs or pod / "runs"),
                    "VISIONTHINK_SETTINGS_DIR": str(self.home / "settings"),
                    **self.env,
                    **env,
                },
            )
        self.running = process
        code = process.wait(900)
        self.running = None
        return self._collected(pod, code, self.log(), list(made.get("artifacts", {})))

    def log(self) -> str:
        """What the last pod has said so far."""
        path = self.home / f"pod-{self.num_pods}" / "log.txt"
        return path.read_text() if path.exists() else ""

    def pids(self) -> list[int]:
        """The Python processes of the step that runs: its shell's children."""
        assert self.running is not None
        told = subprocess.run(
            ["pgrep", "-g", str(self.running.pid), "-f", "executor_main"], capture_output=True, text=True, check=True
        )
        return [pid for pid in map(int, told.stdout.split()) if pid != self.running.pid]

    def _artifact(self, pod: Path, key: str, found: Mapping[str, Any], *, is_new: bool = False) -> dict[str, Any]:
        place = pod / ("out" if is_new else "in") / key
        return {"artifacts": [{"name": key, "type": found["artifactType"], "uri": str(place), "metadata": {}}]}

    def _fetch(self, pod: Path, key: str) -> None:
        store = open_store(f"{self.store}/{key}")
        for name in store.list():
            path = pod / "in" / key / name
            path.parent.mkdir(parents=True, exist_ok=True)
            store.download(name, path)

    def _collected(self, pod: Path, code: int, log: str, made: list[str]) -> Done:
        output = pod / "out" / "executor_output.json"
        if code or not output.exists():
            return Done(code=code, log=log)
        told = json.loads(output.read_text())
        for key in made:
            place = pod / "out" / key
            store = open_store(f"{self.store}/{key}")
            for path in [place] if place.is_file() else sorted(place.rglob("*")):
                if path.is_file():
                    store.upload(str(path.relative_to(place)) if path != place else key, path)
        metadata = {key: one["artifacts"][0]["metadata"] for key, one in told.get("artifacts", {}).items()}
        return Done(code=0, log=log, parameters=told.get("parameterValues", {}), metadata=metadata)
