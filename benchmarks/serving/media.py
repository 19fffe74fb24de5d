"""How does a view reach vLLM with the least work: as a data URL, with vLLM's own `uuid`, or as a file that both see?

Rule: all forms are asked of one server, in turn, each about pictures of its own. A picture comes twice: `new`, and then
`seen`, as the quarter view is in the second turn of an episode. What counts is the processor time of vLLM's front
process, which decodes and hashes pictures, and of the client; seconds are told beside it. What a uuid or a path does
that nobody may want (another's picture, a file gone) is tried too, and told as vLLM answers it.

    python benchmarks/serving/media.py --python .venv-vllm/bin/python --out benchmarks/results/serving/media.json
"""

import argparse
import base64
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any, Final, NamedTuple

import httpx
import psutil
from PIL import Image
from vllm_server import SERVED, Process, end_on_sigterm, fetched, free_port

from visionthink.model.bundled import EMBEDDED, base_folder
from visionthink.picture import encode_stored_png
from visionthink.storage import atomic_write_json

SIDE: Final = 756  # 729 visual tokens
SHARED: Final = Path("/dev/shm")
START_S: Final = 600.0


class Sight(NamedTuple):
    """A picture, and where it is."""

    data: bytes
    path: Path
    name: str
    """Its uuid."""


Form = Callable[[Sight], dict[str, Any]]


def as_data(sight: Sight) -> dict[str, Any]:
    """What every server takes."""
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(sight.data).decode()}"}}


def as_named_data(sight: Sight) -> dict[str, Any]:
    """The same, told apart by a name instead of its pixels."""
    return {**as_data(sight), "uuid": sight.name}


def as_name(sight: Sight) -> dict[str, Any]:
    """The name alone, of a picture that vLLM holds."""
    return {"type": "image_url", "image_url": None, "uuid": sight.name}


def as_file(sight: Sight) -> dict[str, Any]:
    """A file on a volume of both."""
    sight.path.write_bytes(sight.data)
    return {"type": "image_url", "image_url": {"url": f"file://{sight.path}"}}


def as_same_file(sight: Sight) -> dict[str, Any]:
    """The file that is there already."""
    return {"type": "image_url", "image_url": {"url": f"file://{sight.path}"}}


FORMS: Final[dict[str, tuple[Form, Form]]] = {
    "data URL": (as_data, as_data),
    "data URL and uuid": (as_named_data, as_named_data),
    "uuid alone, once seen": (as_named_data, as_name),
    "file on tmpfs": (as_file, as_same_file),
}
"""How a picture is sent when it is new, and when it was seen."""


class Cost(NamedTuple):
    """Of one request."""

    front_cpu_ms: float
    client_cpu_ms: float
    seconds: float
    num_bytes: int
    tokens: int


class Server:
    """A vLLM and its front process."""

    def __init__(self, process: Process, url: str) -> None:
        self.url = f"{url}/v1/chat/completions"
        self.front = psutil.Process(process.session)
        self.client = httpx.Client(timeout=120, trust_env=False)

    def ask(self, part: dict[str, Any]) -> httpx.Response:
        content = [part, {"type": "text", "text": "what color is it ?"}]
        body = {"model": SERVED, "messages": [{"role": "user", "content": content}], "max_tokens": 1, "temperature": 0}
        return self.client.post(self.url, json=body)

    def block(self, form: Form, sights: Sequence[Sight]) -> Cost:
        """The mean cost of showing these in this form."""
        cpu, own, start_s, size, tokens = self._cpu_s(), time.process_time(), time.monotonic(), 0, 0
        for sight in sights:
            got = self.ask(form(sight))
            assert got.status_code == 200, got.text[:500]
            size += len(got.request.content)
            tokens = got.json()["usage"]["prompt_tokens"]
        num = len(sights)
        return Cost(
            front_cpu_ms=1000 * (self._cpu_s() - cpu) / num,
            client_cpu_ms=1000 * (time.process_time() - own) / num,
            seconds=(time.monotonic() - start_s) / num,
            num_bytes=size // num,
            tokens=tokens,
        )

    def _cpu_s(self) -> float:
        times = self.front.cpu_times()
        return float(times.user + times.system)


@contextmanager
def server(python: str, folder: Path) -> Iterator[Server]:
    port = free_port()
    command = [python, "-m", "vllm.entrypoints.openai.api_server", f"--model={base_folder(EMBEDDED)}", f"--port={port}"]
    command += ["--host=127.0.0.1", f"--served-model-name={SERVED}", "--dtype=float32", "--max-model-len=1024"]
    command += ["--enable-prefix-caching", "--block-size=32", "--enforce-eager", "--disable-uvicorn-access-log"]
    command += ['--limit-mm-per-prompt={"image":16}', f"--allowed-local-media-path={folder}", "--max-num-seqs=16"]
    env = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1"}
    process = Process(command, folder / "vllm.log", {**env, "HOME": str(folder)})
    try:
        process.wait_until(f"http://127.0.0.1:{port}/health", START_S)
        yield Server(process, f"http://127.0.0.1:{port}")
    finally:
        process.stop()


def sights(folder: Path, num: int) -> list[Sight]:
    """New pictures."""
    found = []
    for _ in range(num):
        name = uuid.uuid4().hex
        image = Image.effect_noise((SIDE, SIDE), 80).convert("RGB")
        found.append(Sight(encode_stored_png(image), folder / f"{name}.png", name))
    return found


def measured(found: Server, folder: Path, *, rounds: int, num: int) -> dict[str, dict[str, list[Cost]]]:
    costs: dict[str, dict[str, list[Cost]]] = {form: {"new": [], "seen": []} for form in FORMS}
    for number in range(rounds + 1):
        for form, (new, seen) in FORMS.items():
            shown = sights(folder, num)
            for kind, how in (("new", new), ("seen", seen)):
                cost = found.block(how, shown)
                if number:  # the first round warms up
                    costs[form][kind].append(cost)
                    print(f"{form:24s} {kind:5s} {cost.front_cpu_ms:6.1f} ms front, {cost.seconds:6.3f} s", flush=True)
    return costs


def tried(found: Server, folder: Path) -> dict[str, str]:
    """What vLLM makes of the uses that go wrong, and whether it lives on; the likeliest to end it comes last."""
    one, other, third = sights(folder, 3)
    found.ask(as_named_data(one))
    asks = {
        "a file outside of the folder": at("file:///etc/passwd"),
        "a file beside the folder, by ..": at(f"file://{folder}/../{folder.name}x/p.png"),
        "a file that is gone": as_same_file(other),
        "another picture under a uuid that it holds": {**as_data(other), "uuid": one.name},
        "a uuid that it does not hold": as_name(third),
    }
    told = {}
    for name, part in asks.items():
        told[name] = said(found, part).replace(str(folder), "FOLDER")
        print(f"{name}: {told[name]}", flush=True)
    return told


def at(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def said(found: Server, part: dict[str, Any]) -> str:
    """Status and message, and what an ordinary request meets behind it."""
    try:
        got = found.ask(part)
        body = got.json()
        answer = "answered" if got.status_code == 200 else str(body.get("error", body).get("message", body))[:200]
        answer = f"{got.status_code}: {answer}"
    except httpx.HTTPError as error:
        answer = f"no answer ({type(error).__name__})"
    try:
        is_well = found.ask({"type": "text", "text": "hello"}).status_code == 200
    except httpx.HTTPError:
        is_well = False
    return answer if is_well else f"{answer}; vLLM answers nothing from then on"


def summary(costs: dict[str, dict[str, list[Cost]]]) -> dict[str, Any]:
    return {
        form: {
            kind: {
                "front_cpu_ms": round(median(cost.front_cpu_ms for cost in found), 1),
                "client_cpu_ms": round(median(cost.client_cpu_ms for cost in found), 1),
                "seconds": round(median(cost.seconds for cost in found), 3),
                "bytes": found[0].num_bytes,
                "prompt_tokens": round(mean(cost.tokens for cost in found)),
            }
            for kind, found in kinds.items()
        }
        for form, kinds in costs.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="interpreter of an environment with vLLM")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=8, help="in a block")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    end_on_sigterm()
    with tempfile.TemporaryDirectory(dir=SHARED) as name, server(options.python, folder := Path(name)) as found:
        version = json.loads(fetched(found.url.replace("/v1/chat/completions", "/version")) or "{}").get("version")
        costs = measured(found, folder, rounds=options.rounds, num=options.pictures)
        result = {
            "vllm": version,
            "picture": f"{SIDE} x {SIDE}, {found.block(as_data, sights(folder, 1)).tokens} prompt tokens",
            "rounds": options.rounds,
            "pictures": options.pictures,
            "forms": summary(costs),
            "tried": tried(found, folder),
        }
    print(json.dumps(result, indent=2))
    if options.out is not None:
        atomic_write_json(options.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
