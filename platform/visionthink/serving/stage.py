"""The stage `serve`: proves that the trained model answers where its users will ask it.

Rule: nothing stands in for anything. A real server listens on a real port, and the official `openai` client sends one
held-out question with its picture as a data URL.
"""

import base64
import logging
from collections.abc import Sequence
from typing import Any

from visionthink.core.json_value import Json
from visionthink.core.sample import Sample
from visionthink.errors import EngineError
from visionthink.metrics import SERVE_LATENCY_S
from visionthink.picture import encode_png
from visionthink.runs import StageResult, StageTask
from visionthink.samples import decoded, samples_to_evaluate
from visionthink.serving.opening import open_app
from visionthink.serving.server import background_server


def serve_stage(task: StageTask) -> StageResult:
    """Serve the registered model, ask it one question, and keep what it said.

    Raises:
        EngineError: the server did not come up or did not answer.
    """
    model = task.folder.finished("register").artifacts["model"]
    sample = first_needed(samples_to_evaluate(task.config, say=None).samples)
    with background_server(open_app(model, task.config, task.open_engine), host=task.config.serve.host) as url:
        start_s = task.clock()
        served = _ask(url, sample, task)
        latency_s = task.clock() - start_s
    task.run.log_metrics({SERVE_LATENCY_S.key(): latency_s})
    task.say(f"served: {sample.question!r} is answered {served['answer']!r}, right is {sample.answer!r}")
    return StageResult(
        metrics={SERVE_LATENCY_S.key(): latency_s},
        facts={
            "served_answer": served["answer"],
            "served_want": sample.answer,
            "question": sample.question,
            "sample": sample.id,
            "views": served["views"],
            "visual_tokens": served["visual_tokens"],
        },
    )


def first_needed(samples: Sequence[Sample]) -> Sample:
    """The first sample that needs the full view; the first of all where no need is known."""
    return next((sample for sample in samples if sample.needs_high_res), samples[0])


def _ask(url: str, sample: Sample, task: StageTask) -> dict[str, Json]:
    """The vendor field of the answer."""
    import openai

    for name in ("httpx", "httpx2"):  # the client's library, by the openai package's version
        logging.getLogger(name).setLevel(logging.WARNING)
    serve = task.config.serve
    picture = base64.b64encode(encode_png(decoded(sample, task.config.data))).decode()
    content: Any = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
        {"type": "text", "text": sample.question},
    ]
    try:
        with openai.OpenAI(
            base_url=f"{url}/v1",
            api_key="none",
            timeout=serve.timeout_s,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(trust_env=False),  # the server is this process's own: no proxy
        ) as client:
            reply = client.chat.completions.create(
                model=serve.model_name, messages=[{"role": "user", "content": content}], temperature=0
            )
    except openai.OpenAIError as error:
        raise EngineError(f"the server at {url} did not answer: {error}", retryable=True) from error
    adaptive: dict[str, Json] = (reply.model_extra or {})["adaptive"]
    return adaptive
