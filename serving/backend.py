"""What routes work with: the ports, bound together, with blocking calls in a bounded pool of threads.

A request reads the online store, is scored, and is recorded before it is answered.
"""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from contracts.clock import Clock
from contracts.errors import DependencyUnavailable
from contracts.events import ForecastDay, ForecastServed
from contracts.settings import Settings
from contracts.windows import Calendar, StoreCalendars
from featurestore.online import OnlineStore
from serving.features import READS, ProductRows, StoreRows, read_rows
from serving.forecast import Asked, Forecast, forecast_products
from serving.model import ModelSlot
from serving.prediction_log import ForecastLog
from serving.pulse import StorePulse
from serving.telemetry import Metrics
from serving.times import date_of

T = TypeVar("T")
THREADS = 8  # reads wait for the network; scoring holds a core, and more threads than this only queue for it


@dataclass(frozen=True)
class Backend:
    """The ports of one app and the state they share."""

    settings: Settings
    online: OnlineStore
    slot: ModelSlot
    log: ForecastLog
    clock: Clock
    metrics: Metrics = field(default_factory=Metrics)
    pulse: StorePulse = field(default_factory=StorePulse)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="api"))

    def calendar(self, store_id: str) -> Calendar:
        """The calendar of a store."""
        return StoreCalendars(self.settings.time_zone, self.settings.store_time_zones).of(store_id)

    def time_zone(self, store_id: str) -> str:
        """The zone whose days a store's are."""
        return StoreCalendars(self.settings.time_zone, self.settings.store_time_zones).zone(store_id)

    async def off_loop(self, work: Callable[[], T], seconds: float, doing: str) -> T:
        """What `work` returns, from a thread of the pool. Raises DependencyUnavailable when it takes longer than `seconds`;
        the thread then ends on its own, since each of our reads is bounded, and the pool stays bounded."""
        future = asyncio.get_running_loop().run_in_executor(self.pool, work)
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError as error:
            raise DependencyUnavailable(
                "The answer took too long",
                doing=doing,
                why=f"it was not there after {seconds:.2f} s",
                hint="Try again; /readyz says what is slow.",
            ) from error

    async def rows(self, store_id: str, product_ids: Sequence[str]) -> StoreRows:
        """The online rows of the products, within the bound of the settings."""
        seconds = READS * self.settings.online_read_timeout_ms / 1000
        begun = time.perf_counter()
        rows = await self.off_loop(
            functools.partial(read_rows, self.online, store_id, product_ids), seconds, "reading the features"
        )
        self.metrics.reads.observe(time.perf_counter() - begun)
        self.pulse.observe(store_id, [row.rolling for row in rows.products])
        return rows

    async def forecasts(
        self, store_id: str, products: Sequence[ProductRows], horizon_days: int, as_of: int | None
    ) -> list[Forecast]:
        """The forecasts of the products, recorded. Raises DependencyUnavailable when they cannot be."""
        asked = Asked(
            store_id=store_id,
            as_of=self.clock() if as_of is None else as_of,
            calendar=self.calendar(store_id),
            horizon_days=horizon_days,
            stream_clock=self.pulse.observe(store_id, ()),
            limit_seconds=self.settings.freshness_limit_seconds,
            lead_ms=self.settings.max_event_lead_ms,
        )
        champion = self.slot.current
        loop = asyncio.get_running_loop()
        forecasts = await loop.run_in_executor(self.pool, forecast_products, products, champion, asked)
        self.log.append([self._served(store_id, forecast) for forecast in forecasts])
        for forecast in forecasts:
            self.metrics.forecasts.labels(forecast.fallback or "model").inc()
        return forecasts

    def _served(self, store_id: str, forecast: Forecast) -> ForecastServed:
        return ForecastServed(
            event_id=uuid.uuid4().hex,
            event_time=self.clock(),
            store_id=store_id,
            product_id=forecast.product_id,
            as_of=forecast.as_of,
            model_name=forecast.model_name,
            model_version=forecast.model_version,
            fallback=forecast.fallback,
            feature_age_seconds=forecast.feature_age_seconds,
            days=tuple(
                ForecastDay(date_of(day.day), day.mean, quantile_names(forecast.levels, day.quantiles)) for day in forecast.days
            ),
        )


def quantile_names(levels: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Quantiles by the name of their level, such as "0.975"."""
    return {f"{level:g}": value for level, value in zip(levels, values, strict=True)}
