"""A light pod in the place of vLLM and the loop: a server of a few lines that answers out of a table.

It speaks what a rollout meets of the real loop: the chat with `adaptive`, the list of models, readiness and the metrics
that SLOs are made of. The table lies in the model's folder, so one version is right and another wrong. It runs in the
nodes' base image, and models come from a volume, without an initializer.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from visionthink.cluster import Manifest
from visionthink.config import DataConfig, RunConfig
from visionthink.core.geometry import Size, quarter_view
from visionthink.core.json_value import Json
from visionthink.core.message import view_to_dict
from visionthink.core.sample import Sample
from visionthink.picture import encode_png
from visionthink.samples import decoded

PROGRAM: Final = """
import hashlib, json, os, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TABLE = json.load(open("/mnt/models/answers.json"))
STARTED, LOCK, COUNTS = int(time.time() * 1000), threading.Lock(), {"answered": 0, "rejected": 0}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def metrics():
    n = COUNTS["answered"]
    lines = ['visionthink_serve_requests_total{outcome="%s"} %d' % pair for pair in COUNTS.items()]
    lines += ['visionthink_serve_decisions_total{decision="direct"} %d' % n]
    lines += ['visionthink_serve_latency_seconds_bucket{le="%s"} %d' % (le, n) for le in ("0.1", "1.0", "+Inf")]
    return "\\n".join(lines) + "\\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def send(self, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/metrics":
            return self.send(metrics().encode(), "text/plain; version=0.0.4")
        self.send({"object": "list", "data": [{"id": "NAME", "object": "model", "created": STARTED, "owned_by": "us"}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        parts = asked["messages"][-1]["content"]
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        told = TABLE.get(key)
        text = told["trace"][-1]["reply"] if told else "what?"
        with LOCK:
            COUNTS["answered"] += 1
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        self.send({"id": "x", "object": "chat.completion", "created": 0, "model": "NAME", "choices": [choice],
                   "usage": USAGE, "adaptive": told})

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


def answers(samples: Sequence[Sample], config: RunConfig, answer: Callable[[Sample], str]) -> dict[str, Json]:
    """The table of a version that answers each sample at once with `answer`."""
    table: dict[str, Json] = {}
    for sample in samples:
        picture = decoded(sample, DataConfig())
        url = f"data:image/png;base64,{base64.b64encode(encode_png(picture)).decode()}"
        parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": sample.question}]
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        view = quarter_view(Size(width=picture.width, height=picture.height), config.view.rule())
        turn: Json = {
            "reply": f"<answer>{answer(sample)}</answer>",
            "finish_reason": "stop",
            "latency_s": 0.01,
            "num_prompt_tokens": 1,
            "num_reply_tokens": 1,
        }
        table[key] = {"views": [view_to_dict(view)], "trace": [turn]}
    return table


def put_version(folder: Path, table: dict[str, Json]) -> None:
    """A version's folder."""
    folder.mkdir(mode=0o755)
    (folder / "answers.json").write_text(json.dumps(table))


def loop_runtime(name: str, image: str, *, namespace: str, model_name: str) -> Manifest:
    """The runtime whose pods answer as `model_name`."""
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "supportedModelFormats": [{"name": "adaptive-resolution", "version": "1", "autoSelect": True}],
            "protocolVersions": ["v2"],
            "containers": [
                {
                    "name": "kserve-container",
                    "image": image,
                    "command": ["python3.11", "-c", PROGRAM.replace("NAME", model_name)],
                    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                    "readinessProbe": {
                        "httpGet": {"path": "/v2/health/ready", "port": 8080},
                        "periodSeconds": 2,
                        "timeoutSeconds": 10,
                        "failureThreshold": 10,
                    },
                    "lifecycle": {"preStop": {"sleep": {"seconds": 6}}},
                    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
                }
            ],
        },
    }


def volume(models: Path, namespace: str) -> list[Manifest]:
    """A volume with the folder `models` of the nodes, and the claim `models` to it."""
    size: dict[str, Json] = {"storage": "1Gi"}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteMany"],
                "hostPath": {"path": str(models)},
                "claimRef": {"name": "models", "namespace": namespace},
                "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain",
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models", "namespace": namespace},
            "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "", "resources": {"requests": size}},
        },
    ]


def bare(service: dict[str, Any]) -> dict[str, Any]:
    """The InferenceService without what a pod as nobody and a GPU need: the base image's user is root."""
    predictor = service["spec"]["predictor"]
    kept = {key: value for key, value in predictor.items() if key not in ("securityContext", "tolerations")}
    return {**service, "spec": {**service["spec"], "predictor": kept}}
