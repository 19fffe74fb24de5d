"""The model `visionthink` of lmms-eval: `lmms-eval --model visionthink --model_args engine=openai:http://...`.

Rule: glue. It turns lmms-eval's requests into questions and replies into its results; imported by lmms-eval alone. What
an episode cost travels in the token counts, which lmms-eval logs beside each answer (`--log_samples`).
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.usage_metrics import log_usage
from tqdm import tqdm  # type: ignore[import-untyped]

from visionthink.engines import LOCAL, Engine, open_engine
from visionthink.engines.reply_cache import CachedEngine, identity_of
from visionthink.errors import ConfigError
from visionthink.lmms.answering import Question, Reply, answer
from visionthink.lmms.argument import Arguments, read_arguments
from visionthink.model.content import digest_of

_ONLY_GENERATES = (
    "the model `visionthink` writes answers and tells no {what}; take the variant of the task whose output_type is "
    "generate_until, or leave the task out"
)


@dataclass
class EpisodeCounts(TokenCounts):  # type: ignore[misc]
    """What an episode cost, as lmms-eval writes it into its samples."""

    visual_tokens: int = 0
    num_views_asked: int = 0
    num_turns: int = 0
    outcome: str = ""
    latency_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """lmms-eval's own counts, and ours."""
        ours = ("visual_tokens", "num_views_asked", "num_turns", "outcome", "latency_s")
        return {**super().to_dict(), **{name: getattr(self, name) for name in ours}}


class VisionThink(lmms):  # type: ignore[misc]
    """Answers by our episodes over any engine."""

    is_simple = True

    def __init__(
        self, batch_size: object = None, max_batch_size: object = None, device: str | None = None, **arguments: object
    ) -> None:
        """Take the arguments that `read_arguments` knows; lmms-eval's own batch sizes mean nothing here.

        Raises:
            UserError: an argument is unknown, or a value is refused.
        """
        super().__init__()
        self._arguments = read_arguments(arguments)
        self._device = device

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """The answers, each with what it cost.

        Raises:
            VisionThinkError: a question cannot be asked, or its answer could not be had.
        """
        questions = [self._question(request) for request in requests]
        engine = _open(self._arguments, self._device)
        with tqdm(total=len(questions), desc="Episodes", disable=self.rank != 0) as bar:
            replies = asyncio.run(answer(questions, self._arguments, engine, on_reply=bar.update))
        for request, reply in zip(requests, replies, strict=True):
            log_usage(engine.model, request.task_name, reply.num_prompt_tokens, reply.num_reply_tokens)
        return [_result(reply) for reply in replies]

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """None: an episode ends in words.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(_ONLY_GENERATES.format(what="likelihood of a text"))

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """None: its rounds are its own.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(_ONLY_GENERATES.format(what="answers to several rounds of a task"))

    def _question(self, request: Instance) -> Question:
        text, wishes, doc_to_visual, doc_id, task, split = request.args
        name = f"{task} document {doc_id}"
        return Question(
            name=name,
            text=text,
            pictures=lambda: _shown(doc_to_visual, self.task_dict[task][split][doc_id]),
            temperature=_temperature(wishes, name),
            top_p=float(wishes.get("top_p") or 1.0),
        )


def _shown(doc_to_visual: Callable[[Any], Any] | None, document: Any) -> Sequence[object]:
    shown = doc_to_visual(document) if doc_to_visual is not None else None
    return [one for one in shown or () if one is not None]


def _temperature(wishes: Mapping[str, Any], name: str) -> float:
    """0 unless the task wants answers drawn; how many tokens they may have is the protocol's business."""
    if int(wishes.get("num_beams") or 1) > 1:
        raise ConfigError(f"{name} wants {wishes['num_beams']} beams; pass --gen_kwargs num_beams=1")
    return float(wishes.get("temperature") or 0.0) if wishes.get("do_sample", True) else 0.0


def _open(arguments: Arguments, device: str | None) -> Engine:
    """The engine, behind the cache of replies where one is named."""
    config = arguments.config
    if arguments.engine == LOCAL and arguments.model is None:
        raise ConfigError("engine=transformers runs a model here; name its folder with model=FOLDER")
    uri = f"{LOCAL}:{arguments.model}" if arguments.engine == LOCAL else arguments.engine
    engine = open_engine(
        uri,
        batch_size=config.model.batch_size,
        device=device,
        api_key=os.environ.get("OPENAI_API_KEY"),
        timeout_s=config.model.timeout_s,
        max_connections=config.model.max_connections,
    )
    folder, model = config.evaluate.reply_cache, arguments.model
    if folder is None:
        return engine
    identity = identity_of(arguments.engine, None if model is None else digest_of(model))
    return CachedEngine(engine, Path(folder), identity=identity)


def _result(reply: Reply) -> GenerationResult:
    counts = EpisodeCounts(
        input_tokens=reply.num_prompt_tokens,
        output_tokens=reply.num_reply_tokens,
        visual_tokens=reply.visual_tokens,
        num_views_asked=reply.num_views_asked,
        num_turns=reply.num_turns,
        outcome=reply.outcome,
        latency_s=reply.latency_s,
    )
    return GenerationResult(text=reply.text, token_counts=counts)
