"""The engine that runs a model in this process, on the CPU or one accelerator.

Rule: replies depend on requests and seeds, never on batching. Rows are sorted by length and padded on the left, each
row draws from its own random stream, and no reply can hold a token that structures a conversation: a sampled image pad
would make the next turn's pixels and ids disagree.

The trainer shares its live model: weights are read at each call, training mode is put back, no gradient is kept.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load
from transformers import (
    AutoProcessor,
    GenerationConfig,
    LogitsProcessorList,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    StoppingCriteriaList,
)

from visionthink.core.episode import BackendFailed, Event, FinishReason, ModelReply, NoRoom
from visionthink.core.pruning import Pruning
from visionthink.engines.batch import Batch, collate
from visionthink.engines.collector import Collector, Job
from visionthink.engines.encoding import Encoded, Encoder
from visionthink.engines.engine import Request, SamplingField
from visionthink.engines.pruning.run import PrunedRun, check_prunable, layout_of, pruned
from visionthink.engines.sampler import RowSampler, StopWhen
from visionthink.errors import ConfigError, UserError
from visionthink.storage import check_readable

_SEED_BITS: Final = 63
_HALF_CHARACTER: Final = "\ufffd"  # what a tokenizer makes of bytes that the next token may complete
UNLOADABLE: Final = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, StrictDataclassError)
"""What transformers raises over a folder that is damaged or holds something else."""


class _Asked(NamedTuple):
    """A request, and who is told of each token as it is drawn, in the worker's thread."""

    request: Request
    on_token: Callable[[int], None] | None = None


_Job = Job[_Asked, Event]


class _Written(NamedTuple):
    """What came of one row."""

    ids: list[int]
    """New ones, padding after the row's end included."""
    num_visual_tokens: float | None
    """That a layer computed, mean over the layers; None where no token is dropped."""


class _Speech:
    """Tells the tokens of a batch to those who asked for them, each row up to its own end."""

    def __init__(self, rows: Sequence[tuple[Encoded, _Job]], end_id: int) -> None:
        self._end_id = end_id
        self._num_left = [job.item.request.sampling.max_tokens for _, job in rows]
        self._listeners = [job.item.on_token for _, job in rows]

    def tell(self, tokens: list[int]) -> None:
        """The next token of each row."""
        for row, token in enumerate(tokens):
            listener = self._listeners[row]
            if token == self._end_id or not self._num_left[row]:
                self._listeners[row] = None
            elif listener is not None:
                self._num_left[row] -= 1
                listener(token)


class TransformersEngine:
    """Replies from a Qwen2.5-VL model in memory."""

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        processor: Qwen2_5_VLProcessor,
        *,
        batch_size: int = 32,
        device: torch.device | str | None = None,
        encoder: Encoder | None = None,
        name: str = "in-memory",
        clock: Callable[[], float] = time.perf_counter,
        pruning: Pruning | None = None,
    ) -> None:
        """Answer with `model`, at most `batch_size` rows at once.

        `device` moves the model; None leaves it where it is. Pass the trainer's `encoder` to share its caches. `name`
        is what traces call the model. `pruning` says which visual tokens it drops.

        Raises:
            ConfigError: there is no such batch, or the model cannot drop tokens so.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; a batch needs at least 1 row")
        self._model = cast("Any", model)  # transformers' annotations refuse its own calls (`generate`, `to`)
        if device is not None:
            self._model.to(device)
        self.encoder = encoder or Encoder(processor)
        self._processor = processor
        self._batch_size = batch_size
        self._name = name
        self._clock = clock
        if pruning is not None:
            check_prunable(model, pruning)
        self._pruning = pruning
        self._forbidden = self._forbidden_tokens()
        self._collector: Collector[_Asked, Event] = Collector(self._work, name="engine")

    @classmethod
    def load(
        cls, path: Path | str, *, batch_size: int = 32, device: torch.device | str | None = None
    ) -> "TransformersEngine":
        """An engine over a saved model folder, in the folder's own number format.

        Raises:
            ConfigError: there is no such model in `path`.
            PermissionDeniedError: this user may not read it.
        """
        check_readable(Path(path))
        if not (Path(path) / "config.json").is_file():
            raise ConfigError(f"{path} holds no model (no config.json); give the folder of a saved Qwen2.5-VL model")
        try:
            model = Qwen2_5_VLForConditionalGeneration.from_pretrained(path, dtype="auto")
            processor = AutoProcessor.from_pretrained(path)  # type: ignore[no-untyped-call]
        except UNLOADABLE as error:
            raise ConfigError(f"the model in {path} cannot be loaded: {error}") from error
        return cls(model, processor, batch_size=batch_size, device=device, name=Path(path).name)

    def pruned(self, pruning: Pruning) -> "TransformersEngine":
        """The same model, with visual tokens dropped; it takes this engine's place, which must not be at work.

        Raises:
            ConfigError: the model cannot drop tokens so.
        """
        return TransformersEngine(
            self._model,
            self._processor,
            batch_size=self._batch_size,
            encoder=self.encoder,
            name=self._name,
            clock=self._clock,
            pruning=pruning,
        )

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._name

    @property
    def forbidden_ids(self) -> tuple[int, ...]:
        """Ids that are never drawn. A trainer that wants the exact sampling distribution masks them too."""
        return tuple(self._forbidden.nonzero().flatten().tolist())

    def take_weights(self, content: bytes) -> None:
        """Answer with other weights of the same model from now on: safetensors, by parameter. Not while at work."""
        weights = load(content)
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                parameter.copy_(weights[name])

    async def reply(self, request: Request) -> Event:
        """The reply, made in a batch with whatever else is asked for. Cancelling ends its row after the next token."""
        return await self._collector.submit(_Asked(request))

    async def stream(self, request: Request) -> AsyncGenerator[str | Event, None]:
        """The reply while it is drawn."""
        tokens: asyncio.Queue[int | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def told(token: int) -> None:
            with suppress(RuntimeError):  # the loop has ended, and with it whoever read
                loop.call_soon_threadsafe(tokens.put_nowait, token)

        reply = asyncio.ensure_future(self._collector.submit(_Asked(request, told)))
        reply.add_done_callback(lambda _: tokens.put_nowait(None))
        ids, said = list[int](), ""
        try:
            while (token := await tokens.get()) is not None:
                ids.append(token)
                text = self._text(ids)
                if len(text) > len(said) and not text.endswith(_HALF_CHARACTER):
                    yield text[len(said) :]
                    said = text
            event = reply.result()
            if isinstance(event, ModelReply) and len(event.text) > len(said):
                yield event.text[len(said) :]
            yield event
        finally:
            reply.cancel()

    @property
    def sampling_fields(self) -> frozenset[SamplingField]:
        """What the sampler knows."""
        return frozenset({"top_k", "min_p"})

    async def aclose(self) -> None:
        """End the worker thread. The model stays with its owner."""
        self._collector.close()

    def _work(self, jobs: list[_Job]) -> None:
        rows: list[tuple[Encoded, _Job]] = []
        unfit: list[tuple[_Job, Event]] = []
        for job in jobs:
            encoded = self._encoded(job.item.request)
            if isinstance(encoded, Encoded):
                rows.append((encoded, job))
            else:
                unfit.append((job, encoded))
        self._collector.finish(unfit)
        rows.sort(key=lambda pair: pair[0].num_tokens)
        for start in range(0, len(rows), self._batch_size):
            self._collector.finish(self._answers(rows[start : start + self._batch_size]))

    def _encoded(self, request: Request) -> Encoded | BackendFailed | NoRoom:
        try:
            encoded = self.encoder.encode(
                request.messages,
                request.picture,
                further_pictures=request.further_pictures,
                add_generation_prompt=True,
            )
        except UserError as error:
            return BackendFailed(error=str(error), retryable=False)
        longest = int(self._model.config.text_config.max_position_embeddings)
        if encoded.num_tokens + request.sampling.max_tokens > longest:
            return NoRoom(
                error=f"{encoded.num_tokens} prompt tokens and {request.sampling.max_tokens} reply tokens do not fit "
                f"the model's {longest}; lower max_tokens or the rule's max_pixels"
            )
        return encoded

    def _answers(self, rows: list[tuple[Encoded, _Job]]) -> list[tuple[_Job, Event]]:
        start_s = self._clock()
        try:
            written = self._generated(rows)
        except torch.OutOfMemoryError as error:
            failed = BackendFailed(error=f"out of memory with {len(rows)} rows, lower batch_size: {error}")
            return [(job, failed) for _, job in rows]
        latency_s = self._clock() - start_s
        return [
            (job, self._reply(one, job.item.request.sampling.max_tokens, encoded.num_tokens, latency_s))
            for (encoded, job), one in zip(rows, written, strict=True)
        ]

    def _generated(self, rows: list[tuple[Encoded, _Job]]) -> list[_Written]:
        batch = collate([encoded for encoded, _ in rows], self.encoder, padding="left")
        samplings = [job.item.request.sampling for _, job in rows]
        seeds = [secrets.randbits(_SEED_BITS) if s.seed is None else s.seed for s in samplings]
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=max(sampling.max_tokens for sampling in samplings),
            do_sample=False,  # the sampler draws
            eos_token_id=self.encoder.end_id,
            pad_token_id=self.encoder.pad_id,
        )
        hears = any(job.item.on_token for _, job in rows)
        stop = StopWhen(
            lambda row: rows[row][1].is_cancelled, _Speech(rows, self.encoder.end_id).tell if hears else None
        )
        with torch.inference_mode(), _ready_to_generate(self._model), self._dropping(rows, batch) as run:
            ids = self._model.generate(
                **batch.shared_inputs(self._model),
                generation_config=config,
                logits_processor=LogitsProcessorList([RowSampler(samplings, seeds, self._forbidden)]),
                stopping_criteria=StoppingCriteriaList([stop]),
            )
        new: list[list[int]] = ids[:, batch.input_ids.shape[1] :].tolist()
        counts = [None] * len(new) if run is None else run.num_visual_tokens()
        return [_Written(*pair) for pair in zip(new, counts, strict=True)]

    def _dropping(
        self, rows: list[tuple[Encoded, _Job]], batch: Batch
    ) -> AbstractContextManager[PrunedRun] | nullcontext[None]:
        """Within it the model drops tokens of `batch`, if it is to drop any."""
        if self._pruning is None:
            return nullcontext()
        layout = layout_of(
            batch.input_ids == self.encoder.image_id,
            [encoded.views for encoded, _ in rows],
            self._pruning,
            unit=self._processor.image_processor.merge_size**2,
        )
        return pruned(self._model, self._pruning, layout)

    def _reply(self, written: _Written, max_tokens: int, num_prompt_tokens: int, latency_s: float) -> ModelReply:
        ids = written.ids[:max_tokens]
        ended = self.encoder.end_id in ids
        kept = ids[: ids.index(self.encoder.end_id)] if ended else ids
        return ModelReply(
            text=self._text(kept),
            finish_reason=FinishReason.STOP if ended else FinishReason.LENGTH,
            token_ids=tuple(kept),
            num_prompt_tokens=num_prompt_tokens,
            num_reply_tokens=len(kept) + ended,
            num_visual_tokens=written.num_visual_tokens,
            latency_s=latency_s,
        )

    def _text(self, ids: list[int]) -> str:
        text: str = self._processor.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _forbidden_tokens(self) -> torch.Tensor:
        """Bool [V]: control tokens but for the end of turn, and the rows of the output layer that are no token."""
        num_tokens = len(self._processor.tokenizer)
        forbidden = torch.zeros(self._model.config.text_config.vocab_size, dtype=torch.bool)
        forbidden[list(self.encoder.control_ids)] = True
        forbidden[num_tokens:] = True
        forbidden[self.encoder.end_id] = False
        return forbidden.to(self._model.device)


@contextmanager
def _ready_to_generate(model: Any) -> Generator[None]:
    """Evaluation mode, and none of the sampling settings that a checkpoint may ship (a repetition penalty, say)."""
    was_training, shipped = model.training, model.generation_config
    model.eval()
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        model.train(was_training)
        model.generation_config = shipped
