"""Logs of long-running commands: one line an event on stderr, pretty on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure(level: int = logging.INFO) -> None:
    """Sets up structlog, and gives what libraries log the same form; from them only warnings and worse."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer, traces = _terminal() if sys.stderr.isatty() else _machine()
    structlog.configure(
        processors=[*shared, *traces, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *traces, renderer],
    )
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


# Neither shows the local variables of a traceback, as both would by default: passwords and tokens are among them


def _terminal() -> tuple[Any, list[Any]]:
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback), []


def _machine() -> tuple[Any, list[Any]]:
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return structlog.processors.JSONRenderer(default=str), [structlog.processors.ExceptionRenderer(transformer)]
