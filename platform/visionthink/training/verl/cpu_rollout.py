"""The rollout server of the CPU platform: the policy in transformers, one request after the other.

Rule: the same ids and pixels as a real server gets, drawn from the same distribution that the trainer scores: nothing
but the temperature changes the scores, and control tokens are never drawn, as veRL sees to with vLLM.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, cast

import ray
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput

from visionthink.engines.encoding import END_OF_TURN

_PADS: Final = ("<|image_pad|>", "<|video_pad|>")


def _name(rank: int) -> str:
    return f"visionthink_cpu_server_{rank}"


class CpuAdapter(BaseRollout):  # type: ignore[misc]
    """The trainer's end: hands new weights to the server."""

    def __init__(self, config: Any, model_config: Any, device_mesh: Any, replica_rank: int = -1) -> None:
        """Find the server of this rank when it is first needed."""
        super().__init__(config, model_config, device_mesh)
        self._rank = int(os.environ.get("RANK", "0"))
        self._server: Any = None

    async def resume(self, tags: Any) -> None:
        """Do nothing: nothing was given back."""

    async def release(self) -> None:
        """Do nothing: memory is not scarce."""

    async def update_weights(self, weights: Iterable[Any] | AsyncIterator[Any], **told: Any) -> None:
        """Send all weights, by value."""
        if self._server is None:
            self._server = ray.get_actor(_name(self._rank))
        state = {name: tensor.detach().float().cpu() for name, tensor in weights}  # type: ignore[union-attr]
        await self._server.load.remote(state, told.get("global_steps"))


class CpuServer:
    """The model and its version."""

    def __init__(self, path: str) -> None:
        """Load the base model in `path`."""
        loading = cast("Any", AutoModelForImageTextToText)
        self._model = loading.from_pretrained(path, attn_implementation="sdpa").eval()
        self._processor: Any = AutoProcessor.from_pretrained(path)  # type: ignore[no-untyped-call]
        tokenizer = self._processor.tokenizer
        self._end_id = int(tokenizer.convert_tokens_to_ids(END_OF_TURN))
        self._pad_ids = [int(tokenizer.convert_tokens_to_ids(token)) for token in _PADS]
        self._version = 0
        self._lock = asyncio.Lock()

    async def load(self, state: dict[str, torch.Tensor], version: int | None) -> None:
        """Take new weights in."""
        async with self._lock:
            unknown = self._model.load_state_dict(state, strict=False).unexpected_keys
            if unknown:
                raise ValueError(f"the trainer's weights have names that the model has not: {unknown[:4]}")
            self._version = version or 0

    async def generate(
        self,
        request_id: str,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        image_data: list[Image.Image] | None = None,
        video_data: None = None,
        **_: Any,
    ) -> TokenOutput:
        """New ids with their log-probabilities."""
        async with self._lock:
            ids, log_probs = await asyncio.to_thread(self._generate, prompt_ids, sampling_params, image_data or [])
        return TokenOutput(
            token_ids=ids, log_probs=log_probs, stop_reason="completed", extra_fields={"global_steps": self._version}
        )

    async def nothing(self, *_: Any, **__: Any) -> None:
        """What other servers do about caches and memory."""

    wake_up = sleep = abort_all_requests = resume_generation = nothing
    clear_kv_cache = release_kv_cache = resume_kv_cache = start_profile = stop_profile = set_global_steps = nothing

    def _generate(
        self, prompt_ids: list[int], params: dict[str, Any], images: list[Image.Image]
    ) -> tuple[list[int], list[float]]:
        ids = torch.tensor([prompt_ids])
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if images:
            inputs |= self._processor.image_processor(images=images, return_tensors="pt")
            inputs["mm_token_type_ids"] = (ids == self._pad_ids[0]).long()
        temperature = float(params["temperature"])
        with torch.inference_mode():
            made = self._model.generate(
                **inputs,
                max_new_tokens=int(params["max_tokens"]),
                do_sample=temperature > 0,
                temperature=temperature or None,
                top_k=0,
                eos_token_id=self._end_id,
                pad_token_id=self._end_id,
                suppress_tokens=self._pad_ids,
                return_dict_in_generate=True,
                output_logits=True,
            )
        new = made.sequences[0, len(prompt_ids) :]
        scores = torch.cat(made.logits).float() / (temperature or 1.0)
        drawn = scores.log_softmax(-1).gather(-1, new.unsqueeze(-1)).squeeze(-1)
        return new.tolist(), drawn.tolist()


class CpuReplica(RolloutReplica):  # type: ignore[misc]
    """Starts the server of a rank."""

    async def launch_servers(self) -> None:
        """Start it as an actor without a CPU of its own: it works while the trainer waits."""
        path = getattr(self.model_config, "path", None) or self.model_config["path"]
        options = {"name": _name(self.replica_rank), "num_cpus": 0, "max_concurrency": 100}
        server = ray.remote(CpuServer).options(**options).remote(path)
        self.servers = [server]
        self._server_handle = server
        self._server_address = _name(self.replica_rank)
