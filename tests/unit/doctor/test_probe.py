import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from visionthink.doctor.probe import probe_pipelines, probe_tracker


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(200 if self.path == "/apis/v2beta1/healthz" else 404, "{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if not self.headers["Host"].startswith("127.0.0.1"):
            self._answer(403, "Invalid Host header - possible DNS rebinding attack detected")
        else:
            self._answer(200 if "Authorization" in self.headers else 401, "{}")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


USER = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "hush"}


def test_servers_that_are_well_have_no_problem(port: int) -> None:
    assert probe_pipelines(f"http://127.0.0.1:{port}/").problem == ""
    assert probe_tracker(f"http://127.0.0.1:{port}", USER).problem == ""


def test_tracker_that_wants_a_password_is_told_by_its_status(port: int) -> None:
    assert probe_tracker(f"http://127.0.0.1:{port}", {}).status == 401


def test_tracker_that_does_not_know_its_own_name_is_told_in_its_words(port: int) -> None:
    found = probe_tracker(f"http://localhost:{port}", USER)
    assert found.status == 403 and "Invalid Host header" in found.problem


def test_name_that_nobody_knows_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    found = probe_pipelines("http://ml-pipeline.invalid:8888")
    assert found.is_out_of_reach and "ml-pipeline.invalid" in found.problem


def test_server_that_is_not_there_is_a_problem_and_its_password_is_not_shown() -> None:
    found = probe_tracker("http://me:hush-hush@127.0.0.1:9", {})
    assert "nothing answers" in found.problem and not found.is_out_of_reach
    assert "hush-hush" not in str(found)
