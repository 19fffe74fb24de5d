"""A rollout server as veRL's client shows it, which writes what it is told to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from tests.unit.engines.tiny_model import tiny_processor

from visionthink.engines.encoding import END_OF_TURN

Says = Callable[[int], str | Exception]
"""What is written in the turn of this number, from 0."""


@dataclass
class Told:
    """What veRL's server gives for one request."""

    token_ids: list[int]
    log_probs: list[float] | None
    stop_reason: str | None = "completed"
    extra_fields: dict[str, Any] = field(default_factory=lambda: {"min_global_steps": 6, "max_global_steps": 7})


class ScriptedServer:
    """Writes `lines` one after the other; an exception among them is raised."""

    def __init__(self, lines: Sequence[str | Exception | Told], *, max_tokens: int | None = None) -> None:
        self._lines = list(lines)
        self._max_tokens = max_tokens
        self.requests: list[dict[str, Any]] = []

    async def generate(
        self,
        request_id: str,
        *,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        image_data: list[Image.Image],
    ) -> Told:
        line = self._lines[min(len(self.requests), len(self._lines) - 1)]
        self.requests.append(
            {"session": request_id, "ids": prompt_ids, "params": sampling_params, "images": image_data}
        )
        if isinstance(line, Exception):
            raise line
        return line if isinstance(line, Told) else self._written(line)

    def _written(self, line: str) -> Told:
        tokenizer = tiny_processor().tokenizer
        ids = [*tokenizer(line, add_special_tokens=False)["input_ids"], tokenizer.convert_tokens_to_ids(END_OF_TURN)]
        ids = ids[: self._max_tokens]
        return Told(token_ids=ids, log_probs=[-float(place + 1) for place in range(len(ids))])
