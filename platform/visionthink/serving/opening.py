"""A model folder as the app that serves it.

Rule: the model is asked as it was trained: texts, tools and sizes come from the card beside its weights, and from the
settings only where there is no card.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from visionthink.config import RunConfig
from visionthink.config.stage import ServeConfig
from visionthink.engines import Engine, open_named
from visionthink.episodes.prompting import prompting_of
from visionthink.model.card import with_card
from visionthink.model.forecast import read_forecast
from visionthink.serving.app import create_app
from visionthink.serving.auth import KeyFile
from visionthink.serving.loop import ServingLimits
from visionthink.serving.quota import QuotaRule
from visionthink.serving.remote import RemotePictures
from visionthink.serving.tracing import open_tracing


def open_app(
    model: Path,
    config: RunConfig,
    open_engine: Callable[[str, Path], Engine] = open_named,
    env: Mapping[str, str] | None = None,
    *,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """The app over the model in `model`: run in this process, or by the servers that `serve.engine` names.

    `open_engine(serve.engine, model)` gives the engine, which the app closes. `env` may name a collector of traces.
    Metrics go to `registry`; None makes one.

    Raises:
        UserError: there is no such model, its card is not of this version, its forecast is damaged, or the keys cannot
            be read.
    """
    config = with_card(model, config)
    prompting, serve = prompting_of(config, read_forecast(model)), config.serve
    quota = QuotaRule(max_in_flight=serve.key_max_in_flight, requests_per_minute=serve.key_requests_per_minute)
    return create_app(
        open_engine(serve.engine, model),
        model_name=serve.model_name,
        protocol=prompting.protocol,
        direct_protocol=prompting.direct_protocol,
        rule=prompting.rule,
        toolbox=prompting.toolbox,
        max_turns=serve.max_turns or prompting.max_turns,
        policy=serve.policy,
        first_look=prompting.first_look,
        first_look_mode=config.first_look.mode,
        remote=_remote(serve),
        registry=registry,
        limits=ServingLimits(
            max_tokens=config.episode.max_reply_tokens,
            max_picture_pixels=serve.max_picture_pixels,
            max_pictures=serve.max_pictures,
            max_body_bytes=serve.max_body_bytes,
            timeout_s=serve.timeout_s,
            max_in_flight=serve.max_in_flight,
            max_queued=serve.max_queued,
            max_wait_s=serve.max_wait_s,
            max_held_bytes=serve.max_held_bytes,
            num_decoders=serve.num_decoders,
        ),
        keys=None if serve.keys_file is None else KeyFile(Path(serve.keys_file), quota),
        quota=quota,
        tracing=open_tracing(serve.tracing, env or {}),
    )


def _remote(serve: ServeConfig) -> RemotePictures | None:
    if not serve.image_hosts:
        return None
    return RemotePictures(serve.image_hosts, max_bytes=serve.max_body_bytes, timeout_s=serve.image_timeout_s)
