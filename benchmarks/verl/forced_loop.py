"""The agent loop before a model of random weights: what a reply says is decided, what it costs is not.

Rule: everything but the words is real. The rollout server is asked for as many tokens as a call, or an answer, of a
trained model has, with the views that it would be shown; the ids that it wrote are then replaced. Four in ten first
turns call. Replies have the lengths of `CALL_TOKENS` and `ANSWER_TOKENS`.
"""

import random
from typing import Any, Final

from PIL import Image

from visionthink.engines.encoding import END_OF_TURN
from visionthink.training.verl.agent_loop import VisionThinkLoop
from visionthink.training.verl.server_engine import RolloutServer

CALL_RATE: Final = 0.4
CALL_TOKENS: Final = 64
ANSWER_TOKENS: Final = 128
_CALL: Final = '</think><tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>'
_ANSWERS: Final = ("</think><answer>42</answer>", "</think><answer>forty-one</answer>")
_THOUGHT: Final = "<think> I look at it"


class ForcedServer:
    """A rollout server whose replies say what is wanted."""

    def __init__(self, server: RolloutServer, tokenizer: Any) -> None:
        """Ask `server`, and write with `tokenizer`."""
        self._server = server
        self._tokenizer = tokenizer

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any], image_data: list[Image.Image]
    ) -> Any:
        """As many tokens as the server needs to be asked for, saying something else."""
        calls = len(image_data) == 1 and random.random() < CALL_RATE
        end, num_tokens = (_CALL, CALL_TOKENS) if calls else (random.choice(_ANSWERS), ANSWER_TOKENS)
        out = await self._server.generate(
            request_id,
            prompt_ids=prompt_ids,
            sampling_params={**sampling_params, "max_tokens": num_tokens},
            image_data=image_data,
        )
        return out.model_copy(update={"token_ids": self._ids(end, len(out.token_ids))})

    def _ids(self, end: str, num_tokens: int) -> list[int]:
        """A thought as long as needed, and its end."""
        head, tail = (self._tokenizer.encode(text, add_special_tokens=False) for text in (_THOUGHT, end))
        tail = [*tail, self._tokenizer.convert_tokens_to_ids(END_OF_TURN)]
        filler = [head[-1]] * (num_tokens - len(head) - len(tail))
        return [*head, *filler, *tail][-num_tokens:]


class ForcedLoop(VisionThinkLoop):
    """Ours, before that server."""

    def __init__(self, trainer_config: Any, server_manager: Any, processor: Any, **rest: Any) -> None:
        """Stand between the loop and veRL's client."""
        server = ForcedServer(server_manager, processor.tokenizer)
        super().__init__(trainer_config, server, processor, **rest)
