"""A real Prometheus for as long as a block of code runs, where the machine has one.

The program is the one that VISIONTHINK_PROMETHEUS names, or `prometheus` of the PATH; Debian has it in the package of
that name (`apt-get install prometheus`).
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from visionthink.errors import ClusterError
from visionthink.storage.atomic import atomic_write

SCRAPE_S = 1
_CONFIG = """
scrape_configs:
  - job_name: loops
    scrape_interval: {every}s
    file_sd_configs:
      - files: [targets.json]
        refresh_interval: {every}s
"""


def prometheus_program() -> str | None:
    """The program; None where there is none."""
    return os.environ.get("VISIONTHINK_PROMETHEUS") or shutil.which("prometheus")


@contextmanager
def prometheus(folder: Path, namespace: str, pods: Callable[[], Mapping[str, str]]) -> Iterator[str | None]:
    """Its address; None where the machine has none. It scrapes `pods`, HOST:PORT by name, as they are just now.

    Debian's Prometheus knows no Kubernetes, so the targets come by a file.
    """
    program = prometheus_program()
    if program is None:
        yield None
        return
    config, ended = folder / "prometheus.yml", threading.Event()
    config.write_text(_CONFIG.format(every=SCRAPE_S))
    _put_targets(folder, namespace, pods)
    following = threading.Thread(target=_follow, args=(folder, namespace, pods, ended), daemon=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'prometheus'}"),
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(f"http://{address}/-/ready", process, folder / "prometheus.log")
        following.start()
        yield f"http://{address}"
    finally:
        ended.set()
        process.terminate()
        process.wait(30)


def _put_targets(folder: Path, namespace: str, pods: Callable[[], Mapping[str, str]]) -> None:
    found = [
        {"targets": [address], "labels": {"namespace": namespace, "pod": name}}
        for name, address in sorted(pods().items())
    ]
    atomic_write(folder / "targets.json", json.dumps(found).encode())


def _follow(folder: Path, namespace: str, pods: Callable[[], Mapping[str, str]], ended: threading.Event) -> None:
    while not ended.wait(SCRAPE_S):
        with contextlib.suppress(ClusterError):
            _put_targets(folder, namespace, pods)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end_s = time.monotonic() + 60
    with httpx.Client(trust_env=False, timeout=5) as http:
        while time.monotonic() < end_s:
            assert process.poll() is None, log.read_text()[-2000:]
            try:
                if http.get(url).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])
