"""Metrics of one app, and the middleware that writes one canonical line per request. Names are those of contracts.telemetry."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts import telemetry
from serving.model import Champion

QUIET = ("/livez", "/readyz", "/metrics")  # asked every few seconds by machines: counted, not logged
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """The API's metrics in a registry of their own, so that two apps in one process do not share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        forecasts: telemetry.Counter = "rd360_forecasts_total"
        requests: telemetry.Counter = "rd360_http_requests_total"
        seconds: telemetry.Histogram = "rd360_http_seconds"
        reads: telemetry.Histogram = "rd360_online_read_seconds"
        self.forecasts = Counter(
            forecasts, "Forecasts by outcome: model, or the fallback's reason", ["outcome"], registry=self.registry
        )
        self.requests = Counter(requests, "Requests", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(seconds, "Seconds per request", ["route"], buckets=_BUCKETS, registry=self.registry)
        self.reads = Histogram(reads, "Seconds to read a request's features", buckets=_BUCKETS, registry=self.registry)

    def show_model(self, current: Callable[[], Champion | None]) -> None:
        """Adds the model that answers, asked for at each scrape."""
        self.registry.register(_ModelInfo(current))


class _ModelInfo(Collector):
    def __init__(self, current: Callable[[], Champion | None]) -> None:
        self._current = current

    def collect(self) -> Iterator[GaugeMetricFamily]:
        name: telemetry.Gauge = "rd360_model_info"
        family = GaugeMetricFamily(name, "The model that answers, always 1", labels=["name", "version"])
        champion = self._current()
        if champion is not None:
            family.add_metric([champion.name, champion.version], 1)
        yield family


class CanonicalLine:
    """ASGI middleware: times a request, counts it, and logs it once with all that handlers noted in `scope["state"]["line"]`."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        line: dict[str, Any] = {"request_id": _request_id(scope), "status": 500}
        scope.setdefault("state", {})["line"] = line

        async def note_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                line["status"] = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", line["request_id"].encode())]
            await send(message)

        begun = time.perf_counter()
        try:
            await self._app(scope, receive, note_status)
        finally:
            self._finish(scope, line, time.perf_counter() - begun)

    def _finish(self, scope: Scope, line: dict[str, Any], seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.requests.labels(route, str(line["status"])).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if route not in QUIET:
            log = structlog.get_logger("serving")
            log.info("request", method=scope["method"], route=route, ms=round(seconds * 1000, 2), **line)


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return given if 0 < len(given) <= 64 and given.isascii() and given.isprintable() else uuid.uuid4().hex
