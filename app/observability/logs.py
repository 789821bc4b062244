"""Log lines: one JSON object each on standard output, from the service and its libraries alike.

The service's own lines go straight from structlog to the file descriptor, which takes a quarter of the time that the
standard library's way takes; lines of libraries go through the standard library. Both end in the same keys.
"""

import logging
import logging.config
import os
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

STANDARD_OUTPUT = 1
LEADING = ("timestamp", "level", "event", "logger", "correlation_id", "trace_id", "span_id")
"""Keys of every line, in this order before all others; an id that a line does not have is null."""

_ENCODER = msgspec.json.Encoder(enc_hook=str, decimal_format="number")
_FACTS: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def log_configuration(level: str, form: str = "json") -> dict[str, Any]:
    """Return the logging configuration in the form of `logging.config.dictConfig`, which Granian accepts too."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*_FACTS, structlog.stdlib.ExtraAdder()],
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *((_in_order, _as_text) if form == "json" else (_console(),)),
                ],
            }
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stdout"}},
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            "_granian": {"handlers": ["stdout"], "level": level, "propagate": False},
            # A line for each block of a response whose client is gone.
            "_granian.asgi.io": {"level": "WARNING"},
            # Its debug lines repeat whole documents, money included.
            "pymongo": {"level": "WARNING"},
        },
    }


def configure_logs(level: str, form: str = "json") -> None:
    """Configure structlog and the standard library to write the same lines, from this level upwards.

    Args:
        level: name of the lowest level.
        form: `json`, or `console` for a person at a terminal.
    """
    logging.config.dictConfig(log_configuration(level, form))
    structlog.configure(
        processors=[*_FACTS, *((_in_order, _as_bytes) if form == "json" else (_console(), _encoded))],
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )


class _Lines:
    """Where structlog's lines go: one write each, so that neither a thread nor a fork finds a lock or half a line.

    A full disk or a reader that is gone costs the line, not the request that it describes.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def write(self, line: bytes) -> None:
        with suppress(OSError):
            os.write(STANDARD_OUTPUT, line + b"\n")

    debug = info = warning = error = critical = write


def _console() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=os.isatty(STANDARD_OUTPUT), exception_formatter=structlog.dev.plain_traceback
    )


def _encoded(_: WrappedLogger, __: str, line: str) -> bytes:
    return line.encode(errors="backslashreplace")


def _in_order(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: event.pop(key, None) for key in LEADING} | dict(event)


def _as_bytes(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    try:
        return _ENCODER.encode(event)
    except (TypeError, ValueError):
        # Text that is not Unicode, such as a file's name: a line that is hard to write must not fail its caller.
        return _ENCODER.encode({str(key): value and _escaped(str(value)) for key, value in event.items()})


def _escaped(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _as_text(logger: WrappedLogger, name: str, event: EventDict) -> str:
    return _as_bytes(logger, name, event).decode()
