"""A stand-in for Kubeflow Pipelines' API server, of the client's own models: what it sends has their form.

No back end of Kubeflow runs on a test machine. This one keeps pipelines, versions, experiments and runs in memory,
takes uploads as the real one does (a multipart form), and lets a test say how a run goes on.
"""

import datetime
import email
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as api

_NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass
class KubeflowServer:
    """What the server knows."""

    host: str = ""
    pipelines: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    experiments: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """What was uploaded, by version."""
    states: list[str] = field(default_factory=lambda: ["PENDING", "RUNNING", "SUCCEEDED"])
    """Of a run, each time that it is looked at; the last one stays."""
    refusal: int = 0
    """Status of every answer but health; 0 answers."""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        routes: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", r"/healthz", lambda: api.V2beta1GetHealthzResponse(multi_user=False)),
            ("GET", r"/pipelines", lambda: self._listed("pipelines", self.pipelines, query)),
            ("POST", r"/pipelines/upload", lambda: self._upload(query, body)),
            ("POST", r"/pipelines/upload_version", lambda: self._upload_version(query, body)),
            ("GET", r"/pipelines/([^/]+)/versions", lambda of: self._versions(of, query)),
            ("GET", r"/experiments", lambda: self._listed("experiments", self.experiments, query)),
            ("POST", r"/experiments", lambda: self._experiment(body)),
            ("POST", r"/runs", lambda: self._run(body)),
            ("GET", r"/runs/([^/]+)", self._look),
        ]
        for wanted, pattern, found in routes:
            match = re.fullmatch(f"/apis/v2beta1{pattern}", path)
            if method == wanted and match:
                return found(*match.groups())
        raise KeyError(f"{method} {path}")

    def _listed(self, name: str, kept: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        wanted = _wanted(query)
        return {name: [one for one in kept.values() if wanted in (None, one.display_name)]}

    def _versions(self, of: str, query: dict[str, str]) -> dict[str, Any]:
        kept = {key: one for key, one in self.versions.items() if one.pipeline_id == of}
        return {"pipeline_versions": self._listed("versions", kept, query)["versions"]}

    def _upload(self, query: dict[str, str], text: str) -> Any:
        name = query["name"]
        made = api.V2beta1Pipeline(pipeline_id=str(uuid.uuid4()), display_name=name, name=name, created_at=_NOW)
        self.pipelines[made.pipeline_id] = made
        self._keep_version(made.pipeline_id, name, text)
        return made

    def _upload_version(self, query: dict[str, str], text: str) -> Any:
        assert query["pipelineid"] in self.pipelines
        return self._keep_version(query["pipelineid"], query["name"], text)

    def _keep_version(self, pipeline_id: str, name: str, text: str) -> Any:
        made = api.V2beta1PipelineVersion(
            pipeline_id=pipeline_id, pipeline_version_id=str(uuid.uuid4()), display_name=name, created_at=_NOW
        )
        self.versions[made.pipeline_version_id] = made
        self.texts[made.pipeline_version_id] = text
        return made

    def _experiment(self, body: Any) -> Any:
        made = api.V2beta1Experiment(
            experiment_id=str(uuid.uuid4()), display_name=body["display_name"], created_at=_NOW
        )
        self.experiments[made.experiment_id] = made
        return made

    def _run(self, body: Any) -> Any:
        assert body["experiment_id"] in self.experiments
        of = body.get("pipeline_version_reference")
        assert of["pipeline_version_id"] in self.versions if of else body["pipeline_spec"], "a version, or a pipeline"
        made = api.V2beta1Run(
            run_id=str(uuid.uuid4()),
            experiment_id=body["experiment_id"],
            display_name=body["display_name"],
            service_account=body.get("service_account"),
            state="PENDING",
            created_at=_NOW,
            runtime_config=body["runtime_config"],
        )
        self.runs[made.run_id] = made
        return made

    def _look(self, run_id: str) -> Any:
        run = self.runs[run_id]
        run.state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return run


def _wanted(query: dict[str, str]) -> str | None:
    """The name that a list is asked for."""
    if not query.get("filter"):
        return None
    (predicate,) = json.loads(query["filter"])["predicates"]
    return str(predicate.get("stringValue") or predicate.get("string_value"))


class _Handler(BaseHTTPRequestHandler):
    server_state: ClassVar[KubeflowServer]

    def do_GET(self) -> None:
        self._handle("GET", None)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers["Content-Type"]
        self._handle("POST", _form(kind, raw) if kind.startswith("multipart/") else json.loads(raw))

    def _handle(self, method: str, body: Any) -> None:
        place = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(place.query).items()}
        state = self.server_state
        status, told = 200, b""
        if state.refusal and not place.path.endswith("/healthz"):
            status, told = state.refusal, b'{"error": "refused on purpose"}'
        else:
            found = state.answer(method, place.path, query, body)
            told = json.dumps(api.ApiClient().sanitize_for_serialization(found)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _form(kind: str, raw: bytes) -> str:
    """The file of a multipart form."""
    message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
    parts = message.get_payload()
    assert isinstance(parts, list)
    part = parts[0]
    assert isinstance(part, email.message.Message)
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


@contextmanager
def kubeflow_server() -> Iterator[KubeflowServer]:
    """A server at an address of this machine for as long as the block runs."""
    state = KubeflowServer()
    handler = type("_Own", (_Handler,), {"server_state": state})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        state.host = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
