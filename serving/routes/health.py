"""/livez, /readyz, /metrics: for machines, without a token."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from serving.dependencies import TheBackend
from serving.readiness import readiness
from serving.schemas import Readiness

router = APIRouter(tags=["operations"])


@router.get("/livez", response_class=PlainTextResponse)
async def livez() -> str:
    """Whether the process answers. Touches nothing."""
    return "alive\n"


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Something essential is missing"}})
async def readyz(backend: TheBackend, response: Response) -> Readiness:
    """Whether forecasts can be answered, and what makes them less than they could be."""
    state = await readiness(backend)
    response.status_code = 503 if state.status == "unavailable" else 200
    return state


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(backend: TheBackend) -> Response:
    """Prometheus metrics."""
    return Response(generate_latest(backend.metrics.registry), media_type=CONTENT_TYPE_LATEST)
