"""Options that several commands read alike."""

from __future__ import annotations

import datetime as dt

from contracts.errors import UsageError


def instant(option: str, text: str) -> int:
    """An instant in ms; UTC where it names no zone. Raises UsageError."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text} is not an instant", doing="reading the options", hint="Such as 2025-06-30T18:00Z."
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return int(moment.timestamp() * 1000)


def day(option: str, text: str) -> dt.date:
    """A date. Raises UsageError."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text} is not a date", doing="reading the options", hint="Such as 2025-06-30.") from error
