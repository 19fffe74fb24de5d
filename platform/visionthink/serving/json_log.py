"""How the server's log is written: as text, or one JSON object a line.

Rule: every line that is written while a request is worked on has the request's id and the name of its key, whichever
part writes it; and a line of JSON is one line, whatever an error's text holds.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from visionthink.serving.access import present_request

LogFormat: TypeAlias = Literal["text", "json"]
_LOGGERS: Final = ("uvicorn", "visionthink")


class JsonFormatter(logging.Formatter):
    """A record as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_request(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """A record as a line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; an exception's text below it."""
        told = " ".join(f"{name}={value}" for name, value in _request().items())
        return f"{record.levelname}: {super().format(record)}{f' [{told}]' if told else ''}"


def log_config(form: LogFormat) -> dict[str, Any]:
    """For `logging.config.dictConfig`: the server's lines, and ours, go to standard error in this form."""
    formatter = JsonFormatter if form == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "loggers": {name: {"handlers": ["stderr"], "level": "INFO", "propagate": False} for name in _LOGGERS},
    }


def _request() -> dict[str, object]:
    known = present_request()
    named = {"request_id": known.get("request_id"), "key": known.get("caller")}
    return {name: value for name, value in named.items() if value}
