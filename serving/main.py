"""The app, from its ports. Nothing here connects: whoever calls `create_app` brings what is connected."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable

import structlog
from fastapi import Depends, FastAPI

from contracts.clock import Clock
from contracts.errors import RetailDemandError
from contracts.settings import Settings
from featurestore.online import OnlineStore
from serving import errors
from serving.access import require_token
from serving.backend import Backend
from serving.errors import PROBLEMS
from serving.model import ModelSlot, ModelSource
from serving.prediction_log import ForecastLog
from serving.routes import forecasts, health, replenishment
from serving.telemetry import CanonicalLine

MODEL_SECONDS = 5.0  # a promotion is served within this
PULSE_SECONDS = 30.0
LOG_SECONDS = 1.0
DESCRIPTION = """
Demand forecasts and replenishment orders from live features. Quantities are in a product's base unit: pieces, or grams where
it is weighed. Days are those of the store's time zone; times are UTC. Errors are problem details (RFC 9457).
"""


def create_app(
    settings: Settings,
    online: OnlineStore,
    models: ModelSource,
    log: ForecastLog,
    clock: Clock,
    model_seconds: float = MODEL_SECONDS,
) -> FastAPI:
    """The API over these ports. Raises ConfigurationError without a token. Does not close the ports: their owner does."""
    backend = Backend(settings, online, ModelSlot(models), log, clock)
    app = FastAPI(
        title="RetailDemand360", version="1", description=DESCRIPTION, lifespan=functools.partial(_lifespan, model_seconds)
    )
    backend.metrics.show_model(lambda: backend.slot.current)
    app.state.backend = backend
    app.state.token = settings.secret("api_token")
    app.add_middleware(CanonicalLine, metrics=backend.metrics)
    errors.install(app)
    app.include_router(health.router)
    for router in (forecasts.router, replenishment.router):
        app.include_router(router, dependencies=[Depends(require_token)], responses=PROBLEMS)
    return app


@contextlib.asynccontextmanager
async def _lifespan(model_seconds: float, app: FastAPI) -> AsyncIterator[None]:
    backend: Backend = app.state.backend
    async with asyncio.TaskGroup() as group:  # a bug in a background task ends the app, instead of leaving it half alive
        tasks = [
            group.create_task(_repeat(model_seconds, functools.partial(_refresh_model, backend))),
            group.create_task(_repeat(PULSE_SECONDS, functools.partial(_refresh_pulse, backend))),
            group.create_task(_repeat(LOG_SECONDS, backend.log.tend)),
        ]
        yield
        for task in tasks:
            task.cancel()
    backend.pool.shutdown(wait=False, cancel_futures=True)


async def _repeat(seconds: float, work: Callable[[], None]) -> None:
    while True:
        await asyncio.to_thread(work)  # not in the pool of requests: a slow registry must not take their threads
        await asyncio.sleep(seconds)


def _refresh_model(backend: Backend) -> None:
    before = backend.slot.trouble
    if backend.slot.refresh():
        champion = backend.slot.current
        structlog.get_logger("serving").info("model_exchanged", version=champion.version if champion else None)
    elif backend.slot.trouble not in (None, before):
        structlog.get_logger("serving").warning("model_not_exchanged", why=backend.slot.trouble)


def _refresh_pulse(backend: Backend) -> None:
    try:
        backend.pulse.refresh(backend.online)
    except RetailDemandError as error:  # the store that is down is /readyz's to report
        structlog.get_logger("serving").warning("pulse_not_read", why=str(error))
