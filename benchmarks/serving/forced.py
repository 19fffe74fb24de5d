"""Our app over a server, with decisions that are forced: a process of the H100 experiment.

Rule: everything but the decision is real. Each turn is asked of the server with the views, texts and lengths that a
trained model would be asked with, and its tokens and its time count; the text that random weights write is then
replaced by the one that the question demands. A question that begins with `[look]` calls `resize_image` in its first
turn, `[crop]` calls `crop_image` for a quarter of the picture, anything else answers at once. `[call 64]` and
`[answer 128]` say how many tokens a call and an answer have.

    python benchmarks/serving/forced.py --port 9100 --engine openai:http://127.0.0.1:8000/v1?model=shape
"""

import argparse
import json
import re
from dataclasses import replace
from typing import Final

from visionthink.core.closer_look import get_tool
from visionthink.core.episode import Event, FinishReason, ModelReply
from visionthink.core.geometry import ViewRule
from visionthink.core.message import Message, Role
from visionthink.core.protocol import get_protocol
from visionthink.core.tool import ToolBox
from visionthink.engines import Engine, Request, open_engine
from visionthink.serving import ServingLimits, create_app, serve

LOOK: Final = "[look] "
CROP: Final = "[crop] "
_TOKENS: Final = re.compile(r"\[(call|answer) (\d+)\]")
MODEL_NAME: Final = "visionthink"
THOUGHT: Final = "<think> I cannot read what is asked for at this size. </think>"


class Forced:
    """An engine whose texts are decided by the question."""

    def __init__(self, engine: Engine) -> None:
        """Ask `engine` for as many tokens as the question says."""
        self._engine = engine

    @property
    def model(self) -> str:
        """Name of the model that spends the time."""
        return self._engine.model

    async def reply(self, request: Request) -> Event:
        """The server's reply in everything but its words."""
        call = forced_call(request.messages)
        texts = " ".join(message.text for message in request.messages if message.role is Role.USER)
        num_tokens = int(dict(_TOKENS.findall(texts))["answer" if call is None else "call"])
        sampling = replace(request.sampling, max_tokens=num_tokens)
        event = await self._engine.reply(replace(request, sampling=sampling))
        if not isinstance(event, ModelReply):
            return event
        text = "<think> It can be read. </think><answer>42</answer>" if call is None else call
        return replace(event, text=text, finish_reason=FinishReason.STOP, token_ids=None)

    async def aclose(self) -> None:
        """Close the engine."""
        await self._engine.aclose()


def forced_call(messages: tuple[Message, ...]) -> str | None:
    """What the first turn has to write; None for an answer, and in every later turn."""
    if any(message.role is Role.ASSISTANT for message in messages):
        return None
    user = messages[-1]
    if LOOK in user.text:
        return resize_call()
    if CROP not in user.text:
        return None
    size = user.views[0].size
    box = [size.width // 4, size.height // 4, size.width // 4 + size.width // 2, size.height // 4 + size.height // 2]
    return _call("crop_image", {"bbox_2d": box})


def resize_call() -> str:
    """The reply that asks for the full view."""
    return _call("resize_image", {"action": "resize"})


def _call(name: str, arguments: dict[str, object]) -> str:
    return f"{THOUGHT}<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", required=True, help="openai:http://HOST:PORT/v1?model=NAME")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--protocol", default="efficient-v1")
    parser.add_argument("--tools", default="resize_image", help="separated by commas")
    parser.add_argument("--as-said", action="store_true", help="force nothing: the app as it is")
    parser.add_argument("--decoders", type=int, default=4)
    args = parser.parse_args()
    engine: Engine = open_engine(args.engine, timeout_s=600.0, max_connections=256)
    if not args.as_said:
        engine = Forced(engine)
    app = create_app(
        engine,
        model_name=MODEL_NAME,
        protocol=get_protocol(args.protocol),
        direct_protocol=get_protocol("general-v1"),
        rule=ViewRule(),
        toolbox=ToolBox(get_tool(name) for name in args.tools.split(",")),
        limits=ServingLimits(num_decoders=args.decoders, timeout_s=600.0),
    )
    serve(app, host="127.0.0.1", port=args.port)


if __name__ == "__main__":
    main()
