"""Prophet without its chatter: at its import about plotly, which nothing here needs, and at every single fit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

logging.getLogger("prophet.plot").disabled = True  # at its import it complains that plotly is missing
from prophet import Prophet  # noqa: E402  # after the line above

__all__ = ["Prophet", "quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the loggers that report every single fit; a failed fit raises all the same."""
    loggers = [logging.getLogger(name) for name in ("cmdstanpy", "prophet")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True  # their level would be set back by the libraries themselves
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
