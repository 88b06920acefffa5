"""Whether the API can answer, and how well: bounded checks of what it depends on."""

from __future__ import annotations

import functools

from contracts.errors import DependencyUnavailable
from contracts.features import SALES_ROLLING
from contracts.request_features import age_seconds
from serving.backend import Backend
from serving.schemas import Check, Readiness

_NOBODY = ("readyz", "readyz")  # a key that no store has: only whether the read answers matters


async def readiness(backend: Backend) -> Readiness:
    """The state of everything the API needs. Takes at most two bounded reads, whatever is down."""
    checks = [
        Check(name="online_store", essential=True, trouble=await _online_store(backend)),
        Check(name="model", essential=False, trouble=backend.slot.trouble),
        Check(name="forecast_log", essential=False, trouble=backend.log.trouble()),
        Check(name="stream", essential=False, trouble=_stream(backend)),
    ]
    champion = backend.slot.current
    troubled = [check for check in checks if check.trouble]
    return Readiness(
        status="unavailable" if any(check.essential for check in troubled) else "degraded" if troubled else "ready",
        model_name=champion.name if champion else None,
        model_version=champion.version if champion else None,
        checks=checks,
    )


async def _online_store(backend: Backend) -> str | None:
    read = functools.partial(backend.online.read, SALES_ROLLING.name, [_NOBODY])
    try:
        await backend.off_loop(read, 2 * backend.settings.online_read_timeout_ms / 1000, "asking the online store")
    except DependencyUnavailable as error:
        return str(error)
    return None


def _stream(backend: Backend) -> str | None:
    newest = backend.pulse.newest()
    if newest is None:
        return "no sale has reached the online store yet"
    age = age_seconds(newest, backend.clock())
    if age > backend.settings.freshness_limit_seconds:
        return f"the newest sale in the online store is {age:.0f} s old"
    return None
