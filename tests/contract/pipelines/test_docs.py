"""Every command of docs/pipelines.md that talks to Kubeflow, against the stand-in of its server."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.fakes.kubeflow_server import kubeflow_server

ROOT: Final = Path(__file__).parents[3]
COMMANDS: Final = [
    shlex.split(line, comments=True)
    for block in re.findall(r"(?ms)^```console\n(.*?)^```", (ROOT / "docs" / "pipelines.md").read_text())
    for line in block.splitlines()
    if re.match(r"(visionthink pipeline|kfp) ", line)
]


@pytest.mark.slow
def test_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text('image = "example/control:1"\n')
    assert len(COMMANDS) == 6
    with kubeflow_server() as server:
        server.states = ["SUCCEEDED"]
        env = {**os.environ, "KF_PIPELINES_ENDPOINT": server.host, "HOME": str(tmp_path)}
        for command in COMMANDS:
            words = [server.host if word.startswith("http://") else word for word in command]
            if words[:3] == ["kfp", "pipeline", "create"]:  # a name that is there already is the next one's business
                server.pipelines.clear()
            done = subprocess.run(
                [str(Path(sys.executable).parent / words[0]), *words[1:]],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                timeout=170,
                check=False,
            )
            assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        presets = [run.runtime_config["parameters"]["preset"] for run in server.runs.values()]
    assert presets == ["7b-1x8"] * 2
