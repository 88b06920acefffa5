"""Options that several commands read alike."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.errors import UsageError

if TYPE_CHECKING:  # what it needs of Spark is imported where it is asked for: the help must be quick
    from lake.months import Days

FirstDay = Annotated[
    str | None,
    typer.Option("--from", metavar="DAY", help="Make the months of this local day to that of --to anew, and no others."),
]
LastDay = Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last local day, where there is a first one.")]
ModelName = Annotated[
    str | None, typer.Option("--model-name", help="Whose versions. Default: the live model's, with --panel the panel's own.")
]
Threads = Annotated[int, typer.Option(min=1, help="Candidates that are made side by side; the result does not depend on it.")]
CORES = len(os.sched_getaffinity(0))  # those that this process may use, which are fewer in a container than the machine has


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


def days(first: str | None, last: str | None, *, full: bool) -> Days | None:
    """The span of days of --from and --to; none where neither is given. Raises UsageError where they are no span."""
    if first is None and last is None:
        return None
    if first is None or last is None or full:
        raise UsageError(
            "--from and --to belong together" if not full else "--full makes every day anew, --from and --to some",
            doing="reading the options",
            hint="Such as --from 2025-06-01 --to 2025-06-30.",
        )
    from lake.months import Days

    return Days(day("--from", first), day("--to", last))
