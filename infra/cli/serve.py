"""`rd360 serve`: the HTTP API on the stack's servers."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.settings import load_settings

if TYPE_CHECKING:
    from contracts.settings import Settings

app = typer.Typer()
GRACE_SECONDS = 10  # for requests that are being answered when it is told to stop


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Default: 8000, shifted by RD360_PORT_OFFSET.")] = None,
) -> None:
    """Run the HTTP API until it is told to stop."""
    from contracts.clock import system_clock
    from featurestore.online import open_online_store
    from infra import logs
    from infra.stack.ports import Claim, check_free
    from serving.champion import RegisteredChampion
    from serving.main import create_app
    from serving.prediction_log import KafkaForecastLog
    from training.registry import ModelRegistry

    settings = load_settings()
    logs.configure()
    port = port or settings.port(8000)
    check_free([Claim("api", "http", port)])
    _declare_topics(settings)
    online, log = open_online_store(settings), KafkaForecastLog(settings)
    try:
        _run(create_app(settings, online, RegisteredChampion(ModelRegistry(settings)), log, system_clock), host, port)
    finally:
        log.close()
        online.close()


def _run(application: object, host: str, port: int) -> None:
    import uvicorn

    # uvicorn sends itself again the signal that ended it; by default that would end the process before the log is delivered
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.run(
            application,  # type: ignore[arg-type]  # any ASGI application; its type would load FastAPI for --help
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )


def _declare_topics(settings: Settings) -> None:
    """Without Kafka the API starts all the same, degraded: its forecasts wait in memory."""
    import structlog

    from contracts.errors import DependencyUnavailable
    from streams.declare import declare

    try:
        declare(settings)
    except DependencyUnavailable as error:
        structlog.get_logger("serving").warning("topics_not_declared", why=str(error))
