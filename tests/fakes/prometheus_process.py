"""A real Prometheus for as long as a block of code runs, where the machine has one.

The program is the one that VISIONTHINK_PROMETHEUS names, or `prometheus` of the PATH; Debian has it in the package of
that name (`apt-get install prometheus`).
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

SCRAPE_S = 1
_PODS = """
scrape_configs:
  - job_name: loops
    scrape_interval: {every}s
    kubernetes_sd_configs:
      - role: pod
        kubeconfig_file: {kubeconfig}
        namespaces: {{names: [{namespace}]}}
    relabel_configs:
      - {{source_labels: [__meta_kubernetes_namespace], target_label: namespace}}
      - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}
"""
_ONE = """
scrape_configs:
  - job_name: one
    scrape_interval: {every}s
    static_configs:
      - targets: [{target}]
        labels: {{namespace: {namespace}, pod: {pod}}}
"""


def prometheus_program() -> str | None:
    """The program; None where there is none."""
    return os.environ.get("VISIONTHINK_PROMETHEUS") or shutil.which("prometheus")


@contextmanager
def prometheus(
    folder: Path,
    *,
    namespace: str,
    kubeconfig: Path | None = None,
    target: str = "",
    pod: str = "",
) -> Iterator[str | None]:
    """Its address; None where the machine has none. It scrapes a namespace's pods, or one target as the pod `pod`."""
    program = prometheus_program()
    if program is None:
        yield None
        return
    text = _ONE.format(every=SCRAPE_S, target=target, namespace=namespace, pod=pod)
    if kubeconfig is not None:
        text = _PODS.format(every=SCRAPE_S, kubeconfig=kubeconfig, namespace=namespace)
    config = folder / "prometheus.yml"
    config.write_text(text)
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
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


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
