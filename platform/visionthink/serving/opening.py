"""A model folder as the app that serves it.

Rule: the model is asked as it was trained: texts, tools and sizes come from the card beside its weights, and from the
settings only where there is no card.
"""

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from visionthink.config import RunConfig
from visionthink.config.stage import ServeConfig
from visionthink.engines import Engine, open_named
from visionthink.episodes.prompting import prompting_of
from visionthink.model.card import with_card
from visionthink.serving.app import create_app
from visionthink.serving.loop import ServingLimits
from visionthink.serving.remote import RemotePictures


def open_app(
    model: Path,
    config: RunConfig,
    open_engine: Callable[[str, Path], Engine] = open_named,
    *,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The app over the model in `model`: run in this process, or by the servers that `serve.engine` names.

    `open_engine(serve.engine, model)` gives the engine, which the app closes. Metrics go to `registry`; None makes one.

    Raises:
        UserError: there is no such model, or its card is not of this version.
    """
    config = with_card(model, config)
    prompting, serve = prompting_of(config), config.serve
    return create_app(
        open_engine(serve.engine, model),
        model_name=serve.model_name,
        protocol=prompting.protocol,
        direct_protocol=prompting.direct_protocol,
        rule=prompting.rule,
        toolbox=prompting.toolbox,
        max_turns=serve.max_turns or prompting.max_turns,
        policy=serve.policy,
        remote=_remote(serve),
        registry=registry,
        limits=ServingLimits(
            max_tokens=config.episode.max_reply_tokens,
            max_picture_pixels=serve.max_picture_pixels,
            max_body_bytes=serve.max_body_bytes,
            timeout_s=serve.timeout_s,
            max_in_flight=serve.max_in_flight,
            max_held_bytes=serve.max_held_bytes,
            num_decoders=serve.num_decoders,
        ),
    )


def _remote(serve: ServeConfig) -> RemotePictures | None:
    if not serve.image_hosts:
        return None
    return RemotePictures(serve.image_hosts, max_bytes=serve.max_body_bytes, timeout_s=serve.image_timeout_s)
