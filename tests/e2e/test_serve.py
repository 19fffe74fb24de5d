"""The endpoint that users run, asked by the client that they use."""

import base64
import io
import signal
import socket

import openai
import pytest
from PIL import Image
from tests.e2e.program import PROGRAM, Program, end_group, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def picture_url() -> str:
    file = io.BytesIO()
    Image.new("RGB", (112, 112), "red").save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_serve_answers_from_the_latest_run_until_it_is_interrupted(undisturbed: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = undisturbed.start_command([str(PROGRAM), "serve", "--port", str(port)])
    try:
        wait_for(lambda: is_listening(port), process, what="the server")
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", timeout=60) as client:
            assert [model.id for model in client.models.list()] == ["visionthink"]
            reply = client.chat.completions.create(
                model="visionthink",
                messages=[
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": picture_url()}},
                            {"type": "text", "text": "what color is the shape ?"},
                        ],
                    }
                ],
            )
        assert "red" in (reply.choices[0].message.content or "")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        end_group(process)
    assert process.returncode == 0, stderr
    assert f"serving {undisturbed.latest.resolve()}/register/model as 'visionthink'" in stderr
    assert "Traceback" not in stderr
