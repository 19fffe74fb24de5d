"""Serving: the trained loop behind the OpenAI API.

Rule: importable without kserve. An entry point makes an engine, hands it to `create_app` and runs the app.
"""

from visionthink.serving.app import create_app
from visionthink.serving.loop import ServingLimits
from visionthink.serving.server import background_server, serve

__all__ = ["ServingLimits", "background_server", "create_app", "serve"]
